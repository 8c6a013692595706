//! Supervisor of steps: each step is a process with a deadline, several run in parallel, and every step gets a result.
//!
//! A step leads a process group. Its standard input is a pipe of the supervisor. When the pipe closes, at the deadline
//! or when the supervisor was killed, the step ends itself and its children.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use daypass_tools::{check_prerequisites, chromium, install_all, say, target_dir};
use rustix::process::{Pid, Signal, kill_process_group, nice, test_kill_process_group};

use crate::plan::{Depth, Plan, log_file};
use crate::report::{Outcome, Verdict, summary};
use crate::steps::Step;

/// Parameters of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whether these are all steps of the depth. Then missing programs are an error before the first step.
    pub(crate) everything: bool,
    pub(crate) depth: Depth,
    /// Whether steps run after a failed one.
    pub(crate) keep_going: bool,
    pub(crate) jobs: usize,
    /// Filters of test names, for a step of tests.
    pub(crate) filter: Vec<String>,
}

/// Interval of the supervisor's checks.
const TICK: Duration = Duration::from_millis(50);
/// Niceness of the steps that are not urgent.
const NICENESS: i32 = 5;
/// Time for a step to end its children before it is killed.
const FAREWELL: Duration = Duration::from_secs(20);
/// Time to wait for the installation of the tools after the last step.
const INSTALLATION: Duration = Duration::from_secs(600);
/// Time to wait for the remaining output of an ended step. An escaped process can hold the pipe.
const REST: Duration = Duration::from_secs(2);

/// Runs one step in this process, for `--step`, and returns whether it passed.
pub(crate) fn run_here(step: &Step, depth: Depth, filter: &[String]) -> bool {
    end_with_standard_input();
    if !step.urgent && !step.runs_alone_in(depth) {
        // If this fails, the step keeps the usual priority.
        let _ = nice(NICENESS);
    }
    let plan = Plan { step: step.name, depth, filter: filter.to_vec() };
    match (step.run)(&plan) {
        Ok(()) => true,
        Err(error) => {
            say(&format!("error: {error:#}"));
            false
        }
    }
}

/// Ends this process group when standard input ends.
fn end_with_standard_input() {
    thread::spawn(|| {
        // An error of the pipe counts as its end.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = kill_process_group(rustix::process::getpgrp(), Signal::TERM);
    });
}

/// Runs the steps, prints the table of results, and returns whether all passed.
///
/// # Errors
/// Programs are missing, the folder of the logs cannot be created, or a process cannot start.
pub(crate) fn run_all(steps: &[&'static Step], settings: &Settings) -> Result<bool> {
    let started = Instant::now();
    let _lock = lock()?;
    let installation = if settings.everything {
        if std::env::var_os("DAYPASS_URL").is_some() {
            bail!(
                "DAYPASS_URL is set: the rehearsal would call that stage and not this checkout. Unset it, or run `cargo rehearse`"
            );
        }
        check_prerequisites()?;
        chromium()?;
        Some(install_beforehand())
    } else {
        None
    };
    let program = std::env::current_exe().context("this program has no path")?;
    let outcomes = supervise(steps, settings, &|step| {
        let mut command = Command::new(&program);
        command.args(["--step", step.name]);
        if settings.depth == Depth::Full {
            command.arg("--full");
        }
        if !settings.filter.is_empty() {
            command.arg("--").args(&settings.filter);
        }
        command
    });
    let outcomes = outcomes?;
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    say(&format!("\n{}", summary(&names, &outcomes, started.elapsed(), settings.depth)));
    if let Some(installation) = installation {
        // Programs of an installation would outlive this process.
        if !installation.is_finished() {
            say("waiting for the installation of the tools");
        }
        let until = Instant::now() + INSTALLATION;
        while !installation.is_finished() && Instant::now() < until {
            thread::sleep(TICK);
        }
        if !installation.is_finished() {
            bail!(
                "the installation of the tools still runs after 10 minutes: a process that holds a lock in target/tools hangs"
            );
        }
        if installation.join().is_err() {
            say("the installation of the tools panicked");
        }
    }
    Ok(outcomes.len() == steps.len() && outcomes.iter().all(|outcome| outcome.verdict == Verdict::Passed))
}

/// Installs the tools while the first steps compile. A step that needs a tool waits for it and reports its errors.
fn install_beforehand() -> JoinHandle<()> {
    thread::spawn(|| {
        if let Err(error) = install_all() {
            say(&format!("{error:#}"));
        }
    })
}

/// Lock of one run in a checkout. Two runs would replace each other's binaries, logs and archives.
fn lock() -> Result<File> {
    let folder = target_dir().join("verify");
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    let file = File::create(folder.join("lock")).context("could not write the lock of target/verify")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `cargo verify` runs in this checkout: wait for its end")
        }
        Err(TryLockError::Error(error)) => Err(error).context("could not lock target/verify"),
    }
}

