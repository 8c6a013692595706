//! Output and input at a real terminal.

use crate::bench::{Bench, PASSWORD};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of a step of the command.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command on its own terminal.
struct Terminal {
    pty: Pty,
    child: Arc<Mutex<Child>>,
    seen: String,
}

/// Ends a command that waits for input, so that the test fails instead of hanging.
fn watch(child: Weak<Mutex<Child>>) {
    thread::spawn(move || {
        thread::sleep(PATIENCE);
        if let Some(child) = child.upgrade() {
            child.lock().unwrap().kill().unwrap();
        }
    });
}

impl Terminal {
    fn start(bench: &Bench, args: &[&str]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 120)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_daypass"))
            .args(args)
            .current_dir(bench.folder.path())
            .env_clear()
            .env("HOME", bench.folder.path())
            .env("TERM", "xterm")
            .env("AWS_ENDPOINT_URL", bench.url())
            .env("DAYPASS_KEYS", &bench.keys)
            .spawn(pts)
            .unwrap();
        let child = Arc::new(Mutex::new(child));
        watch(Arc::downgrade(&child));
        Self { pty, child, seen: String::new() }
    }

    /// Reads until the text appears.
    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "the command ended without {text:?}: {:?}", self.seen);
        }
    }

    /// Reads more; `false` if the command has closed the terminal.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 1024];
        match self.pty.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                true
            }
            // Linux returns EIO instead of the end of the file.
            Ok(0) | Err(_) => false,
        }
    }

    /// Types a line once the terminal no longer echoes.
    fn type_hidden(&mut self, line: &str) {
        let begun = Instant::now();
        while tcgetattr(&self.pty).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(begun.elapsed() < PATIENCE, "the terminal still echoes: {:?}", self.seen);
            thread::sleep(Duration::from_millis(5));
        }
        self.type_line(line);
    }

    fn type_line(&mut self, line: &str) {
        self.pty.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Exit code and screen.
    fn end(mut self) -> (i32, String) {
        while self.read() {}
        let status = self.child.lock().unwrap().wait().unwrap();
        let screen = self.seen.replace("\r\n", "\n");
        (status.code().unwrap_or_else(|| panic!("the command did not end by itself: {screen}")), screen)
    }
}

/// Answers both prompts.
fn answer(terminal: &mut Terminal, first: &str, second: &str) {
    terminal.expect("New password: ");
    terminal.type_hidden(first);
    terminal.expect("Repeat the password: ");
    terminal.type_hidden(second);
}

#[test]
fn a_password_is_asked_for_twice_and_never_shown() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &["user", "add", "alice"]);
    answer(&mut terminal, PASSWORD, PASSWORD);
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Added alice as usr_") && !screen.contains(PASSWORD), "{screen}");
    assert!(bench.accepts(&bench.user("alice").unwrap(), PASSWORD));

    let changed = "an altogether different one";
    let mut terminal = Terminal::start(&bench, &["user", "set-password", "alice"]);
    answer(&mut terminal, changed, changed);
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(changed), "{screen}");
    assert!(bench.accepts(&bench.user("alice").unwrap(), changed));
}

#[test]
fn two_that_differ_change_nothing() {
    let bench = Bench::new();
    let mut terminal = Terminal::start(&bench, &["user", "add", "alice"]);
    answer(&mut terminal, PASSWORD, "correct horse battery stable");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(
        screen.contains("error: the two passwords differ\nhint: nothing was changed; run the command again"),
        "{screen}"
    );
    assert_eq!(bench.user("alice"), None);
}

#[test]
fn nobody_types_a_password_for_nothing() {
    let bench = Bench::new();
    bench.add("alice");
    let (code, screen) = Terminal::start(&bench, &["user", "add", "alice"]).end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.starts_with("error: the user alice already exists\n"), "{screen}");
    let (code, screen) = Terminal::start(&bench, &["user", "add", "bob", "--password-stdin"]).end();
    assert_eq!(code, 1, "{screen}");
    assert!(
        screen.starts_with("error: standard input is a terminal, which would show the password\n"),
        "{screen}"
    );
}

#[test]
fn removing_asks_first() {
    let bench = Bench::new();
    bench.add("alice");
    for (typed, gone) in [("", false), ("n", false), ("yesterday", false), ("y", true)] {
        let mut terminal = Terminal::start(&bench, &["user", "remove", "alice"]);
        terminal.expect("Remove alice and end the user's sessions? [y/N] ");
        terminal.type_line(typed);
        let (code, screen) = terminal.end();
        assert_eq!(code, i32::from(!gone), "{screen}");
        assert_eq!(screen.contains("error: not confirmed; nothing was changed"), !gone, "{screen}");
        assert_eq!(bench.user("alice").is_none(), gone, "{typed:?}");
    }
}

#[test]
fn secrets_on_a_screen_come_with_a_warning() {
    let bench = Bench::new();
    let (code, screen) = Terminal::start(&bench, &["key", "generate"]).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.starts_with("note: these secrets stay") && screen.contains(r#""private""#), "{screen}");
}

#[test]
fn a_terminal_shows_the_progress_of_import_and_export() {
    let bench = Bench::new();
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let lines: String =
        (0..50).map(|n| format!("{{\"username\":\"u{n}\",\"password_hash\":\"{hash}\"}}\n")).collect();
    std::fs::write(bench.folder.path().join("users.jsonl"), lines).unwrap();
    let (code, screen) = Terminal::start(&bench, &["user", "import", "users.jsonl"]).end();
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains("% ") && screen.contains(" users, ") && screen.contains(" per second, "),
        "{screen}"
    );
    let (code, screen) = Terminal::start(&bench, &["user", "export", "--out", "out.jsonl"]).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains(" users, ") && screen.contains("note: exported 50 users"), "{screen}");
    assert!(!screen.contains('%'), "{screen}");
}
