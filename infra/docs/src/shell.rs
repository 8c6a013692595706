//! Parser of shell commands in the forms of the documentation: quotes, comments, pipes, substitutions, here-documents.

use std::iter::Peekable;
use std::str::Chars;

/// Simple commands of a script, each as its words, without redirections and leading assignments.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut reader = Reader {
        rest: script.chars().peekable(),
        word: None,
        words: Vec::new(),
        found: Vec::new(),
        redirected: false,
    };
    reader.read();
    let assignment = |word: &String| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let found = reader.found.into_iter().map(|words| words.into_iter().skip_while(assignment).collect());
    found.filter(|words: &Vec<String>| !words.is_empty()).collect()
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    word: Option<String>,
    words: Vec<String>,
    found: Vec<Vec<String>>,
    /// Whether the next word is the target of a redirection.
    redirected: bool,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => match self.rest.next() {
                    None | Some('\n') => {}
                    Some(escaped) => self.push(escaped),
                },
                '\'' => {
                    let text: String = self.rest.by_ref().take_while(|c| *c != '\'').collect();
                    self.extend(&text);
                }
                '"' => self.quoted(),
                '$' if self.rest.peek() == Some(&'(') => self.substitution(),
                '#' if self.word.is_none() => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.rest.next();
                    }
                }
                '<' if self.rest.peek() == Some(&'<') => self.here_document(),
                '<' | '>' => {
                    self.end_word();
                    self.redirected = true;
                }
                '\n' | ';' | '|' | '&' => self.end_command(),
                c if c.is_whitespace() => self.end_word(),
                c => self.push(c),
            }
        }
        self.end_command();
    }

    fn quoted(&mut self) {
        self.extend("");
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return,
                '\\' => self.rest.next().into_iter().for_each(|c| self.push(c)),
                '$' if self.rest.peek() == Some(&'(') => self.substitution(),
                c => self.push(c),
            }
        }
    }

    /// Parses the commands of `$(…)`, and inserts a placeholder for their output.
    fn substitution(&mut self) {
        self.rest.next();
        let mut inner = String::new();
        let mut depth = 1;
        for c in self.rest.by_ref() {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            if depth == 0 {
                break;
            }
            inner.push(c);
        }
        self.found.extend(commands(&inner));
        self.extend("OUTPUT");
    }

    /// Skips the lines of `<<EOF` up to `EOF`.
    fn here_document(&mut self) {
        self.rest.next();
        let line: String = self.rest.by_ref().take_while(|c| *c != '\n').collect();
        let end = line.trim().trim_matches(['\'', '"']).to_owned();
        self.end_command();
        loop {
            let line: String = self.rest.by_ref().take_while(|c| *c != '\n').collect();
            if line == end || self.rest.peek().is_none() {
                return;
            }
        }
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn extend(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.redirected)
        {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirected = false;
        self.found.push(std::mem::take(&mut self.words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        let found: Vec<String> = commands(script).iter().map(|words| words.join(" ")).collect();
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn scripts() {
        check("daypass user add alice --scope \"a b\"", &["daypass user add alice --scope a b"]);
        check("A=1 B_2='x y' daypass key show", &["daypass key show"]);
        check("one \\\n  two # not this\nthree", &["one two", "three"]);
        check("one | two && three; four", &["one", "two", "three", "four"]);
        check("one < in > out --last", &["one --last"]);
        check("x=\"$(daypass session list \"$U\")\" && y", &["daypass session list $U", "x=OUTPUT", "y"]);
        check("cat > f <<'EOF'\ndaypass no\nEOF\ndaypass key show", &["cat", "daypass key show"]);
        check("python3 -c '\nimport x\n' > f", &["python3 -c \nimport x\n"]);
    }
}
