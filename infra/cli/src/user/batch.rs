//! One piece of work for each line of an input, many at a time. A run that broke off is finished by running it again: each
//! piece is safe to repeat.

use super::lines::{self, Input};
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

/// How long a store that does not answer is asked again, all in all, before the run breaks off.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Errors that are shown when no file takes them.
const SHOWN: u64 = 10;

/// Options of everything that goes through a file.
#[derive(Debug, clap::Args)]
pub(crate) struct BatchArgs {
    /// Write the lines that were refused, each with the reason, to this file as JSON lines; what was in it goes
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Go on at this line: what an earlier run that broke off says
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something was written.
    Changed,
    /// It was so already.
    Unchanged,
    /// It cannot be, for this reason.
    Refused(String),
}

/// The work of one line.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Outcome, StoreError>>>>;

/// What a line asks for: nothing, or the work on the user of that name.
pub(crate) type Task = Option<(String, Work)>;

/// What came of all lines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// Lines with a user on them.
    pub(crate) users: u64,
    /// Users for whom something was written.
    pub(crate) changed: u64,
    /// Users who were so already.
    pub(crate) unchanged: u64,
    /// Lines that were refused.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Users a second.
    pub(crate) users_per_second: f64,
}

/// Where refused lines are told.
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
        // It names users.
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
            output.note("further errors are counted and not shown; --errors FILE takes them all");
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
        "name another file, or correct the rights",
    )
}

/// Asks a store that does not answer again, for a minute: a table takes that long to grow with the load of an import.
///
/// # Errors
/// What the store said last.
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

/// How a run stands.
struct Run<'a, 'o> {
    target: &'a Target,
    output: &'a mut Output<'o>,
    tally: Tally,
    refusals: Refusals,
    progress: Progress,
    /// Of the lines under way: two of one name are done in their order.
    names: HashSet<String>,
    /// And their numbers: what comes before the least of them is done.
    numbers: BTreeSet<u64>,
    bytes: u64,
}

/// A line whose work is done.
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
                    "the lines before {line} are done; go on with --from-line {line}, or run it again from the start, which changes nothing twice"
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

/// Does the work of every line. `begin` reads one, and says what it asks for or why it is refused; with `heading`, it is
/// given the first line whatever `--from-line` says.
///
/// # Errors
/// When the input cannot be read or the store does not answer; the failure says at which line to go on.
pub(crate) async fn run(
    target: &Target,
    output: &mut Output<'_>,
    args: &BatchArgs,
    input: Input,
    heading: bool,
    mut begin: impl FnMut(u64, &str) -> Result<Task, String>,
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
    let mut lines = lines::read(input);
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
                format!("the input cannot be read to its end: {error}"),
                "run it again when it can be: that changes nothing twice",
            )
        })?;
        run.bytes = line.end;
        if line.number < args.from_line && !(heading && line.number == 1) {
            continue;
        }
        let task = line.text.map_err(ToOwned::to_owned).and_then(|text| begin(line.number, &text));
        match task {
            Err(why) => {
                run.tally.users += 1;
                run.refuse(line.number, None, &why)?;
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
