//! Table at the end of a run.

use std::fmt::Write;
use std::time::Duration;

use crate::plan::{Depth, log_file};

/// Result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// Failed, with the status of its process.
    Failed(String),
    /// It exceeded this deadline.
    TimedOut(Duration),
}

/// An ended step.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) step: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

impl Outcome {
    /// `passed in 2.4s`, `FAILED after 1m 05s (exit status: 1)`.
    pub(crate) fn in_words(&self) -> String {
        let took = minutes(self.took);
        match &self.verdict {
            Verdict::Passed => format!("passed in {took}"),
            Verdict::Failed(how) => format!("FAILED after {took} ({how})"),
            Verdict::TimedOut(deadline) => {
                format!("TIMED OUT at its deadline of {}", minutes(*deadline))
            }
        }
    }
}

/// The table of all selected steps, and the command that repeats a failed one.
pub(crate) fn summary(chosen: &[&str], outcomes: &[Outcome], total: Duration, depth: Depth) -> String {
    let mut text = String::new();
    for name in chosen {
        let outcome = outcomes.iter().find(|outcome| outcome.step == *name);
        let (word, took) = match outcome {
            Some(Outcome { verdict: Verdict::Passed, took, .. }) => ("ok", minutes(*took)),
            Some(Outcome { verdict: Verdict::Failed(_), took, .. }) => ("FAILED", minutes(*took)),
            Some(Outcome { verdict: Verdict::TimedOut(_), took, .. }) => ("TIMED OUT", minutes(*took)),
            None => ("not run", String::new()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", format!("  {name:<11} {word:<10} {took:>8}").trim_end());
    }
    let failed: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed).collect();
    for outcome in &failed {
        let full = if depth == Depth::Full { " --full" } else { "" };
        let _ = writeln!(
            text,
            "{} {}. Alone: cargo verify{full} --only {}. Its output: {}",
            outcome.step,
            outcome.in_words(),
            outcome.step,
            log_file(outcome.step).display()
        );
    }
    let passed = outcomes.len() - failed.len();
    let _ = match failed.as_slice() {
        [] => write!(text, "all of {passed} passed in {} (depth: {})", minutes(total), depth.name()),
        failed => write!(text, "{} of {} failed in {}", failed.len(), chosen.len(), minutes(total)),
    };
    text
}

/// `3.4s`, and from one minute `12m 05s`.
fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    format!("{}m {:02}s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: &'static str, verdict: Verdict, seconds: u64) -> Outcome {
        Outcome { step, verdict, took: Duration::from_secs(seconds) }
    }

    #[test]
    fn each_failure_is_named_with_the_command_that_repeats_it() {
        let outcomes = [
            outcome("fmt", Verdict::Passed, 2),
            outcome("clippy", Verdict::Failed("exit status: 1".to_owned()), 125),
            outcome("test", Verdict::TimedOut(Duration::from_secs(600)), 601),
        ];
        let steps = ["fmt", "clippy", "docs", "test"];
        let text = summary(&steps, &outcomes, Duration::from_secs(630), Depth::Gate);
        let table = "  fmt         ok             2.0s\n  clippy      FAILED       2m 05s\n  docs        not run\n  \
                     test        TIMED OUT   10m 01s\n";
        assert!(text.starts_with(table), "{text}");
        assert!(text.contains(
            "\nclippy FAILED after 2m 05s (exit status: 1). Alone: cargo verify --only clippy. Its output: "
        ));
        assert!(text.contains("\ntest TIMED OUT at its deadline of 10m 00s. Alone: "), "{text}");
        assert!(text.ends_with("\n2 of 4 failed in 10m 30s"), "{text}");
    }

    #[test]
    fn a_full_pass_counts_the_steps() {
        let text =
            summary(&["fmt"], &[outcome("fmt", Verdict::Passed, 1)], Duration::from_secs(1), Depth::Full);
        assert!(text.ends_with("all of 1 passed in 1.0s (depth: full)"), "{text}");
    }
}
