//! Comparison of `docs/operations/failures.md` with the tables of this suite, from which its tables are written.

use crate::suites::failures::order::PAIRS;
use crate::suites::failures::rows::{
    Effect, Expected, Fault, Operation, Row, Sees, Site, State, Times, done, faults, rows,
};
use crate::suites::failures::slow::Timed;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The expected outcome of a request that fails once, and of one that fails permanently.
type Both = (Expected, Expected);

/// The failures, by their effect on a request.
fn kinds() -> String {
    let mut text = String::from("| kind | failures |\n|---|---|\n");
    for effect in Effect::ALL {
        let faults: Vec<Fault> = faults().into_iter().filter(|fault| fault.effect == effect).collect();
        writeln!(text, "| {} | {} |", effect.name(), names(&faults)).unwrap();
    }
    text
}

/// The table of one operation. Kinds of failure with the same outcome share a row.
fn table(operation: Operation) -> String {
    let rows = rows();
    let mut text = String::from(
        "| request | failure | once | for good | after the client's retry |\n|---|---|---|---|---|\n",
    );
    for site in Site::ALL.into_iter().filter(|site| site.operation() == operation) {
        let mut groups: Vec<([String; 3], Vec<&str>)> = Vec::new();
        for row in rows.iter().filter(|row| row.site == site && row.times == Times::Once) {
            let cells = cells(operation, (row.expected, for_good(&rows, row)));
            let kind = row.fault.effect.name();
            match groups.iter_mut().find(|(other, _)| *other == cells) {
                Some((_, kinds)) if kinds.contains(&kind) => {}
                Some((_, kinds)) => kinds.push(kind),
                None => groups.push((cells, vec![kind])),
            }
        }
        for (cells, kinds) in groups {
            writeln!(text, "| {} | {} | {} |", site.name(), kinds.join("; "), cells.join(" | ")).unwrap();
        }
    }
    text
}

fn for_good(rows: &[Row], once: &Row) -> Expected {
    let same = |row: &&Row| {
        row.site == once.site && row.fault.name == once.fault.name && row.times == Times::ForGood
    };
    rows.iter().find(same).unwrap().expected
}

/// The outcome for the client and the stored state, for one failure and for a permanent one, and the stored state after the
/// client's retry.
fn cells(operation: Operation, (once, forever): Both) -> [String; 3] {
    let usual = done(operation, 0);
    let now = |expected: Expected| match expected.sees.text(operation) {
        sees if expected.sees == Sees::Done && expected.state == usual => sees.to_owned(),
        sees => format!("{sees}; {}", expected.state.text()),
    };
    let at_last =
        |state: State| if state == usual { "as without a failure".to_owned() } else { state.text() };
    let (one, other) = (at_last(once.finally), at_last(forever.finally));
    let finally = if one == other { one } else { format!("once: {one}; for good: {other}") };
    [now(once), now(forever), finally]
}

/// The names of failures. Reasons of a cancelled transaction are combined.
fn names(faults: &[Fault]) -> String {
    const CANCELLED: &str = "TransactionCanceledException, ";
    let mut names: Vec<String> = Vec::new();
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for fault in faults {
        match fault.name.strip_prefix(CANCELLED).and_then(|rest| rest.split_once(" for ")) {
            Some((reason, subject)) => reasons.entry(reason).or_default().push(subject),
            None if fault.name.chars().all(|c| c.is_ascii_alphanumeric()) => {
                let only = fault.only.map_or(String::new(), |api| format!(" ({api})"));
                names.push(format!("`{}`{only}", fault.name));
            }
            None => names.push(fault.name.clone()),
        }
    }
    if !reasons.is_empty() {
        let told: Vec<String> = reasons
            .iter()
            .map(|(reason, subjects)| match subjects.len() {
                3 => format!("`{reason}`"),
                _ => format!("`{reason}` of {}", subjects.join(" or ")),
            })
            .collect();
        names.push(format!("`TransactionCanceledException` with {}", told.join(", ")));
    }
    names.join("; ")
}

fn pairs() -> String {
    let mut text = String::from(
        "| applied first, answered last | applied second, answered first | answers | then |\n|---|---|---|---|\n",
    );
    for pair in &PAIRS {
        let (first, second) = pair.sees;
        let (one, other) = (pair.first.name(), pair.second.name());
        writeln!(text, "| {one} | {other} | {first}, {second} | {} |", pair.after).unwrap();
    }
    text
}

fn times() -> String {
    let mut text = String::from(
        "| operation | nothing answers | at its slowest | Lambda ends the function after |\n|---|---|---|---|\n",
    );
    for timed in Timed::ALL {
        let (at_once, at_most) = timed.promised();
        writeln!(
            text,
            "| {} | 503 after {:.1} s | 503 after {:.1} s | {} s |",
            timed.name(),
            at_once.as_secs_f64(),
            at_most.as_secs_f64(),
            timed.limit().as_secs()
        )
        .unwrap();
    }
    text
}

/// Writes each table between its marks.
fn written(mut document: String) -> String {
    let mut tables =
        vec![("times".to_owned(), times()), ("kinds".to_owned(), kinds()), ("order".to_owned(), pairs())];
    tables.extend(Operation::ALL.map(|operation| (operation.name().to_owned(), table(operation))));
    for (name, table) in tables {
        let (begin, end) = (format!("<!-- begin: {name} -->\n"), format!("<!-- end: {name} -->"));
        let start =
            document.find(&begin).unwrap_or_else(|| panic!("docs/operations/failures.md has no `{begin}`"))
                + begin.len();
        let stop = start
            + document[start..]
                .find(&end)
                .unwrap_or_else(|| panic!("docs/operations/failures.md has no `{end}`"));
        document.replace_range(start..stop, &table);
    }
    document
}

/// `UPDATE_SNAPSHOTS=1` rewrites the tables.
///
/// invariant: The tables of the failure reference are those of the failure suite.
#[test]
fn the_document_says_what_the_suite_holds() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/operations/failures.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let expected = written(document.clone());
    #[expect(clippy::disallowed_methods, reason = "the switch that rewrites a snapshot")]
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        std::fs::write(&file, &expected).unwrap();
        return;
    }
    assert!(
        document == expected,
        "docs/operations/failures.md is behind the suite: UPDATE_SNAPSHOTS=1 rewrites its tables"
    );
}
