//! The gateway's requests, as lines on the terminal.

use daypass_tools::say;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};

/// Prints the gateway's log to standard error. A second call changes nothing.
pub(super) fn print() {
    let _ = subscriber::set_global_default(Requests);
}

/// Subscriber of the gateway's events only.
struct Requests;

impl Subscriber for Requests {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("daypass_gateway")
            && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        say(&line.text(*event.metadata().level()));
    }

    // No span is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Fields of one event.
#[derive(Debug, Default, PartialEq)]
struct Line {
    method: String,
    path: String,
    status: String,
    function: String,
    ms: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let slot = match field.name() {
            "method" => &mut self.method,
            "path" => &mut self.path,
            "status" => &mut self.status,
            "function" => &mut self.function,
            "ms" => &mut self.ms,
            "message" => &mut self.message,
            _ => return,
        };
        *slot = format!("{value:?}");
    }
}

impl Line {
    fn text(&self, level: Level) -> String {
        let Self { method, path, status, function, ms, message } = self;
        let path = path.trim_matches('"');
        if level < Level::INFO {
            return format!("{method} {path}: {message}");
        }
        let arrow = if function.is_empty() { String::new() } else { format!(" -> {function}") };
        format!("{method} {path}{arrow}: {status} in {ms} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let line = Line {
            method: "GET".to_owned(),
            path: "\"/whoami\"".to_owned(),
            status: "200".to_owned(),
            function: "whoami".to_owned(),
            ms: "3".to_owned(),
            message: "request".to_owned(),
        };
        assert_eq!(line.text(Level::INFO), "GET /whoami -> whoami: 200 in 3 ms");
        let lost = Line { function: String::new(), status: "404".to_owned(), ..line };
        assert_eq!(lost.text(Level::INFO), "GET /whoami: 404 in 3 ms");
        let broken = Line { message: "the function failed".to_owned(), ..lost };
        assert_eq!(broken.text(Level::WARN), "GET /whoami: the function failed");
    }
}
