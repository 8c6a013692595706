//! Parallel work on the lines of an input. Each piece is safe to repeat, so a second run finishes an interrupted one.

use super::lines::{self, Input, Line};
use super::progress::{Progress, per_second};
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::ports::store::StoreError;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Total time of retries of a request before the run stops.
const PATIENCE: Duration = Duration::from_secs(60);
/// First pause between retries. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Errors that are printed without a file for them.
const SHOWN: u64 = 10;

/// Options of commands that read a file.
#[derive(Debug, clap::Args)]
pub(crate) struct BatchArgs {
    /// Write the rejected lines with their reasons to this file, as JSON lines; replaces the file
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Start at this line, which an interrupted run printed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
    /// Parallel requests
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// Result of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The store was changed.
    Changed,
    /// The store already had this state.
    Unchanged,
    /// Rejected, with the reason.
    Refused(String),
}

/// Work of a line.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Outcome, StoreError>>>>;

/// Task of a line: nothing, or the work on the user of that name.
pub(crate) type Task = Option<(String, Work)>;

/// Why a line has no task.
pub(crate) enum Problem {
    /// Only this line is rejected, with the name of its user if it has one.
    Line(Option<String>, String),
    /// The whole input is not what it claims to be.
    Input(Failure),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Self::Line(None, why)
    }
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// Lines with a user.
    pub(crate) users: u64,
    /// Users whose item was written.
    pub(crate) changed: u64,
    /// Users without a change.
    pub(crate) unchanged: u64,
    pub(crate) refused: u64,
    /// Duration, in seconds.
    pub(crate) seconds: f64,
    /// Users per second.
    pub(crate) users_per_second: f64,
}

/// Destination of rejected lines.
struct Refusals {
    file: Option<(PathBuf, BufWriter<File>)>,
    count: u64,
}

#[derive(Serialize)]
struct Refusal<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    error: &'a str,
}

impl Refusals {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self { file: None, count: 0 }) };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // The file names users, so it is private.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| unwritable(path, &error))?;
        Ok(Self { file: Some((path.to_owned(), BufWriter::new(file))), count: 0 })
    }

    fn add(
        &mut self,
        output: &mut Output<'_>,
        line: u64,
        username: Option<&str>,
        error: &str,
    ) -> Result<(), Failure> {
        self.count += 1;
        if let Some((path, file)) = &mut self.file {
            let refusal = Refusal { line, username, error };
            return serde_json::to_writer(&mut *file, &refusal)
                .map_err(io::Error::from)
                .and_then(|()| file.write_all(b"\n"))
                .map_err(|error| unwritable(path, &error));
        }
        if self.count <= SHOWN {
            let name = username.map(|name| format!(" ({name})")).unwrap_or_default();
            output.note(&format!("line {line}{name}: {error}"));
        }
        if self.count == SHOWN {
            output.note("further errors are only counted; --errors FILE writes all of them");
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some((path, file)) => file.flush().map_err(|error| unwritable(path, &error)),
            None => Ok(()),
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "name another file, or correct the permissions",
    )
}

/// Retries an unavailable store for a minute. A table takes that long to adapt to the load of an import.
///
/// # Errors
/// The last error of the store.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
    ask: impl Fn() -> F,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await {
            Err(StoreError::Unavailable(_)) if started.elapsed() + pause < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
}

/// State of a run.
struct Run<'a, 'o> {
    target: &'a Target,
    output: &'a mut Output<'o>,
    tally: Tally,
    refusals: Refusals,
    progress: Progress,
    /// Names of the running lines. Two lines of one name run in their order.
    names: HashSet<String>,
    /// Numbers of the running lines. Lines before the least number are done.
    numbers: BTreeSet<u64>,
    bytes: u64,
}

/// A finished line.
type Done = (u64, String, Result<Outcome, StoreError>);

impl Run<'_, '_> {
    fn refuse(&mut self, line: u64, username: Option<&str>, why: &str) -> Result<(), Failure> {
        self.tally.refused += 1;
        self.progress.suspend(|| self.refusals.add(self.output, line, username, why))
    }

    fn settle(&mut self, (number, name, outcome): Done) -> Result<(), Failure> {
        match outcome {
            Err(error) => {
                self.progress.clear();
                self.refusals.close()?;
                let line = self.numbers.first().copied().unwrap_or(number);
                let hint = format!(
                    "the lines before {line} are done; continue with --from-line {line}, or run the command again, which is safe"
                );
                return Err(self.target.failure(&error).with_hint(hint));
            }
            Ok(Outcome::Changed) => self.tally.changed += 1,
            Ok(Outcome::Unchanged) => self.tally.unchanged += 1,
            Ok(Outcome::Refused(why)) => self.refuse(number, Some(&name), &why)?,
        }
        self.names.remove(&name);
        self.numbers.remove(&number);
        self.draw();
        Ok(())
    }

    fn draw(&mut self) {
        let done = self.tally.changed + self.tally.unchanged + self.tally.refused;
        self.progress.draw(done, self.bytes);
    }
}

/// Runs the work of every line. `begin` parses a line into a task or a reason to reject it. With `csv`, it always gets the
/// first line, the header row, whatever `--from-line` is.
///
/// # Errors
/// The input cannot be read or is not what it claims to be, or the store does not answer. The last failure names the line to
/// continue with.
pub(crate) async fn run(
    target: &Target,
    output: &mut Output<'_>,
    args: &BatchArgs,
    input: Input,
    csv: bool,
    mut begin: impl FnMut(&Line) -> Result<Task, Problem>,
) -> Result<Tally, Failure> {
    let none = Tally { users: 0, changed: 0, unchanged: 0, refused: 0, seconds: 0.0, users_per_second: 0.0 };
    let mut run = Run {
        target,
        output,
        tally: none,
        refusals: Refusals::open(args.errors.as_deref())?,
        progress: Progress::new(input.bytes),
        names: HashSet::new(),
        numbers: BTreeSet::new(),
        bytes: 0,
    };
    let mut lines = lines::read(input, csv);
    let mut running = FuturesUnordered::new();
    loop {
        let line = tokio::select! {
            biased;
            Some(done) = running.next() => {
                run.settle(done)?;
                continue;
            }
            line = lines.recv() => line,
        };
        let Some(line) = line else { break };
        let line = line.map_err(|error| {
            run.progress.clear();
            Failure::new(
                format!("the input cannot be read: {error}"),
                "run the command again once it can be read: a repetition is safe",
            )
        })?;
        run.bytes = line.end;
        if line.number < args.from_line && !(csv && line.number == 1) {
            continue;
        }
        match begin(&line) {
            Err(Problem::Input(failure)) => {
                run.progress.clear();
                return Err(failure);
            }
            Err(Problem::Line(name, why)) => {
                run.tally.users += 1;
                run.refuse(line.number, name.as_deref(), &why)?;
            }
            Ok(None) => {}
            Ok(Some((name, work))) => {
                run.tally.users += 1;
                while running.len() >= usize::from(args.concurrency) || run.names.contains(&name) {
                    let Some(done) = running.next().await else { break };
                    run.settle(done)?;
                }
                run.names.insert(name.clone());
                run.numbers.insert(line.number);
                running.push(async move { (line.number, name, work.await) });
            }
        }
        run.draw();
    }
    while let Some(done) = running.next().await {
        run.settle(done)?;
    }
    run.progress.clear();
    run.refusals.close()?;
    run.tally.seconds = run.progress.elapsed().as_secs_f64();
    run.tally.users_per_second = per_second(run.tally.users, run.progress.elapsed());
    Ok(run.tally)
}
