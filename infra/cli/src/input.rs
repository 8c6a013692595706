//! Input at the terminal: passwords without echo, and confirmations.

use crate::output::Failure;
use daypass_core::secret::{Password, Secret};
use std::io::{self, IsTerminal, Read, Write};

/// Input limit, in bytes: the longest password, with [`Password::MAX_CHARS`] code points of four bytes, its line break,
/// and one more byte.
const MAX_INPUT: u64 = 4 * Password::MAX_CHARS as u64 + 2;

const AUTOMATE: &str = "pipe it into --password-stdin";

/// Reads a new password: one line of standard input, or typed twice at the terminal.
pub(crate) fn new_password(from_stdin: bool) -> Result<Password, Failure> {
    let text = match (from_stdin, io::stdin().is_terminal()) {
        (true, false) => first_line(io::stdin())?,
        (true, true) => {
            return Err(Failure::new(
                "standard input is a terminal, which would show the password",
                "omit --password-stdin to type it without echo, or pipe the password in",
            ));
        }
        (false, true) => ask_twice()?,
        (false, false) => {
            return Err(Failure::new("there is no terminal to type the password", AUTOMATE));
        }
    };
    Password::new(text).ok_or_else(|| {
        Failure::new(
            format!("the password is empty or longer than {} characters", Password::MAX_CHARS),
            "choose another password",
        )
    })
}

/// Reads the password of a user who has one: one line of standard input, or typed once at the terminal.
pub(crate) fn password(from_stdin: bool) -> Result<Password, Failure> {
    let text = match (from_stdin, io::stdin().is_terminal()) {
        (true, _) => first_line(io::stdin())?,
        (false, true) => ask("Password: ")?,
        (false, false) => return Err(Failure::new("there is no terminal to type the password", AUTOMATE)),
    };
    Password::new(text).ok_or_else(|| Failure::new("the password is empty or too long", "type it again"))
}

/// Reads the secret of another system: one line of standard input, base64-decoded on request.
pub(crate) fn foreign_secret(base64: bool) -> Result<Secret, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::new(
            "standard input is a terminal, which would show the secret",
            "pipe it in from a password manager, or from a file that you delete afterwards",
        ));
    }
    let text = zeroize::Zeroizing::new(first_line(io::stdin())?);
    if !base64 {
        return Ok(Secret::new(text.as_bytes().to_vec()));
    }
    data_encoding::BASE64.decode(text.trim().as_bytes()).map(Secret::new).map_err(|_| {
        Failure::new(
            "standard input is not base64",
            "pipe it in as the other system shows it, including padding",
        )
    })
}

fn ask(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt).map_err(|error| {
        Failure::new(format!("the password cannot be read from the terminal: {error}"), AUTOMATE)
    })
}

fn ask_twice() -> Result<String, Failure> {
    let first = ask("New password: ")?;
    if first != ask("Repeat the password: ")? {
        return Err(Failure::new("the two passwords differ", "nothing was changed; run the command again"));
    }
    Ok(first)
}

/// Reads one line, without its line break and without the byte order mark that PowerShell writes. A space at the end belongs to
/// the password.
fn first_line(input: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT).read_to_end(&mut bytes).map_err(|error| {
        Failure::new(format!("the password cannot be read from standard input: {error}"), "pipe one line in")
    })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(..3);
    }
    if bytes.contains(&b'\n') {
        return Err(Failure::new("standard input contains more than one line", "pipe in the password alone"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new("the password is not UTF-8", "convert it to UTF-8, or type it at the prompt")
    })
}

/// Asks for confirmation. Without a terminal, `--yes` is required.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to confirm this", "confirm it with --yes"));
    }
    let mut terminal = io::stderr();
    let mut answer = String::new();
    let asked = write!(terminal, "{question} [y/N] ")
        .and_then(|()| terminal.flush())
        .and_then(|()| io::stdin().read_line(&mut answer));
    if let Err(error) = asked {
        return Err(Failure::new(
            format!("the confirmation cannot be read: {error}"),
            "confirm it with --yes",
        ));
    }
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("not confirmed; nothing was changed", "answer y, or confirm it with --yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_goes_and_nothing_else() {
        for (input, expected) in [
            ("correct horse\n", "correct horse"),
            ("correct horse", "correct horse"),
            ("  spaced \t\n", "  spaced \t"),
            ("carriage\r\n", "carriage"),
            ("carriage\r", "carriage\r"),
            ("\u{feff}PowerShell\r\n", "PowerShell"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(first_line(input.as_bytes()).unwrap(), expected, "{input:?}");
        }
    }

    #[test]
    fn a_second_line_is_refused_not_dropped() {
        assert!(first_line("one\ntwo".as_bytes()).is_err());
        assert!(first_line("one\n\n".as_bytes()).is_err());
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }

    #[test]
    fn the_longest_password_fits() {
        let longest = "🦀".repeat(Password::MAX_CHARS);
        assert_eq!(first_line(format!("{longest}\n").as_bytes()).unwrap(), longest);
        let endless = first_line(io::repeat(b'a')).unwrap();
        assert!(Password::new(endless).is_none());
    }
}
