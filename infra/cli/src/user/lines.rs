//! Lines of a file or of standard input, read one at a time.

use crate::output::{Failure, quoted};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use tokio::sync::mpsc;

/// Longest line, in bytes: several times a user of any system.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Queue of lines that are read ahead.
const AHEAD: usize = 256;

/// A line without its line break.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Line number, from 1.
    pub(crate) number: u64,
    /// Bytes of the input to the end of the line.
    pub(crate) end: u64,
    /// Text, or why it cannot be read.
    pub(crate) text: Result<String, &'static str>,
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
pub(crate) fn read(input: Input) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut lines = Lines::new(input.reader);
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
    reader: BufReader<R>,
    number: u64,
    end: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), number: 0, end: 0 }
    }

    /// The next line; `None` after the last one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
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
        if self.number == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        let text = if too_long {
            Err("the line is longer than 64 KB")
        } else {
            String::from_utf8(bytes).map_err(|_| "the line is not UTF-8")
        };
        Ok(Some(Line { number: self.number, end: self.end, text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines { reader: BufReader::with_capacity(7, input), number: 0, end: 0 };
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_come_whole_or_say_why_not() {
        let long = "x".repeat(MAX_LINE + 1);
        let input = format!("\u{feff}first\r\n\nthird\n{long}\n\u{e9}\n");
        let mut bytes = input.into_bytes();
        bytes.extend_from_slice(b"\xff\nlast");
        let lines = all(&bytes);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_deref()).collect();
        assert_eq!(
            texts,
            [
                Ok("first"),
                Ok(""),
                Ok("third"),
                Err(&"the line is longer than 64 KB"),
                Ok("\u{e9}"),
                Err(&"the line is not UTF-8"),
                Ok("last")
            ]
        );
        assert_eq!(lines.last().map(|line| (line.number, line.end)), Some((7, bytes.len() as u64)));
        assert_eq!(all(b""), []);
        assert_eq!(all("x".repeat(MAX_LINE).as_bytes()).len(), 1);
    }
}
