//! Progress of a long command, on standard error if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A progress bar over the bytes of the input, with a count of users.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `bytes` of input, or a spinner for an input of unknown length.
    pub(crate) fn new(bytes: Option<u64>) -> Self {
        let template = match bytes {
            Some(_) => "[{bar:24}] {percent:>3}% {msg}, {eta} left",
            None => "{spinner} {msg}",
        };
        // A template is a constant, and a test draws both.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr_with_hz(5));
        Self { bar: bar.with_style(style.progress_chars("##.")) }
    }

    /// No progress, for a command that prints its results as it goes.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Time since the work began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }

    /// Draws the finished users, and the bytes of the input that are read.
    pub(crate) fn draw(&self, users: u64, bytes: u64) {
        self.bar.set_message(format!("{users} users, {:.0} per second", per_second(users, self.elapsed())));
        self.bar.set_position(bytes);
    }

    /// Prints other text while the bar is hidden.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Users per second.
pub(crate) fn per_second(users: u64, elapsed: Duration) -> f64 {
    users as f64 / elapsed.as_secs_f64().max(0.001)
}
