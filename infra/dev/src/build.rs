//! Build of the functions before `cargo lambda watch` runs them, so that errors and progress appear at once.

use super::console::Console;
use super::error::StackError;
use super::settings::{Cancel, functions};
use daypass_tools::cargo;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);

/// Builds every function with the profile and features of `cargo lambda watch`, which runs `cargo run --bin NAME` in
/// the workspace root. That command resolves the features of *all* members. `--package` would resolve others and
/// compile everything a second time.
///
/// `others` are more binaries to build.
///
/// On a quiet console, Cargo's output goes to `log`, and its last lines go into the error.
pub(super) fn build(
    others: &[&'static str],
    console: Console,
    log: &Path,
    cancel: &Cancel,
) -> Result<(), StackError> {
    let mut command = cargo();
    command.arg("build").stdin(Stdio::null());
    for binary in functions().chain(others.iter().copied()) {
        command.args(["--bin", binary]);
    }
    if !matches!(console, Console::Terminal) {
        command.stderr(File::create(log).map_err(|error| not_run(&error))?);
    }
    match run(&mut command, cancel).map_err(|error| not_run(&error))? {
        None => Err(StackError::cancelled()),
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(does_not_compile(console, log)),
    }
}

fn does_not_compile(console: Console, log: &Path) -> StackError {
    let error = StackError::new("the functions do not compile", "fix the compiler errors, then start again");
    match console {
        Console::Terminal => error,
        Console::Quiet | Console::To(_) => {
            error.with_details(std::fs::read_to_string(log).unwrap_or_default())
        }
    }
}

fn not_run(error: &io::Error) -> StackError {
    StackError::new(format!("the functions cannot be built: {error}"), "is `cargo` on the PATH?")
}

/// Runs to the end. Returns `None` if the start is cancelled.
fn run(command: &mut Command, cancel: &Cancel) -> io::Result<Option<ExitStatus>> {
    let mut group = Group(command.process_group(0).spawn()?);
    loop {
        if let Some(status) = group.0.try_wait()? {
            return Ok(Some(status));
        }
        if cancel.is_cancelled() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Cargo with its compilers. Drop ends all of them.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // The standard library signals one process, not a group.
            let group = format!("-{}", self.0.id());
            let _ = Command::new("kill").args(["-s", "TERM", "--", &group]).status();
            let _ = self.0.wait();
        }
    }
}
