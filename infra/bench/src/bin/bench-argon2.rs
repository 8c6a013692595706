//! `cargo bench-argon2`: argon2id of this build beside C libargon2 with the same parameters.
//!
//! Both take turns, so that a busy machine slows both alike. The ratio is that of their fastest hashes, because other
//! load only adds time.

use anyhow::{Context, Result, bail};
use daypass_passwords::HashParams;
use daypass_tools::{argon2_cffi, say, workspace_root};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Memory in KiB and passes: our default, and the other two that OWASP names.
const PARAMETERS: [(u32, u32); 3] = [(19_456, 2), (47_104, 1), (12_288, 3)];
/// Hashes of each per turn.
const ROUNDS: usize = 25;
/// Largest permitted ratio to C's time.
///
/// invariant: argon2id takes at most 1.1 times the time of C libargon2.
const LIMIT: f64 = 1.1;
/// Tries. A busy machine can slow all hashes of one side.
const TRIES: usize = 3;

fn main() -> ExitCode {
    match bench() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a table, and returns whether all limits are kept.
fn bench() -> Result<bool> {
    let python = match argon2_cffi() {
        Ok(python) => python,
        // Without C libargon2, there is nothing to compare.
        Err(error) => {
            say(&format!("C libargon2 is missing, so nothing is compared: {error:#}"));
            return Ok(true);
        }
    };
    let mut child = Command::new(python)
        .arg(workspace_root().join("infra/bench/peers/libargon2.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Python does not start")?;
    let mut asks = child.stdin.take().context("Python has no input")?;
    let mut answers = BufReader::new(child.stdout.take().context("Python has no output")?).lines();
    let mut c = |memory: u32, passes: u32| -> Result<f64> {
        writeln!(asks, "{memory} {passes}")?;
        let nanos: f64 = answers.next().context("Python has stopped")??.parse()?;
        Ok(nanos / 1e6)
    };
    let mut kept = true;
    print(&format!("{:<22} {:>10} {:>14} {:>7}", "argon2id", "this build", "C libargon2", "ratio"));
    for (memory, passes) in PARAMETERS {
        let Ok(params) = format!("argon2id,m={memory},t={passes},p=1").parse::<HashParams>() else {
            bail!("argon2 has no such parameters")
        };
        let mut ratio = f64::INFINITY;
        for _ in 0..TRIES {
            let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..ROUNDS {
                let started = Instant::now();
                params.work(b"correct horse battery staple");
                ours = ours.min(started.elapsed().as_secs_f64() * 1000.0);
                theirs = theirs.min(c(memory, passes)?);
            }
            ratio = ours / theirs;
            print(&format!("m={memory:<7} t={passes}  p=1   {ours:>7.1} ms {theirs:>11.1} ms {ratio:>7.2}"));
            if ratio <= LIMIT {
                break;
            }
        }
        kept = kept && ratio <= LIMIT;
    }
    drop(asks);
    child.wait()?;
    if !kept {
        say(&format!("argon2id of this build takes more than {LIMIT} times what C's takes"));
    }
    Ok(kept)
}

#[expect(clippy::print_stdout, reason = "the figures are what this is run for")]
fn print(text: &str) {
    println!("{text}");
}
