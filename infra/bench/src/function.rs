//! A function as a process with its own Runtime API.

use crate::runtime_api::{Exchange, RuntimeApi};
use crate::share::Share;
use anyhow::{Context, Result, bail};
use daypass_testkit::runtime_api::variables;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to start a function, its events and its expected response.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Additional variables. The function inherits no other variable of this process.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) exchange: Arc<dyn Exchange>,
    /// Text that its response must contain.
    pub(crate) expected: &'static str,
}

/// A function that has answered once. Drop kills it.
pub(crate) struct Running {
    child: Child,
    api: RuntimeApi,
    pub(crate) start: Start,
}

/// Times of a start.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// From the start of the process to its request for the first event: Lambda's init.
    pub(crate) until_next: Duration,
    /// From the start of the process to its first response.
    pub(crate) until_answer: Duration,
}

impl Function {
    /// Starts the function, and waits for its first response.
    ///
    /// # Errors
    /// It cannot start, ends, or returns an unexpected response.
    pub(crate) fn start(&self) -> Result<Running> {
        self.start_with(None)
    }

    /// As [`Function::start`], with this share of a processor; `None` for all of it.
    ///
    /// # Errors
    /// Those of [`Function::start`], and those of the control group.
    pub(crate) fn start_with(&self, share: Option<&Share>) -> Result<Running> {
        let api = RuntimeApi::start(Arc::clone(&self.exchange), self.expected, 1)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(variables("authorizer", &api.address(), 128))
            .env("AWS_REGION", "eu-central-1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let started = Instant::now();
        let child = match share {
            Some(share) => share.spawn(&mut command),
            None => command.spawn().map_err(Into::into),
        };
        let child = child.with_context(|| format!("could not start {}", self.program.display()))?;
        let start = Start { until_next: Duration::ZERO, until_answer: Duration::ZERO };
        let mut running = Running { child, api, start };
        let (next, answer) = running.api.first_answer(|| still_runs(&mut running.child))?;
        running.start = Start { until_next: next - started, until_answer: answer - started };
        Ok(running)
    }
}

impl Running {
    /// Duration of each of `count` invocations, from the event to the response.
    ///
    /// # Errors
    /// It ends, or returns an unexpected response.
    pub(crate) fn invoke(&mut self, count: usize) -> Result<Vec<Duration>> {
        self.api.invoke(count, || still_runs(&mut self.child))
    }

    /// Time of a processor that its threads have used; `None` without `/proc`.
    /// <https://docs.kernel.org/scheduler/sched-stats.html>
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let nanoseconds = tasks.map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Some(Duration::from_nanos(nanoseconds.sum::<Option<u64>>()?))
    }

    /// Resident memory, in bytes; `None` without `/proc`.
    pub(crate) fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        resident(&status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // No failure here can be handled.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails with the output of a function that has ended.
fn still_runs(child: &mut Child) -> Result<()> {
    let Some(status) = child.try_wait()? else { return Ok(()) };
    let mut printed = String::new();
    if let Some(stdout) = &mut child.stdout {
        let _ = stdout.read_to_string(&mut printed);
    }
    bail!("it ended with {status} {}", printed.trim())
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_read() {
        let status = "Name:\tauthorizer\nVmHWM:\t    5000 kB\nVmRSS:\t    4508 kB\nThreads:\t1\n";
        assert_eq!(resident(status), Some(4508 * 1024));
        assert_eq!(resident("Name:\tauthorizer\n"), None);
    }

    #[test]
    fn a_function_that_ends_says_why() {
        let function = Function {
            program: "sh".into(),
            arguments: vec!["-c".into(), "echo no keys; exit 3".into()],
            environment: vec![],
            exchange: Arc::new("{}".to_owned()),
            expected: "true",
        };
        let error = function.start().err().unwrap().to_string();
        assert_eq!(error, "it ended with exit status: 3 no keys");
    }
}
