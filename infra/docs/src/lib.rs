//! The documentation as data: tests compare its commands, names and generated pages with the code.
//!
//! [`documents`] are the Markdown files of the repository, and [`commands()`] their command lines. [`check`] parses
//! these with clap. [`reference()`] generates the reference page of a program, and [`snapshot`] compares it with its
//! file.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests: they fail as the test does"
)]

mod commands;
mod reference;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};

pub use commands::{Command, check, commands, inline};
pub use reference::{escaped, reference};

/// A Markdown file.
#[derive(Debug)]
pub struct Document {
    /// Path from the root of the repository.
    pub path: String,
    /// The Markdown text.
    pub text: String,
}

/// Root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_path_buf()
}

/// Markdown files of the repository, sorted by path.
#[must_use]
pub fn documents() -> Vec<Document> {
    files(&["md"])
}

/// Text files of the repository with one of these extensions, sorted by path.
#[must_use]
pub fn files(extensions: &[&str]) -> Vec<Document> {
    let mut found = Vec::new();
    collect(&root(), extensions, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<Document>) {
    const SKIPPED: [&str; 5] = [".aws-sam", ".cache", ".git", "node_modules", "target"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_ref()) {
                collect(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push(Document { path, text });
        }
    }
}

/// Compares a generated page with its file. `UPDATE_SNAPSHOTS=1` writes the file.
pub fn snapshot(path: &str, generated: &str) {
    let file = root().join(path);
    #[expect(clippy::disallowed_methods, reason = "the switch that rewrites a snapshot")]
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        fs::write(&file, generated).unwrap();
        return;
    }
    let present = fs::read_to_string(&file).unwrap_or_default();
    if let Some((line, present, generated)) = difference(&present, generated) {
        panic!(
            "{path}:{line} is out of date: UPDATE_SNAPSHOTS=1 writes it\n   file: {present}\n   code: {generated}"
        );
    }
}

/// First different line, with its number.
fn difference<'a>(one: &'a str, other: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let (mut ones, mut others) = (one.lines(), other.lines());
    for number in 1.. {
        match (ones.next(), others.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => return Some((number, one.unwrap_or_default(), other.unwrap_or_default())),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
        assert_eq!(difference("a\n", "a\nb\n"), Some((2, "", "b")));
    }

    #[test]
    fn documents_are_those_of_the_repository() {
        let paths: Vec<String> = documents().into_iter().map(|document| document.path).collect();
        for path in ["README.md", "docs/index.md", "infra/browser/README.md"] {
            assert!(paths.iter().any(|known| known == path), "{path}");
        }
        assert!(paths.iter().all(|path| !path.contains("node_modules") && !path.starts_with("target")));
    }
}