/// Runs each step as the command of `program`, and returns the results of the started ones.
fn supervise(
    steps: &[&'static Step],
    settings: &Settings,
    program: &dyn Fn(&Step) -> Command,
) -> Result<Vec<Outcome>> {
    let live = steps.len() == 1;
    let mut waiting: VecDeque<&'static Step> = steps.iter().copied().collect();
    let mut running: Vec<Running> = Vec::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        let failed = outcomes.iter().any(|outcome| outcome.verdict != Verdict::Passed);
        if failed && !settings.keep_going {
            waiting.clear();
        }
        while running.len() < settings.jobs {
            let Some(next) = next_step(&waiting, &running, settings.depth) else { break };
            let step = waiting.remove(next).context("a step that waits can be started")?;
            say(&format!("==> {}: {}", step.name, step.reason));
            running.push(Running::start(step, step.deadline(settings.depth), program(step), live)?);
        }
        thread::sleep(TICK);
        let mut still = Vec::new();
        for mut step in running {
            match step.poll()? {
                None => still.push(step),
                Some(outcome) => {
                    if !live {
                        say(&format!("\n<== {} {}\n{}", step.step.name, outcome.in_words(), step.output()));
                    }
                    outcomes.push(outcome);
                }
            }
        }
        running = still;
    }
    Ok(outcomes)
}

/// The first waiting step that may run beside those that run already.
fn next_step(waiting: &VecDeque<&'static Step>, running: &[Running], depth: Depth) -> Option<usize> {
    if running.iter().any(|running| running.step.runs_alone_in(depth)) {
        return None;
    }
    waiting.iter().position(|step| {
        let pending = |name: &&str| {
            waiting.iter().any(|other| other.name == *name)
                || running.iter().any(|other| other.step.name == *name)
        };
        let compiler_is_taken = step.compiles && running.iter().any(|other| other.step.compiles);
        !step.after.iter().any(pending)
            && !compiler_is_taken
            && (running.is_empty() || !step.runs_alone_in(depth))
    })
}

/// A running step.
struct Running {
    step: &'static Step,
    deadline: Duration,
    child: Child,
    started: Instant,
    /// Time at which its deadline passed and it was told to end.
    told: Option<Instant>,
    lines: Receiver<String>,
    kept: Vec<String>,
}

impl Running {
    fn start(step: &'static Step, deadline: Duration, mut command: Command, live: bool) -> Result<Self> {
        let (output, writer) = std::io::pipe().context("there is no pipe")?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn().with_context(|| format!("could not start the step {}", step.name))?;
        // The command holds the writing end of the pipe until here.
        drop(command);
        let log = log_file(step.name);
        let log = File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        Ok(Self {
            step,
            deadline,
            child,
            started: Instant::now(),
            told: None,
            lines: keep(output, log, live),
            kept: Vec::new(),
        })
    }

    /// Result of the step; `None` while it runs. Enforces the deadline.
    fn poll(&mut self) -> Result<Option<Outcome>> {
        self.kept.extend(self.lines.try_iter());
        let took = self.started.elapsed();
        if let Some(status) = self.child.try_wait()? {
            // The others of its group end themselves; nextest forwards the signal to its tests.
            let ending = self.told.is_some_and(|told| told.elapsed() < FAREWELL);
            if ending && self.group().is_some_and(|group| test_kill_process_group(group).is_ok()) {
                return Ok(None);
            }
            self.kill();
            self.drain();
            let verdict = match self.told {
                Some(_) => Verdict::TimedOut(self.deadline),
                None if status.success() => Verdict::Passed,
                None => Verdict::Failed(status.to_string()),
            };
            return Ok(Some(Outcome { step: self.step.name, verdict, took }));
        }
        match self.told {
            None if took > self.deadline => {
                self.told = Some(Instant::now());
                drop(self.child.stdin.take());
            }
            Some(told) if told.elapsed() > FAREWELL => self.kill(),
            _ => {}
        }
        Ok(None)
    }

