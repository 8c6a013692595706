//! How far a long piece of work has come, on a terminal and nowhere else.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar.
const WIDTH: u64 = 24;

/// One line of standard error that is drawn over.
pub(crate) struct Progress {
    /// Bytes of the input, when they are known.
    bytes: Option<u64>,
    started: Instant,
    drawn: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(bytes: Option<u64>) -> Self {
        Self { bytes, started: Instant::now(), drawn: None, terminal: io::stderr().is_terminal() }
    }

    /// Since the work began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Draws how many users are done, and how many bytes of the input.
    pub(crate) fn draw(&mut self, users: u64, bytes: u64) {
        if !self.terminal || self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let text = line(users, bytes, self.bytes, self.started.elapsed());
        // Best effort: what cannot be drawn does not stop the work.
        let _ = write!(io::stderr(), "\r\u{1b}[K{text}").and_then(|()| io::stderr().flush());
    }

    /// Takes the line away, so that something else can be said.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\u{1b}[K").and_then(|()| io::stderr().flush());
        }
    }
}

fn line(users: u64, bytes: u64, all: Option<u64>, elapsed: Duration) -> String {
    let rate = per_second(users, elapsed);
    let Some(all) = all.filter(|all| *all > 0) else { return format!("{users} users, {rate:.0} a second") };
    let done = bytes.min(all);
    let full = usize::try_from(WIDTH * done / all).unwrap_or_default();
    let bar =
        format!("{}{}", "#".repeat(full), ".".repeat(usize::try_from(WIDTH).unwrap_or_default() - full));
    let left = if done == 0 {
        String::new()
    } else {
        let seconds = elapsed.as_secs_f64() * (all - done) as f64 / done as f64;
        format!(", {seconds:.0} s left")
    };
    format!("[{bar}] {:>3}% {users} users, {rate:.0} a second{left}", 100 * done / all)
}

/// How many a second.
pub(crate) fn per_second(users: u64, elapsed: Duration) -> f64 {
    users as f64 / elapsed.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let at = |bytes| line(50, bytes, Some(100), Duration::from_secs(10));
        assert_eq!(at(0), "[........................]   0% 50 users, 5 a second");
        assert_eq!(at(50), "[############............]  50% 50 users, 5 a second, 10 s left");
        assert_eq!(at(100), "[########################] 100% 50 users, 5 a second, 0 s left");
        assert_eq!(at(200), at(100));
        assert_eq!(line(50, 9, None, Duration::from_secs(10)), "50 users, 5 a second");
        assert_eq!(line(0, 0, Some(0), Duration::ZERO), "0 users, 0 a second");
    }
}
