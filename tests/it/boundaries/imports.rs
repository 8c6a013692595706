//! Which top-level module of a crate names which other one, read from its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The imports between the top-level modules of one crate. Tests are left aside: they may build what they need from above.
#[derive(Debug, Default)]
pub(super) struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Reads the crate whose sources are below `src`.
    pub(super) fn of(src: &Path) -> Self {
        let files: Vec<(String, String)> = super::sources(src)
            .into_iter()
            .map(|file| {
                let name = file.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(&file).unwrap())
            })
            .collect();
        Self::read(&files)
    }

    /// Reads the files of a crate: the path of each below `src`, and its text.
    fn read(files: &[(String, String)]) -> Self {
        let is_root = |path: &str| ["lib.rs", "main.rs"].contains(&path);
        // A file below `bin` is a crate of its own.
        let files: Vec<(&str, String)> = files
            .iter()
            .filter(|(path, _)| !path.starts_with("bin/") && !path.contains("/tests/"))
            .map(|(path, text)| (path.as_str(), code_of(text)))
            .collect();
        let modules: BTreeSet<&str> =
            files.iter().filter(|(path, _)| !is_root(path)).map(|(path, _)| top_of(path)).collect();
        // `crate::Name` may be what the root re-exports from a module.
        let mut exported: BTreeMap<String, String> = BTreeMap::new();
        for (_, text) in files.iter().filter(|(path, _)| is_root(path)) {
            for tree in text.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
                if let Some((module, names)) = tree.split_once("::")
                    && modules.contains(module)
                {
                    exported.extend(words(names).map(|name| (name.to_owned(), module.to_owned())));
                }
            }
        }
        let mut imports = Self::default();
        for (path, text) in files.iter().filter(|(path, _)| !is_root(path)) {
            let depth = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
            let named = heads(text, "crate::").into_iter().chain(heads(text, &"super::".repeat(depth)));
            let of_module = imports.0.entry(top_of(path).to_owned()).or_default();
            for name in named {
                let module = exported.get(&name).cloned().unwrap_or(name);
                if modules.contains(module.as_str()) && module != top_of(path) {
                    of_module.insert(module);
                }
            }
        }
        imports
    }

    /// The imports that do not point down. `layers` lists all modules, the lowest first.
    pub(super) fn upward(&self, layers: &[&str]) -> Vec<String> {
        let height = |module: &str| layers.iter().position(|layer| *layer == module);
        let pairs = self.0.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        let wrong = pairs.filter(|(from, to)| match (height(from), height(to)) {
            (Some(from), Some(to)) => to >= from,
            _ => true,
        });
        let unlisted = self.0.keys().filter(|module| height(module).is_none());
        let unlisted = unlisted.map(|module| format!("{module} is in no layer"));
        wrong.map(|(from, to)| format!("{from} names {to}")).chain(unlisted).collect()
    }

    /// The modules that reach themselves again by way of others.
    pub(super) fn cycles(&self) -> Vec<&str> {
        let reaches_itself = |start: &&String| {
            let mut seen: BTreeSet<&String> = BTreeSet::new();
            let mut ahead = vec![*start];
            while let Some(module) = ahead.pop() {
                ahead.extend(self.0.get(module).into_iter().flatten().filter(|next| seen.insert(next)));
            }
            seen.contains(*start)
        };
        self.0.keys().filter(reaches_itself).map(String::as_str).collect()
    }
}

/// The text without comments, and without the unit tests at its end.
fn code_of(text: &str) -> String {
    // Code may follow a module of tests that has a file of its own.
    let tests = text.match_indices("#[cfg(test)]\nmod ").find(|(start, mark)| {
        let rest = &text[start + mark.len()..];
        rest.find(['{', ';']).is_some_and(|end| rest[end..].starts_with('{'))
    });
    let code = tests.map_or(text, |(start, _)| &text[..start]);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// `keys` for `keys.rs`, `keys/mod.rs` and `keys/rotation.rs`.
fn top_of(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first names behind each `prefix`: `a` and `b` of `crate::a::X` and of `crate::{a::X, b}`.
fn heads(text: &str, prefix: &str) -> Vec<String> {
    let mut heads = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        // `super::super::` holds `super::`, and `daypass_crate::` would hold `crate::`.
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            heads.extend(words(rest).next().map(str::to_owned));
            continue;
        };
        let (mut depth, mut is_head) = (0, true);
        let mut head = String::new();
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    heads.push(std::mem::take(&mut head));
                    is_head = true;
                }
                ':' => is_head = false,
                _ if depth == 0 && is_head && !c.is_whitespace() => head.push(c),
                _ => {}
            }
        }
        heads.push(head);
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Imports {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Imports::read(&files.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn an_upward_import_is_found_in_every_spelling() {
        for text in [
            "use crate::flow::Login;",
            "use crate::{base::Time, flow::Login};",
            "use crate::{\n    base::{Time, Id},\n    flow,\n};",
            "use super::flow::Login;",
            "fn f() -> crate::flow::Login {}",
            "use crate::Login;",
        ] {
            let files = [
                ("lib.rs", "mod base; mod keys; mod flow;\npub use flow::{Login, Other};"),
                ("base.rs", ""),
                ("keys.rs", text),
                ("flow/mod.rs", "use crate::keys::Key;"),
            ];
            assert_eq!(read(&files).upward(&["base", "keys", "flow"]), ["keys names flow"], "{text}");
        }
        let nested = [("base.rs", ""), ("keys/rotation.rs", "use super::super::flow::X;"), ("flow.rs", "")];
        assert_eq!(read(&nested).upward(&["base", "keys", "flow"]), ["keys names flow"]);
    }

    #[test]
    fn what_points_down_and_what_tests_name_is_no_fault() {
        let files = [
            ("lib.rs", "mod base; mod keys; mod flow;"),
            (
                "base/mod.rs",
                "use self::ids::Id;\n// crate::flow\n#[cfg(test)]\nmod tests {\n    use crate::flow::X;\n}",
            ),
            ("base/ids.rs", "use super::time::Time;\nuse other_crate::flow::Y;"),
            ("keys.rs", "use crate::base::Time;"),
            ("flow.rs", "use crate::{base, keys::Key};"),
        ];
        assert_eq!(read(&files).upward(&["base", "keys", "flow"]), Vec::<String>::new());
        assert_eq!(read(&files).cycles(), Vec::<&str>::new());
        assert_eq!(
            read(&files).upward(&["base", "keys"]),
            ["flow names base", "flow names keys", "flow is in no layer"]
        );
    }

    #[test]
    fn a_cycle_is_found_with_all_that_are_part_of_it() {
        let files = [
            ("a.rs", "use crate::b::B;"),
            ("b/mod.rs", "use crate::{c::C, d};"),
            ("c.rs", "use super::a::A;"),
            ("d.rs", ""),
            ("e.rs", "use crate::a::A;"),
        ];
        assert_eq!(read(&files).cycles(), ["a", "b", "c"]);
    }
}