    /// Process group of the step.
    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Kills the rest of the process group.
    fn kill(&self) {
        if let Some(group) = self.group() {
            // On an error, the group has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Collects the remaining output.
    fn drain(&mut self) {
        let until = Instant::now() + REST;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.kept.push(line);
        }
    }

    fn output(&self) -> String {
        self.kept.iter().map(|line| format!("    {line}\n")).collect()
    }
}

/// Writes the lines of the pipe to the log and passes them on. Prints them at once if `live`.
fn keep(output: PipeReader, mut log: File, live: bool) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(output.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            // A full disk must not end the run. The terminal has the line.
            let _ = log.write_all(&line);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if live {
                say(&text);
            }
            let _ = send.send(text);
            line.clear();
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn step(name: &'static str) -> Step {
        Step::new(name, "a step of a test", 10, |_| Ok(()))
    }

    const fn quick(name: &'static str) -> Step {
        Step { deadline: Duration::from_millis(300), ..step(name) }
    }

    /// Runs steps as shell scripts.
    fn outcomes(scripts: &[(&'static Step, &str)], keep_going: bool) -> Vec<(&'static str, Verdict)> {
        let settings =
            Settings { everything: false, depth: Depth::Gate, keep_going, jobs: 2, filter: Vec::new() };
        let steps: Vec<&Step> = scripts.iter().map(|(step, _)| *step).collect();
        fs::create_dir_all(target_dir().join("verify")).unwrap();
        let program = |step: &Step| {
            let (_, script) = scripts.iter().find(|(other, _)| other.name == step.name).unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let outcomes = supervise(&steps, &settings, &program).unwrap();
        outcomes.into_iter().map(|outcome| (outcome.step, outcome.verdict)).collect()
    }

    fn failed(code: u8) -> Verdict {
        Verdict::Failed(format!("exit status: {code}"))
    }

    #[test]
    fn a_step_that_hangs_is_ended_at_its_deadline_and_the_others_run() {
        static HANGS: Step = quick("test-hangs");
        static GOOD: Step = step("test-good");
        // Ends itself when its standard input ends, as a step does.
        let script = "exec 3<&0; echo before; (read -r _ <&3; kill $$) & exec sleep 600";
        let verdicts = outcomes(&[(&HANGS, script), (&GOOD, "exit 0")], true);
        let expected = [("test-good", Verdict::Passed), ("test-hangs", Verdict::TimedOut(HANGS.deadline))];
        assert_eq!(verdicts, expected);
        assert_eq!(fs::read_to_string(log_file(HANGS.name)).unwrap(), "before\n");
    }

    /// Like nextest, which leads each test in its own group and ends it on a signal.
    #[test]
    fn a_step_that_ends_has_time_to_end_what_it_started() {
        static SLOW: Step = quick("test-slow-end");
        let child = "trap 'sleep 1; echo ended; exit' TERM; while :; do sleep 0.1; done";
        let script = format!("exec 3<&0; sh -c \"{child}\" 3<&- & (read -r _ <&3; kill -s TERM 0) & wait");
        let verdicts = outcomes(&[(&SLOW, &script)], false);
        assert_eq!(verdicts, [("test-slow-end", Verdict::TimedOut(SLOW.deadline))]);
        assert!(fs::read_to_string(log_file(SLOW.name)).unwrap().contains("ended"));
    }

    #[test]
    fn a_failure_ends_the_run_unless_it_keeps_going() {
        static FAILS: Step = step("test-fails");
        static NEXT: Step = Step { after: &["test-fails"], ..step("test-next") };
        // A panic ends a process with 101.
        let scripts = [(&FAILS, "exit 101"), (&NEXT, "exit 0")];
        assert_eq!(outcomes(&scripts, false), [("test-fails", failed(101))]);
        assert_eq!(outcomes(&scripts, true), [("test-fails", failed(101)), ("test-next", Verdict::Passed)]);
    }

    #[test]
    fn what_a_step_leaves_behind_is_killed_with_it() {
        static LEAVES: Step = step("test-leaves");
        let verdicts = outcomes(&[(&LEAVES, "sleep 600 & echo $!")], false);
        assert_eq!(verdicts, [("test-leaves", Verdict::Passed)]);
        let pid = fs::read_to_string(log_file(LEAVES.name)).unwrap();
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        assert!(state.trim().is_empty() || state.starts_with('Z'), "{state}");
    }

    #[test]
    fn one_step_compiles_at_a_time_and_one_that_measures_is_alone() {
        static FIRST: Step = Step { compiles: true, ..step("first") };
        static SECOND: Step = Step { compiles: true, ..step("second") };
        static OTHER: Step = step("other");
        static ALONE: Step = Step { alone: Some(Depth::Full), ..step("alone") };
        let next = |waiting: &[&'static Step], running: &[&'static Step]| {
            let running: Vec<Running> = running
                .iter()
                .map(|step| Running::start(step, step.deadline, Command::new("true"), false).unwrap())
                .collect();
            let waiting: VecDeque<&'static Step> = waiting.iter().copied().collect();
            next_step(&waiting, &running, Depth::Full).map(|position| waiting[position].name)
        };
        assert_eq!(next(&[&SECOND, &OTHER], &[&FIRST]), Some("other"));
        assert_eq!(next(&[&ALONE], &[&OTHER]), None);
        assert_eq!(next(&[&ALONE, &OTHER], &[]), Some("alone"));
        assert_eq!(next(&[&OTHER], &[&ALONE]), None);
    }
}
