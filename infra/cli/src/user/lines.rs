//! Lines of a file or of standard input, read one at a time. A byte order mark selects UTF-8 or UTF-16; without one, the
//! input is UTF-8.

use crate::output::{Failure, quoted};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tokio::sync::mpsc;

/// Longest line, in bytes: several times a user of any system.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Queue of lines that are read ahead.
const AHEAD: usize = 256;

/// A line without its line break. In CSV, a line continues while a quoted field is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Line number, from 1.
    pub(crate) number: u64,
    /// Bytes of the input to the end of the line.
    pub(crate) end: u64,
    /// Readable part of the text.
    pub(crate) text: String,
    /// Why the line is rejected, whatever its text is.
    pub(crate) problem: Option<&'static str>,
}

/// An opened input.
pub(crate) struct Input {
    /// Size in bytes, if known.
    pub(crate) bytes: Option<u64>,
    reader: Box<dyn Read + Send>,
}

/// Opens a file, or standard input for `-`.
pub(crate) fn open(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        return Ok(Input { bytes: None, reader: Box::new(io::stdin()) });
    }
    let failed = |error: io::Error| {
        Failure::new(
            format!("{} cannot be read: {error}", path.display()),
            "correct the path or the permissions",
        )
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        let path = path.display().to_string();
        return Err(Failure::new(
            format!("{path} is a folder"),
            format!("name a file in it, such as {}", quoted(&format!("{path}/users.jsonl"))),
        ));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Input { bytes, reader: Box::new(file) })
}

/// Reads on a thread, so that a slow pipe delays no request. It ends when the receiver is dropped.
pub(crate) fn read(input: Input, csv: bool) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut lines = Lines::new(input.reader, csv);
        loop {
            match lines.next() {
                Ok(None) => return,
                Ok(Some(line)) => {
                    if sender.blocking_send(Ok(line)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        }
    });
    receiver
}

/// The lines of a reader.
pub(crate) struct Lines<R> {
    reader: BufReader<DecodeReaderBytes<R, Vec<u8>>>,
    number: u64,
    end: u64,
    /// Whether the lines are CSV.
    csv: bool,
    /// Character between the fields of CSV, known after the first line.
    delimiter: u8,
    /// Lines that were read in search of a closing quote.
    ahead: VecDeque<Line>,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R, csv: bool) -> Self {
        let reader = DecodeReaderBytesBuilder::new()
            .bom_override(true)
            .strip_bom(true)
            .utf8_passthru(true)
            .build(reader);
        Self {
            reader: BufReader::new(reader),
            number: 0,
            end: 0,
            csv,
            delimiter: b',',
            ahead: VecDeque::new(),
        }
    }

    /// The next line; `None` after the last one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let Some(mut line) = self.physical()? else { return Ok(None) };
        if !self.csv {
            return Ok(Some(line));
        }
        if line.number == 1 {
            self.delimiter = declared_delimiter(&line.text).unwrap_or_else(|| delimiter(&line.text));
        }
        let (mut text, mut more) = (line.text.clone(), VecDeque::new());
        while line.problem.is_none() && has_open_quote(&text, self.delimiter) {
            let next = self.physical()?;
            let fits = next
                .as_ref()
                .is_some_and(|next| next.problem.is_none() && text.len() + next.text.len() < MAX_LINE);
            if let Some(next) = next {
                text.push('\n');
                text.push_str(&next.text);
                more.push_back(next);
            }
            if !fits {
                // The quote stands alone: the other lines count for themselves.
                line.problem = Some("a quote is not closed");
                more.append(&mut self.ahead);
                self.ahead = more;
                return Ok(Some(line));
            }
        }
        line.end = more.back().map_or(line.end, |last: &Line| last.end);
        line.text = text;
        Ok(Some(line))
    }

    /// The next line of the input.
    fn physical(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let mut too_long = false;
        let mut read = 0_u64;
        loop {
            let chunk = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                chunk => chunk?,
            };
            if chunk.is_empty() {
                break;
            }
            let (part, used, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(at) => (chunk.get(..at).unwrap_or_default(), at + 1, true),
                None => (chunk, chunk.len(), false),
            };
            // A line over the limit is read to its end and discarded, so that the next line is complete.
            too_long = too_long || bytes.len() + part.len() > MAX_LINE;
            if !too_long {
                bytes.extend_from_slice(part);
            }
            self.reader.consume(used);
            read += used as u64;
            if ended {
                break;
            }
        }
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.end += read;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let (text, problem) = if too_long {
            (String::new(), Some("the line is longer than 64 KB"))
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => (text, None),
                Err(error) => (
                    String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    Some("the line is not UTF-8: convert the file, for example with iconv"),
                ),
            }
        };
        Ok(Some(Line { number: self.number, end: self.end, text, problem }))
    }
}

