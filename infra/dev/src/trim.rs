//! Filter of the output of `cargo lambda watch`. It shortens the functions' events, shows each compiler message once
//! although every process repeats it, and drops bookkeeping.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Prefixes of bookkeeping lines of cargo-lambda, `lambda_runtime` and the compiler. Cargo itself runs with `--quiet`
/// and prints errors and warnings only.
const NOISE: [&str; 3] =
    ["INFO ", "Lambda Runtime API returned non-200", "For more information about this error"];
/// A remark of `lambda_runtime`. The processes interleave its pieces.
const REMARK: &str = "the concurrency-tokio feature is not enabled";
/// Time in which the processes of a function repeat a line after one edit.
const ECHO: Duration = Duration::from_secs(5);
/// Members of an event without information for a terminal.
const UNSHOWN: [&str; 6] = ["v", "timestamp", "level", "event", "request_id", "source_ip"];
/// cargo-lambda's line for a process that it ended after an edit.
const KILLED: &str = "ERROR command killed";
/// cargo-lambda's line for a failed process.
const EXITED: &str = "ERROR command exited";

/// Whether a line reports a failed process.
pub(super) fn is_exit(line: &str) -> bool {
    line.trim_start().starts_with(EXITED)
}

/// Filters the output line by line.
#[derive(Debug, Default)]
pub(super) struct Trim {
    /// The compiler message that is being collected.
    message: Vec<String>,
    /// Recent lines, each with its last time.
    said: BTreeMap<String, Instant>,
}

impl Trim {
    /// Returns the lines to show after `line` at time `now`.
    pub(super) fn push(&mut self, line: &str, now: Instant) -> Vec<String> {
        if continues_message(line) && !self.message.is_empty() {
            self.message.push(line.to_owned());
            return Vec::new();
        }
        let mut lines = self.finish_message(now);
        if line.starts_with("error") || line.starts_with("warning") {
            self.message.push(line.to_owned());
        } else {
            lines.extend(self.single(line, now));
        }
        lines
    }

    /// Returns the collected message if it is complete and not a repetition.
    fn finish_message(&mut self, now: Instant) -> Vec<String> {
        let message = std::mem::take(&mut self.message);
        if message.is_empty() || self.is_echo(message.join("\n"), now) {
            return Vec::new();
        }
        message
    }

    fn single(&mut self, line: &str, now: Instant) -> Option<String> {
        let trimmed = line.trim();
        let noise = NOISE.iter().any(|noise| trimmed.starts_with(noise)) || trimmed.contains(REMARK);
        if noise || trimmed.is_empty() {
            return None;
        }
        let line = if trimmed.starts_with(KILLED) {
            "a source file was edited: the functions restart ..."
        } else if is_exit(trimmed) {
            "a function has stopped: it starts again when a source file is edited"
        } else {
            return Some(event(trimmed).unwrap_or_else(|| line.to_owned()));
        };
        let line = line.to_owned();
        (!self.is_echo(line.clone(), now)).then_some(line)
    }

    fn is_echo(&mut self, text: String, now: Instant) -> bool {
        self.said.retain(|_, said| now.duration_since(*said) < ECHO);
        self.said.insert(text, now).is_some()
    }
}

/// Whether a line continues the compiler message: source, notes.
fn continues_message(line: &str) -> bool {
    line.starts_with([' ', '|', '=', '.']) || line.starts_with(|c: char| c.is_ascii_digit())
}

/// Shortens a function's JSON line: `WARN  login.refused reason=unknown_user`.
fn event(line: &str) -> Option<String> {
    let members: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let (event, level) = (text("event")?, text("level").unwrap_or("INFO"));
    let shown = members.iter().filter(|(name, value)| !UNSHOWN.contains(&name.as_str()) && !value.is_null());
    let details: String = shown.map(|(name, value)| format!(" {name}={}", short(value))).collect();
    Some(format!("{level:<5} {event}{details}"))
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().all(|c| c.is_ascii_graphic()) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> Vec<String> {
        let (mut trim, now) = (Trim::default(), Instant::now());
        output.lines().flat_map(|line| trim.push(line, now)).collect()
    }

    #[test]
    fn events_are_short_and_bookkeeping_is_gone() {
        let output = r#" INFO starting Runtime server runtime_addr=127.0.0.1:9123
AWS_LAMBDA_MAX_CONCURRENCY is set to '1', but the concurrency-tokio feature is not enabled; running sequentially
{"v":1,"timestamp":1,"level":"INFO","event":"login.succeeded","user":"usr_1","detail":"a b","request_id":"r","source_ip":"::1"}
{"timestamp":1,"level":"WARN","event":"x","nothing":null}
a line of the developer's own
{"not":"an event"}"#;
        assert_eq!(
            shown(output),
            [
                "INFO  login.succeeded detail=\"a b\" user=usr_1",
                "WARN  x",
                "a line of the developer's own",
                "{\"not\":\"an event\"}"
            ]
        );
    }

    #[test]
    fn a_compiler_message_is_shown_once_per_edit() {
        let attempt = "ERROR command killed code=ForceStop
error[E0425]: cannot find value `nonsense` in this scope
  --> infra/examples/whoami/src/lib.rs:23:45
   |
23 |         nonsense,
   |         ^^^^^^^^ not found in this scope

For more information about this error, try `rustc --explain E0425`.
error: could not compile `daypass-whoami` (lib) due to 1 previous error
ERROR command exited code=101
";
        let expected = [
            "a source file was edited: the functions restart ...",
            "error[E0425]: cannot find value `nonsense` in this scope",
            "  --> infra/examples/whoami/src/lib.rs:23:45",
            "   |",
            "23 |         nonsense,",
            "   |         ^^^^^^^^ not found in this scope",
            "error: could not compile `daypass-whoami` (lib) due to 1 previous error",
            "a function has stopped: it starts again when a source file is edited",
        ];
        assert_eq!(shown(&format!("{attempt}{attempt}{attempt}")), expected);

        // The same again, later: another edit.
        let (mut trim, now) = (Trim::default(), Instant::now());
        let mut lines_at = |time| attempt.lines().flat_map(|line| trim.push(line, time)).collect::<Vec<_>>();
        assert_eq!(lines_at(now), expected);
        assert!(lines_at(now + ECHO / 2).is_empty());
        assert!(lines_at(now + ECHO).is_empty());
        assert_eq!(lines_at(now + ECHO * 3), expected);
    }
}
