//! The list of invariants, from the comments at the tests.

use daypass_docs::{Document, escaped, files, snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Headings of the page, each with the places of its tests. The longest place that fits takes a test.
const AREAS: [(&str, &[&str]); 15] = [
    ("Boundaries", &["tests/it/boundaries.rs"]),
    (
        "Sessions and refresh",
        &[
            "shared/core/src/session",
            "tests/it/flows.rs",
            "tests/it/model.rs",
            "tests/it/overdue.rs",
            "tests/it/suites/ending/",
            "tests/src/",
        ],
    ),
    ("Failures", &["tests/it/suites/failures/", "tests/src/contract/faults.rs"]),
    (
        "Account endpoints",
        &[
            "shared/core/src/token/mail",
            "tests/it/accounts",
            "tests/it/password.rs",
            "tests/it/sessions.rs",
            "tests/src/contract/address.rs",
        ],
    ),
    ("Passkeys", &["shared/core/src/passkey/", "tests/it/passkeys.rs", "tests/src/contract/passkey.rs"]),
    ("Second factors", &["shared/core/src/factor", "shared/core/src/keys/factors", "tests/it/factors.rs"]),
    ("Admin API", &["infra/cli/tests/cli/admin.rs", "infra/rehearsal/admin.py", "tests/it/admin.rs"]),
    (
        "Passwords and rate limits",
        &[
            "shared/core/src/http/proxy.rs",
            "shared/passwords/",
            "tests/it/oracle.rs",
            "tests/it/proxy.rs",
            "tests/it/suites/timing/",
            "tests/it/throttle.rs",
            "tests/src/contract/login.rs",
        ],
    ),
    (
        "Access tokens",
        &["shared/core/src/token/access", "shared/verify/src/jose", "tests/it/suites/interop/"],
    ),
    (
        "Authorizer",
        &[
            "infra/bench/src/report.rs",
            "shared/authorizer/",
            "shared/verify/src/routes",
            "shared/https/",
            "tests/it/suites/rehearsal/caches.rs",
            "tests/it/suites/rehearsal/guards.rs",
        ],
    ),
    (
        "Revocation feed",
        &[
            "shared/feed-client/",
            "tests/it/revocations.rs",
            "tests/it/suites/rehearsal/called_back.rs",
            "tests/it/suites/rehearsal/window.rs",
            "tests/it/suites/revocation/",
            "tests/src/contract/ended.rs",
        ],
    ),
    (
        "Keys",
        &[
            "shared/core/src/keys",
            "shared/core/src/flow/rotate_keys",
            "shared/lambda/src/built.rs",
            "tests/it/suites/rehearsal/rotation.rs",
        ],
    ),
    (
        "Browsers",
        &[
            "functions/refresh/",
            "infra/browser/",
            "infra/gateway/",
            "shared/core/src/client/",
            "tests/browser/",
            "tests/it/cookie.rs",
        ],
    ),
    ("Import and upgrades", &["infra/cli/", "tests/it/upgrades.rs", "tests/src/contract/moving.rs"]),
    (
        "Deployment and documentation",
        &["functions/rotate-keys/", "infra/", "shared/lambda/", "shared/verify/src/config/", "tests/it/"],
    ),
];

/// The `invariant:` comments of a file, each with the name of what follows it.
fn invariants_of(file: &Document) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    let mut open = false;
    for line in file.text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            open = false;
            continue;
        }
        let comment =
            ["///", "//!", "//", "#"].iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim);
        match comment {
            Some(comment) if comment.starts_with("invariant: ") => {
                pending.push(comment.trim_start_matches("invariant: ").to_owned());
                open = true;
            }
            Some("") => open = false,
            Some(comment) if open => {
                let last = pending.last_mut().unwrap();
                last.push(' ');
                last.push_str(comment);
            }
            Some(_) => {}
            None => {
                open = false;
                let place = match name_of(line) {
                    _ if pending.is_empty() => continue,
                    Some(name) => format!("`{}`: `{name}`", file.path),
                    // The lines of an attribute.
                    None if file.path.ends_with(".rs") => continue,
                    None => format!("`{}`", file.path),
                };
                found.extend(pending.drain(..).map(|invariant| (invariant, place.clone())));
            }
        }
    }
    assert!(pending.is_empty(), "{}: an invariant at the end of the file", file.path);
    found
}

/// The name that a line declares: of a function, a constant or a test in quotes.
fn name_of(line: &str) -> Option<String> {
    let name =
        |rest: &str| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
    for keyword in ["fn ", "const ", "static ", "def "] {
        if let Some((before, rest)) = line.split_once(keyword)
            && before
                .split_whitespace()
                .all(|word| ["pub", "pub(crate)", "pub(super)", "async"].contains(&word))
        {
            return name(rest);
        }
    }
    let quoted = line.strip_prefix("test(").or(line.strip_prefix("scenario("))?;
    Some(quoted.trim_start_matches(['"', '\'', '`']).split(['"', '\'', '`']).next()?.to_owned())
}

fn invariants() -> String {
    let mut all: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
    for file in
        files(&["rs", "py", "mjs", "ts"]).iter().filter(|file| file.path != "tests/it/docs/invariants.rs")
    {
        for (invariant, test) in invariants_of(file) {
            let area = area_of(&file.path);
            let (first, tests) = all.entry(invariant).or_insert((area, BTreeSet::new()));
            *first = area.min(*first);
            tests.insert(test);
        }
    }
    let mut page = "# Invariants\n\nThese rules always hold. Each is stated by a comment `invariant:` on a test that holds it.\n\n\
        This page is generated from these comments.\n"
        .to_owned();
    for (area, (heading, _)) in AREAS.iter().enumerate() {
        write!(page, "\n## {heading}\n\n| Invariant | Held by |\n|---|---|\n").unwrap();
        for (invariant, (_, tests)) in all.iter().filter(|(_, (first, _))| *first == area) {
            let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
            writeln!(page, "| {} | {} |", escaped(invariant), tests.join(", ")).unwrap();
        }
    }
    page
}

/// The area of a file's tests.
fn area_of(path: &str) -> usize {
    let places = AREAS
        .iter()
        .enumerate()
        .flat_map(|(area, (_, places))| places.iter().map(move |place| (area, place)));
    let fits = places.filter(|(_, place)| path.starts_with(**place));
    fits.max_by_key(|(_, place)| place.len()).unwrap_or_else(|| panic!("AREAS has no place for {path}")).0
}

/// `UPDATE_SNAPSHOTS=1` writes the page.
#[test]
fn the_list_of_invariants_is_up_to_date() {
    snapshot("docs/internals/invariants.md", &invariants());
}

#[test]
fn invariants_are_read_with_the_test_that_follows() {
    let text = "/// About.\n///\n/// invariant: One thing\n/// holds.\n/// invariant: Another.\n#[test]\nfn both() {}\n\
        # invariant: In Python.\ndef check():\n";
    let file = Document { path: "x.rs".to_owned(), text: text.to_owned() };
    let expected = [("One thing holds.", "both"), ("Another.", "both"), ("In Python.", "check")]
        .map(|(invariant, name)| (invariant.to_owned(), format!("`x.rs`: `{name}`")));
    assert_eq!(invariants_of(&file), expected);
}
