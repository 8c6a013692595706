//! Child processes, with errors that name the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

use anyhow::{Error, Result, anyhow, bail};

use crate::workspace_root;

/// Prints one line of progress to standard error.
#[expect(clippy::print_stderr, reason = "the one place that prints progress")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Cargo in the workspace root: the Cargo that runs this program, so that a toolchain override stays.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(cargo_program().unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    // `cargo run` sets variables of *this* package. A build script that watches one of them would run again after each
    // manual call of Cargo.
    for (name, _) in env::vars_os() {
        if is_about_this_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Path of Cargo, from the variable that Cargo sets for its children.
fn cargo_program() -> Option<OsString> {
    env::var_os("CARGO")
}

fn is_about_this_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs `command` to its end, and passes its output through.
///
/// # Errors
/// It cannot start, or ends with another status than 0. The error names `step`, the command line and the status.
pub fn run(step: &str, command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| not_started(step, command, error))?;
    if !status.success() {
        bail!("{step} failed: `{}` ended with {status}", command_line(command));
    }
    Ok(())
}

/// Runs `command` to its end, and shows its output only in an error.
pub(crate) fn run_quietly(step: &str, command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null());
    let output = command.output().map_err(|error| not_started(step, command, error))?;
    if !output.status.success() {
        bail!(
            "{step} failed: `{}` ended with {}\n{}",
            command_line(command),
            output.status,
            last_lines(&output)
        );
    }
    Ok(())
}

fn not_started(step: &str, command: &Command, error: std::io::Error) -> Error {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("{step} failed: `{program}` was not found (is it installed, and on the PATH?)")
        }
        _ => anyhow!(error).context(format!("{step} failed: `{program}` could not be started")),
    }
}

/// The command line as a person types it.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let program = command.get_program();
    let program =
        if cargo_program().is_some_and(|cargo| cargo == program) { OsStr::new("cargo") } else { program };
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Last lines of a failed command's output.
fn last_lines(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(30);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command.args(["test", "--", "it's", "a b", ""]);
        assert_eq!(command_line(&command), r"cargo test -- 'it'\''s' 'a b' ''");
        // Not the path of the toolchain.
        assert_eq!(command_line(cargo().arg("fmt")), "cargo fmt");
    }

    #[test]
    fn a_failure_names_the_step_the_command_and_the_status() {
        let error = run("demo", Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert_eq!(error, "demo failed: `sh -c 'exit 3'` ended with exit status: 3");
    }

    #[test]
    fn a_quiet_failure_carries_the_end_of_the_output() {
        let script = "for i in $(seq 100); do echo line $i; done; echo why >&2; exit 1";
        let error = run_quietly("demo", Command::new("sh").args(["-c", script])).unwrap_err().to_string();
        assert!(error.ends_with("line 99\nline 100\nwhy"), "{error}");
        assert!(!error.contains("line 70\n"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_do() {
        let error = run("demo", &mut Command::new("daypass-no-such-program")).unwrap_err().to_string();
        assert!(error.contains("`daypass-no-such-program` was not found"), "{error}");
    }

    #[test]
    fn cargo_does_not_inherit_what_describes_this_package() {
        assert!(is_about_this_package(OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(is_about_this_package(OsStr::new("CARGO_PKG_NAME")));
        assert!(!is_about_this_package(OsStr::new("CARGO_TARGET_DIR")));
        assert!(!is_about_this_package(OsStr::new("CARGO_HOME")));
    }
}
