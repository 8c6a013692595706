//! Running `cargo test` and refusing a run that tested nothing or left something out.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use daypass_tools::command_line;

/// What the test runners of one `cargo test` said together.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    ignored: u64,
}

/// Runs a `cargo test` command with its output passed through.
///
/// # Errors
/// When a test fails, when no test ran at all, and when one was ignored: a skipped test proves nothing.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("could not start `{line}`"))?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        tally = pass_through(BufReader::new(stdout), std::io::stdout().lock())?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    accept(&tally).with_context(|| format!("`{line}` is not a pass"))
}

fn accept(tally: &Tally) -> Result<()> {
    match tally {
        Tally { passed: 0, .. } => bail!("no test ran"),
        Tally { ignored: 0, .. } => Ok(()),
        Tally { ignored, .. } => bail!("{ignored} tests were ignored; run them or delete them"),
    }
}

/// Copies the runner's output line by line and adds up its results.
fn pass_through(mut from: impl BufRead, mut to: impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        if text.starts_with("test result: ") {
            tally.passed += count(&text, "passed;");
            tally.ignored += count(&text, "ignored;");
        }
        line.clear();
    }
    to.flush()?;
    Ok(tally)
}

/// The number before `word` in a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
fn count(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = words.windows(2).find_map(|pair| match pair {
        [number, found] if *found == word => number.parse().ok(),
        _ => None,
    });
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut copy = Vec::new();
        let tally = pass_through(output.as_bytes(), &mut copy).unwrap();
        assert_eq!(copy, output.as_bytes(), "the output must reach the terminal unchanged");
        tally
    }

    #[test]
    fn results_of_all_runners_are_added_up() {
        let output = "running 2 tests\n\
                      test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                      noise: 5 passed; 5 ignored;\n\
                      test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(tally(output), Tally { passed: 15, ignored: 1 });
    }

    #[test]
    fn colours_and_bytes_that_are_not_text_are_no_obstacle() {
        assert_eq!(
            tally("test result: \x1b[32mok\x1b(B\x1b[m. 4 passed; 0 failed; 2 ignored; 0 measured\n").passed,
            4
        );
        let mut copy = Vec::new();
        assert_eq!(pass_through(&b"\xff\xfe\n"[..], &mut copy).unwrap(), Tally::default());
        assert_eq!(copy, b"\xff\xfe\n");
    }

    #[test]
    fn nothing_tested_and_something_skipped_are_failures() {
        assert_eq!(accept(&Tally::default()).unwrap_err().to_string(), "no test ran");
        let skipped = Tally { passed: 9, ignored: 2 };
        assert_eq!(
            accept(&skipped).unwrap_err().to_string(),
            "2 tests were ignored; run them or delete them"
        );
        accept(&Tally { passed: 1, ignored: 0 }).unwrap();
    }

    #[test]
    fn a_failing_runner_is_an_error_with_its_command() {
        let error = run_tests(Command::new("sh").args(["-c", "exit 101"])).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'exit 101'` ended with exit status: 101");
    }
}
