//! The table at the end of a run.

use std::fmt::Write;
use std::time::Duration;

/// How a step that was started has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Name of the step.
    pub(crate) step: &'static str,
    pub(crate) passed: bool,
    pub(crate) took: Duration,
}

/// The table of all chosen steps, and how to run a failed one alone.
pub(crate) fn summary(chosen: &[&str], outcomes: &[Outcome], total: Duration) -> String {
    let mut text = String::new();
    for name in chosen {
        let outcome = outcomes.iter().find(|outcome| outcome.step == *name);
        let (word, took) = match outcome {
            Some(outcome) if outcome.passed => ("ok", minutes(outcome.took)),
            Some(outcome) => ("FAILED", minutes(outcome.took)),
            None => ("not run", String::new()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", format!("  {name:<10} {word:<8} {took:>8}").trim_end());
    }
    let _ = match outcomes.iter().find(|outcome| !outcome.passed) {
        Some(failed) => write!(
            text,
            "{} failed after {}. Alone: cargo verify --only {}",
            failed.step,
            minutes(total),
            failed.step
        ),
        None => write!(text, "all of {} passed in {}", chosen.len(), minutes(total)),
    };
    text
}

/// `3.4s`, from one minute on `12m 05s`.
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

    #[test]
    fn a_failure_is_told_with_the_command_that_repeats_it() {
        let outcomes = [
            Outcome { step: "fmt", passed: true, took: Duration::from_millis(840) },
            Outcome { step: "clippy", passed: false, took: Duration::from_secs(125) },
        ];
        let text = summary(&["fmt", "clippy", "docs"], &outcomes, Duration::from_secs(126));
        let expected = "  fmt        ok           0.8s\n  clippy     FAILED     2m 05s\n  docs       not run\n\
                        clippy failed after 2m 06s. Alone: cargo verify --only clippy";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_full_pass_counts_the_steps() {
        let outcomes = [Outcome { step: "fmt", passed: true, took: Duration::from_secs(1) }];
        assert!(summary(&["fmt"], &outcomes, Duration::from_secs(1)).ends_with("all of 1 passed in 1.0s"));
    }
}
