//! Cargo for the `cargo lambda watch` that `cargo dev` starts.
//!
//! `run --bin NAME` runs the built binary, and restarts it whenever a build replaces it. Cargo would instead take the
//! lock of the build folder and check the workspace for each process. All other commands go to the real Cargo, which
//! [`REAL`] names.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

/// Variable with the path of the real Cargo.
const REAL: &str = "DEV_CARGO";
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match binary(&arguments) {
        Some(name) => {
            let folder = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_path_buf));
            supervise(&folder.unwrap_or_default().join(name));
            ExitCode::SUCCESS
        }
        None => {
            let cargo = env::var_os(REAL).unwrap_or_else(|| "cargo".into());
            let error = Command::new(&cargo).env("CARGO", &cargo).args(arguments).exec();
            complain(&format!("error: the real Cargo cannot be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The `NAME` of `run ... --bin NAME`.
fn binary(arguments: &[OsString]) -> Option<&OsStr> {
    let (first, rest) = arguments.split_first()?;
    let option = rest.iter().position(|argument| argument == "--bin")?;
    (first == "run").then(|| rest.get(option + 1)).flatten().map(OsString::as_os_str)
}

/// Runs the file at `path`, and restarts it after a build replaced it. Returns when the parent process has ended.
fn supervise(path: &Path) {
    let parent = parent_id();
    let mut function = Function { path: path.to_path_buf(), identity: None, process: None };
    while parent_id() == parent {
        function.look();
        thread::sleep(PAUSE);
    }
}

/// A function with its process, if it runs.
struct Function {
    path: PathBuf,
    /// Identity of the last started file.
    identity: Option<Identity>,
    process: Option<Child>,
}

impl Function {
    /// Starts the process of a new file, and reports a process that has ended.
    fn look(&mut self) {
        // While Cargo replaces the file, it is briefly absent.
        let identity = Identity::of(&self.path);
        if identity.is_some() && identity != self.identity {
            self.stop();
            self.identity = identity;
            match Command::new(&self.path).spawn() {
                Ok(process) => self.process = Some(process),
                Err(error) => complain(&format!("ERROR command exited error={error}")),
            }
        }
        if let Some(status) = self.end() {
            self.process = None;
            // cargo-lambda's line, which `trim` recognises.
            complain(&format!("ERROR command exited {status}"));
        }
    }

    fn end(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.try_wait().ok()?
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Identity of a file. A linker writes a new file for each build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self { device: file.dev(), inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(20);

    fn install(folder: &Path, script: &str) {
        let new = folder.join("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, folder.join("function")).unwrap();
    }

    fn look_until(function: &mut Function, reached: impl Fn(&Function) -> bool) {
        let started = Instant::now();
        while !reached(function) {
            assert!(started.elapsed() < SOON);
            function.look();
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn only_the_run_of_a_binary_is_ours() {
        let binary_of = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            binary(&arguments).map(|name| name.to_string_lossy().into_owned())
        };
        let run = "run --quiet --color never --manifest-path Cargo.toml --bin login";
        assert_eq!(binary_of(run).as_deref(), Some("login"));
        for other in ["metadata --no-deps", "build --bin login", "run", "run --bin"] {
            assert_eq!(binary_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_new_file_replaces_the_process_and_a_bad_one_is_recovered_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("function");
        let mut function = Function { path, identity: None, process: None };
        function.look();
        assert!(function.process.is_none());

        install(folder.path(), "exec sleep 600");
        look_until(&mut function, |function| function.process.is_some());
        let first = function.process.as_ref().unwrap().id();
        function.look();
        assert_eq!(function.process.as_ref().unwrap().id(), first);

        install(folder.path(), "exit 1");
        look_until(&mut function, |function| function.process.is_none());
        function.look();
        assert!(function.process.is_none(), "a failed process is not restarted");

        install(folder.path(), "exec sleep 601");
        look_until(&mut function, |function| function.process.is_some());
        assert_ne!(function.process.as_ref().unwrap().id(), first);
    }
}