/// The character between the fields of a header row: the most frequent one of those that spreadsheets and databases write.
pub(crate) fn delimiter(heading: &str) -> u8 {
    let count = |delimiter: &u8| heading.bytes().filter(|byte| byte == delimiter).count();
    // Of equal counts, the last one wins.
    [b'|', b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// The delimiter of the line `sep=;`, which Excel writes and reads before the header row.
pub(crate) fn declared_delimiter(line: &str) -> Option<u8> {
    match line.trim_matches('"').as_bytes() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter @ (b',' | b';' | b'|' | b'\t')] => {
            Some(*delimiter)
        }
        _ => None,
    }
}

/// Whether a field begins with a quote that no other one closes.
fn has_open_quote(text: &str, delimiter: u8) -> bool {
    let (mut quoted, mut at_start) = (false, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if quoted {
            // A doubled quote is a quote of the text.
            if byte == b'"' && bytes.next_if_eq(&b'"').is_none() {
                quoted = false;
            }
            continue;
        }
        quoted = at_start && byte == b'"';
        at_start = byte == delimiter || (at_start && byte == b' ');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], csv: bool) -> Vec<Line> {
        let mut lines = Lines::new(input, csv);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn texts(input: &[u8], csv: bool) -> Vec<Result<String, &'static str>> {
        all(input, csv).into_iter().map(|line| line.problem.map_or(Ok(line.text), Err)).collect()
    }

    #[test]
    fn lines_come_whole_or_say_why_not() {
        let long = "x".repeat(MAX_LINE + 1);
        let mut bytes = format!("\u{feff}first\r\n\nthird\n{long}\n\u{e9}\n").into_bytes();
        bytes.extend_from_slice(b"\xff\nlast");
        let utf8 = "the line is not UTF-8: convert the file, for example with iconv";
        assert_eq!(
            texts(&bytes, false),
            [
                Ok("first".to_owned()),
                Ok(String::new()),
                Ok("third".to_owned()),
                Err("the line is longer than 64 KB"),
                Ok("\u{e9}".to_owned()),
                Err(utf8),
                Ok("last".to_owned())
            ]
        );
        assert_eq!(all(b"", false), []);
        assert_eq!(all("x".repeat(MAX_LINE).as_bytes(), false).len(), 1);
    }

    #[test]
    fn a_byte_order_mark_selects_the_encoding() {
        let text = "\u{feff}us\u{e9}r;h\r\n\u{1f980};x\n";
        let expected = [Ok("us\u{e9}r;h".to_owned()), Ok("\u{1f980};x".to_owned())];
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [text.as_bytes(), &little, &big] {
            assert_eq!(texts(bytes, true), expected);
        }
    }

    #[test]
    fn a_quoted_field_spans_lines() {
        let csv = |text: &str| texts(text.as_bytes(), true);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(csv("a,b\n1,\"x\ny\"\n2,z\n"), [ok("a,b"), ok("1,\"x\ny\""), ok("2,z")]);
        assert_eq!(
            csv("a;b\n1;5\" screen\n2;7\" screen"),
            [ok("a;b"), ok("1;5\" screen"), ok("2;7\" screen")]
        );
        assert_eq!(csv("a,b\n1,\"x\"\"\ny\"\n"), [ok("a,b"), ok("1,\"x\"\"\ny\"")]);
        // A quote that is never closed costs its own line alone.
        assert_eq!(
            csv("a,b\n1,\"x\n2,y\n3,z"),
            [ok("a,b"), Err("a quote is not closed"), ok("2,y"), ok("3,z")]
        );
    }

    #[test]
    fn the_header_row_tells_the_delimiter() {
        for (heading, expected) in
            [("a,b", b','), ("a;b;c", b';'), ("a\tb", b'\t'), ("a|b", b'|'), ("a", b','), ("a,b;c", b',')]
        {
            assert_eq!(delimiter(heading), expected, "{heading}");
        }
    }
}
