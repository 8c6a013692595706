//! Output of the command: results on one writer, everything else on another, and errors with a next step.

use comfy_table::{Table, presets};
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Error of the command with its next step.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The command failed: exit code 1.
    Failed,
    /// The arguments do not fit together: exit code 2, as in clap.
    Usage,
    /// The reader of the output has closed it (`daypass user list | head -1`): exit code 0, and no message.
    ReaderGone,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), kind: Kind::Failed }
    }

    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(what, hint) }
    }

    /// Replaces the next step.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// Text of the error.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::FAILURE,
            Kind::Usage => ExitCode::from(2),
            Kind::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

/// Only errors of an [`Output`] arrive here. Errors of input and files have texts of their own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::new(
            format!("the result cannot be written to standard output: {error}"),
            "the work is done; check it with `list` or `show`",
        );
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: Kind::ReaderGone, ..failure },
            _ => failure,
        }
    }
}

/// Writers of results and remarks.
pub(crate) struct Output<'a> {
    json: bool,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    pub(crate) fn new(json: bool, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { json, out, err }
    }

    /// Prints a result: `value` as JSON, or the text that `people` writes.
    pub(crate) fn result(
        &mut self,
        value: &impl Serialize,
        people: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.json {
            return people(self);
        }
        serde_json::to_writer_pretty(&mut self.out, value)?;
        writeln!(self.out)
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a text unchanged, with and without `--json`.
    pub(crate) fn raw(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text.trim_end())
    }

    /// Prints a line of text output.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", printable(text))
    }

    /// Prints rows under headings.
    pub(crate) fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: &[[String; N]],
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings);
        table.add_rows(rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))));
        table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 2)));
        table.lines().try_for_each(|line| writeln!(self.out, "{}", line.trim_end()))
    }

    /// Prints a note. Errors are ignored, because a note must not stop the work.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "note: {}", printable(text));
    }

    /// Reports a failure, and returns its exit code.
    pub(crate) fn fail(&mut self, failure: &Failure) -> ExitCode {
        if failure.kind != Kind::ReaderGone {
            let _ =
                writeln!(self.err, "error: {}\nhint: {}", printable(&failure.what), printable(&failure.hint));
        }
        failure.exit_code()
    }
}

/// Replaces line breaks and tabs by blanks, and other control and bidirectional characters. A device can choose its name, and an
/// escape sequence in it must not control the terminal. An error of the SDK can have several lines.
fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if harmful(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Quotes an argument for a POSIX shell. A username can contain `$`, `;` and quotes.
pub(crate) fn quoted(argument: &str) -> String {
    // An argument of a process contains no NUL, the only character that cannot be quoted.
    shlex::try_quote(argument).unwrap_or_default().into_owned()
}

/// RFC 3339 in UTC, in whole seconds.
pub(crate) fn time(at: Timestamp) -> String {
    let date =
        i64::try_from(at.seconds()).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(date) = date else { return format!("{} s", at.seconds()) };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_do_not_trail() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let rows = [["élan".to_owned(), "x".to_owned()], ["b".to_owned(), String::new()]];
        Output::new(false, &mut out, &mut err).table(["A", "LONG"], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A     LONG\nélan  x\nb\n");
    }

    #[test]
    fn a_terminal_sees_no_escape_sequence() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}\u{202e}c"), "a\u{fffd}[2Jb \u{fffd}\u{fffd}c");
        assert_eq!(printable("Zoë 🦀"), "Zoë 🦀");
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(Timestamp::from_seconds(1_800_000_000)), "2027-01-15T08:00:00Z");
        assert_eq!(time(Timestamp::from_seconds(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Timestamp::from_millis(u64::MAX)), format!("{} s", u64::MAX / 1000));
    }

    #[test]
    fn a_shell_takes_an_argument_back() {
        assert_eq!(quoted("alice@example.com"), "alice@example.com");
        for argument in ["$(id)", "o'neil", "", "a b", "!x"] {
            assert_eq!(shlex::split(&quoted(argument)), Some(vec![argument.to_owned()]), "{argument}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure_to_report() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let code = Output::new(false, &mut out, &mut err).fail(&gone);
        assert_eq!((format!("{code:?}"), err.len()), (format!("{:?}", ExitCode::SUCCESS), 0));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        let code = Output::new(false, &mut out, &mut err).fail(&full);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert!(String::from_utf8(err).unwrap().starts_with("error: the result cannot be written"));
    }
}
