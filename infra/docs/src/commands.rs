//! Command lines of the documentation.

use crate::{Document, documents, shell};
use clap::error::ErrorKind;
use std::collections::BTreeSet;

/// A command line of a document.
#[derive(Debug)]
pub struct Command {
    /// Document and text of the line.
    pub place: String,
    /// Program and arguments.
    pub words: Vec<String>,
    /// Whether it is complete: a line of a code block. Running text also mentions commands without arguments.
    pub whole: bool,
}

/// Placeholders, each with a value that clap accepts.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("FILTER", "filter"),
    ("SESSION_ID", "ses_00000000000000000000000000000000"),
    ("SYSTEM", "django"),
    ("STEP", "test"),
];

/// Command lines of all documents that start with these words, such as `["cargo", "verify"]`. Lines with `…` and the
/// changelog, which names removed commands, are skipped.
#[must_use]
pub fn commands(program: &[&str]) -> Vec<Command> {
    let mut found = Vec::new();
    for document in documents().into_iter().filter(|document| document.path != "CHANGELOG.md") {
        for block in blocks(&document, &["sh"]) {
            found.extend(
                shell::commands(&block).into_iter().map(|words| (document.path.clone(), words, true)),
            );
        }
        for span in inline(&document) {
            let first = shell::commands(span).into_iter().next();
            found.extend(first.map(|words| (document.path.clone(), words, false)));
        }
    }
    let starts = |words: &[String]| {
        words.len() >= program.len() && words.iter().zip(program).all(|(word, name)| word == name)
    };
    found
        .into_iter()
        .filter(|(_, words, _)| starts(words) && !words.iter().any(|word| word.contains('…')))
        .map(|(path, mut words, whole)| {
            let place = format!("{path}: {}", words.join(" "));
            for word in &mut words {
                if let Some((_, value)) = PLACEHOLDERS.iter().find(|(name, _)| name == word) {
                    *word = (*value).to_owned();
                }
            }
            Command { place, words, whole }
        })
        .collect()
}

/// Code spans of a document outside its code blocks.
pub fn inline(document: &Document) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    document
        .text
        .lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_block ^= fence;
            !in_block && !fence
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Code blocks of these languages.
fn blocks(document: &Document, languages: &[&str]) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = document.text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
        if languages.contains(&language) {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// Parses every documented command line of a program, and fails with all unknown ones. `program` are its first words,
/// such as `["cargo", "dev"]`.
pub fn check(program: &[&str], parser: &clap::Command) {
    let documented = commands(program);
    assert!(!documented.is_empty(), "no document shows {program:?}");
    let wrong = documented.iter().filter_map(|command| {
        let problem = problem(command, program.len(), parser)?;
        Some(format!("{}\n    {problem}", command.place))
    });
    let wrong: BTreeSet<String> = wrong.collect();
    let list = wrong.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "documented commands that do not exist:\n{list}");
}

/// Why the program rejects a command line. Its first `skipped` words name the program.
fn problem(command: &Command, skipped: usize, parser: &clap::Command) -> Option<String> {
    let name = parser.get_name().to_owned();
    let words = std::iter::once(name).chain(command.words.iter().skip(skipped).cloned());
    let error = match parser.clone().try_get_matches_from(words) {
        Ok(matches) => {
            let chosen = matches.subcommand_name().and_then(|name| parser.find_subcommand(name))?;
            return chosen.is_hide_set().then(|| "the command is hidden".to_owned());
        }
        Err(error) => error,
    };
    let accepted = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        // Name of a command in running text.
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => !command.whole,
        // Name of an option in running text.
        ErrorKind::InvalidValue => !command.whole && error.to_string().contains("none was supplied"),
        _ => false,
    };
    (!accepted).then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_spans() {
        let text = "A `b c` and `d`.\n\n```sh\n`e`\nf\n```\n\n```json\ng\n```\n".to_owned();
        let document = Document { path: "x.md".to_owned(), text };
        assert_eq!(inline(&document).collect::<Vec<_>>(), ["b c", "d"]);
        assert_eq!(blocks(&document, &["sh"]), ["`e`\nf"]);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let parser = || {
            let revoke = clap::Command::new("revoke")
                .arg(clap::Arg::new("user").required(true))
                .arg(clap::Arg::new("all").long("all").num_args(0));
            let session = clap::Command::new("session").subcommand_required(true).subcommand(revoke);
            clap::Command::new("daypass").subcommand(session).subcommand(clap::Command::new("dev").hide(true))
        };
        let check = |line: &str, whole: bool, expected: Option<&str>| {
            let words = line.split(' ').map(str::to_owned).collect();
            let command = Command { place: String::new(), words, whole };
            let problem = problem(&command, 1, &parser());
            let fits =
                expected.is_none_or(|expected| problem.as_ref().is_some_and(|one| one.contains(expected)));
            assert!(fits && problem.is_some() == expected.is_some(), "{line}: {problem:?}");
        };
        check("daypass session revoke USER --all", true, None);
        check("daypass session revoke-all USER", true, Some("revoke-all"));
        check("daypass session revoke-all", false, Some("revoke-all"));
        check("daypass session revoke USER --everything", false, Some("--everything"));
        check("daypass session", false, None);
        check("daypass session revoke", true, Some("required"));
        check("daypass dev", false, Some("hidden"));
    }
}
