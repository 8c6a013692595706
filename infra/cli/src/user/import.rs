//! `daypass user import`: users with their hashes from a file.

use super::batch::{self, BatchArgs, Outcome, Tally, Task, Work, patiently};
use super::lines;
use super::record::{Reading, Row, System};
use super::safeguards::Accepted;
use super::spelling::{self, Firebase};
use crate::environment::Environment;
use crate::output::{Failure, Output};
use crate::target::Target;
use clap::ValueEnum;
use daypass_core::ports::store::User;
use daypass_dynamodb::Import;
use daypass_passwords::{HashParams, IMPORTED_HASHES, MAX_IMPORTED_KINDS, Passwords};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::path::{Path, PathBuf};

/// Arguments of `daypass user import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON lines, or CSV with a header row; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Format of the file [default: by its extension, or JSON lines]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// System that wrote the file
    #[arg(long, value_enum, default_value_t = System::Daypass)]
    system: System,
    /// Member or column with the username, such as email
    #[arg(long, value_name = "MEMBER")]
    name: Option<String>,
    /// Scope of users whose line has none
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, value_parser = super::scope)]
    scope: Scope,
    /// Check every line against the table, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    accepted: Accepted,
    /// Id of Devise's pepper from `daypass key adopt`; it follows every password before bcrypt
    #[arg(long, value_name = "KID")]
    bcrypt_pepper: Option<String>,
    /// Id of Firebase's signer key from `daypass key adopt`
    #[arg(long, value_name = "KID")]
    firebase_signer: Option<String>,
    /// Firebase's salt separator
    #[arg(long, value_name = "BASE64", default_value = "Bw==", value_parser = separator)]
    firebase_salt_separator: Separator,
    /// Firebase's rounds
    #[arg(long, value_name = "N", default_value_t = 8)]
    firebase_rounds: u32,
    /// Firebase's memory cost
    #[arg(long, value_name = "N", default_value_t = 14)]
    firebase_mem_cost: u32,
    #[command(flatten)]
    batch: BatchArgs,
}

/// Bytes of one argument.
#[derive(Debug, Clone)]
struct Separator(Vec<u8>);

fn separator(text: &str) -> Result<Separator, String> {
    spelling::base64(text).map(Separator)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object per line
    Jsonl,
    /// Comma-separated fields, with names in the first line
    Csv,
}

impl Format {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            Some(_) | None => Self::Jsonl,
        }
    }
}

/// Result of an import.
#[derive(Serialize)]
struct Summary {
    result: &'static str,
    #[serde(flatten)]
    tally: Tally,
    /// Users per kind of hash, without lines that are rejected for their content.
    kinds: BTreeMap<String, u64>,
    /// Value of `DAYPASS_IMPORTED_HASHES` that covers all kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported_hashes: Option<String>,
}

/// Runs `daypass user import`.
pub(crate) async fn run(
    target: &Target,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    args: Args,
) -> Result<(), Failure> {
    let format = args.format.unwrap_or_else(|| Format::of(&args.file));
    let (separator, rounds, mem_cost) =
        (args.firebase_salt_separator.0, args.firebase_rounds, args.firebase_mem_cost);
    let reading = Reading {
        system: args.system,
        name: args.name,
        scope: args.scope,
        firebase: args.firebase_signer.map(|signer| Firebase {
            signer,
            salt_separator: separator,
            rounds,
            mem_cost,
        }),
        bcrypt_pepper: args.bcrypt_pepper,
    };
    if reading.system == System::Firebase && reading.firebase.is_none() {
        return Err(Failure::usage(
            "Firebase's hashes need the project's signer key",
            "adopt it with `daypass key adopt --base64`, and name its id with --firebase-signer",
        ));
    }
    let passwords = super::passwords(environment)?;
    let peppers = Kids::load(target, environment).await;
    let input = lines::open(&args.file)?;
    let now = SystemClock.now();
    let mut columns = Columns::default();
    let mut kinds: BTreeMap<HashParams, u64> = BTreeMap::new();
    let dry_run = args.dry_run;
    let heading = format == Format::Csv;
    let tally = batch::run(target, output, &args.batch, input, heading, |number, text| {
        let row = match format {
            Format::Jsonl => json_row(text)?,
            Format::Csv => columns.row(number, text)?,
        };
        let Some(row) = row else { return Ok(None) };
        let prepared = reading.prepare(reading.record(&row)?, UserId::generate(&OsEntropy), now)?;
        peppers.require(prepared.hash.pepper())?;
        let name = prepared.user.username.as_str().to_owned();
        if let Err(why) = args.accepted.check(args.system, &row) {
            let rejected: Work = Box::pin(ready(Ok(Outcome::Refused(why))));
            return Ok(Some((name, rejected)));
        }
        *kinds.entry(prepared.hash.params()).or_default() += 1;
        let (store, user, origin) = (target.store.clone(), prepared.user, prepared.origin);
        let work: Work = Box::pin(async move {
            let imported = if dry_run {
                patiently(|| store.preview_import(&user, origin)).await?
            } else {
                patiently(|| store.import_user(&user, origin)).await?
            };
            Ok(match imported {
                Import::Added => Outcome::Changed,
                Import::Unchanged => Outcome::Unchanged,
                Import::Taken => Outcome::Refused(
                    "another user has this name, or the user of another line: nothing was written".to_owned(),
                ),
            })
        });
        let task: Task = Some((name, work));
        Ok(task)
    })
    .await?;
    let summary = Summary {
        result: if dry_run { "would_import" } else { "imported" },
        tally,
        imported_hashes: setting(&kinds, &passwords),
        kinds: kinds.iter().map(|(params, users)| (params.to_string(), *users)).collect(),
    };
    report(output, &summary, &passwords, environment)
}

fn report(
    output: &mut Output<'_>,
    summary: &Summary,
    passwords: &Passwords,
    environment: &Environment<'_>,
) -> Result<(), Failure> {
    let Tally { users, changed, unchanged, refused, seconds, users_per_second } = summary.tally;
    output.result(summary, |output| {
        let would = if summary.result == "imported" { "" } else { "would be " };
        output.line(&format!(
            "{users} users: {changed} {would}added, {unchanged} unchanged, {refused} rejected, in {seconds:.1} s ({users_per_second:.0} per second)."
        ))?;
        if !summary.kinds.is_empty() {
            let rows: Vec<_> =
                summary.kinds.iter().map(|(kind, users)| [kind.clone(), users.to_string()]).collect();
            output.table(["KIND OF HASH", "USERS"], &rows)?;
        }
        Ok(())
    })?;
    let standard = passwords.params().to_string();
    let others = summary.kinds.keys().filter(|kind| **kind != standard).count();
    if others > MAX_IMPORTED_KINDS {
        output.note(&format!(
            "{others} kinds of hashes exceed the limit of {IMPORTED_HASHES} ({MAX_IMPORTED_KINDS}): name the most common ones; the login time reveals users with other kinds"
        ));
    } else if let Some(value) = &summary.imported_hashes
        && environment.get(IMPORTED_HASHES).as_deref() != Some(value)
    {
        output.note(&format!(
            "set {IMPORTED_HASHES} (template parameter ImportedHashes) to \"{value}\" until these users have logged in; otherwise the login time reveals them"
        ));
    }
    if refused > 0 {
        return Err(Failure::new(
            format!("{refused} of {users} users were rejected"),
            "correct their lines and import the file again: imported users stay unchanged",
        ));
    }
    Ok(())
}

/// Value of the setting, if the kinds fit into it.
fn setting(kinds: &BTreeMap<HashParams, u64>, passwords: &Passwords) -> Option<String> {
    let others: Vec<String> =
        kinds.keys().filter(|params| **params != passwords.params()).map(ToString::to_string).collect();
    (1..=MAX_IMPORTED_KINDS).contains(&others.len()).then(|| others.join(" "))
}

/// Ids of the peppers of the key set, or the error of its load.
struct Kids(Result<BTreeSet<String>, String>);

impl Kids {
    async fn load(target: &Target, environment: &Environment<'_>) -> Self {
        Self(target.keys(environment).await.map_err(|failure| failure.what().to_owned()).map(|document| {
            let peppers = document.summary().into_iter().filter(|key| key.section == "peppers");
            peppers.map(|key| key.kid).collect()
        }))
    }

    /// Rejects a hash whose pepper is missing, because the user could not log in.
    fn require(&self, pepper: Option<&str>) -> Result<(), String> {
        match (pepper, &self.0) {
            (None, _) => Ok(()),
            (Some(kid), Ok(kids)) if kids.contains(kid) => Ok(()),
            (Some(kid), Ok(_)) => Err(format!(
                "the hash needs the pepper {kid}, which the key set lacks: adopt it with `daypass key adopt`"
            )),
            (Some(kid), Err(why)) => Err(format!("the hash needs the pepper {kid}, and {why}")),
        }
    }
}

/// Reads an import file as `daypass user import` does before it asks the store: the user or the problem of each line.
///
/// `system` is a value of `--system`; `None` for another one. All other options have their defaults.
#[must_use]
pub fn users_in(system: &str, csv: bool, file: &[u8], now: Timestamp) -> Option<Vec<Result<User, String>>> {
    let system = System::from_str(system, false).ok()?;
    let signer = Firebase { signer: "00000000".to_owned(), salt_separator: vec![7], rounds: 8, mem_cost: 14 };
    let firebase = (system == System::Firebase).then_some(signer);
    let reading = Reading { system, name: None, scope: Scope::default(), firebase, bcrypt_pepper: None };
    let (mut lines, mut columns, mut users) = (lines::Lines::new(file), Columns::default(), Vec::new());
    // Reading from memory cannot fail.
    while let Ok(Some(line)) = lines.next() {
        let row = line
            .text
            .map_err(str::to_owned)
            .and_then(|text| if csv { columns.row(line.number, &text) } else { json_row(&text) });
        let user = row.transpose().map(|row| {
            let row = row?;
            let prepared = reading.prepare(reading.record(&row)?, UserId::from_bytes([0; 16]), now)?;
            Accepted::default().check(system, &row)?;
            Ok(prepared.user)
        });
        users.extend(user);
    }
    Some(users)
}

fn json_row(text: &str) -> Result<Option<Row>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    daypass_verifier::base::json::object(text.as_bytes())
        .map(Some)
        .map_err(|_| "the line is not a JSON object with unique members".to_owned())
}

/// Column names of the first line of CSV.
#[derive(Default)]
struct Columns(Vec<String>);

impl Columns {
    fn row(&mut self, number: u64, text: &str) -> Result<Option<Row>, String> {
        if text.trim().is_empty() && number > 1 {
            return Ok(None);
        }
        let fields = fields(text)?;
        if number == 1 {
            let names: BTreeSet<&String> = fields.iter().collect();
            if fields.is_empty() || names.len() != fields.len() || fields.iter().any(String::is_empty) {
                return Err("the first line does not have a unique name for each column".to_owned());
            }
            self.0 = fields;
            return Ok(None);
        }
        if self.0.is_empty() {
            return Err("the first line has no column names".to_owned());
        }
        if fields.len() != self.0.len() {
            return Err(format!("the line has {} fields, the first one {}", fields.len(), self.0.len()));
        }
        // Databases export NULL as an empty field.
        let value = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        Ok(Some(self.0.iter().cloned().zip(fields.into_iter().map(value)).collect()))
    }
}

/// Fields of one line (RFC 4180). A field has no line break.
fn fields(text: &str) -> Result<Vec<String>, String> {
    if text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err("a quote is not closed on its line".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| format!("the line is not CSV: {error}"))?;
    Ok(record.iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_lines_have_the_columns_of_the_first() {
        let mut columns = Columns::default();
        assert_eq!(columns.row(1, "name,\"pass,word\",empty"), Ok(None));
        let row = columns.row(2, "\"say \"\"hi\"\"\",$2y$10$x,").unwrap().unwrap();
        assert_eq!(
            Value::Object(row),
            serde_json::json!({ "name": "say \"hi\"", "pass,word": "$2y$10$x", "empty": null })
        );
        assert_eq!(columns.row(3, ""), Ok(None));
        for bad in ["a,b", "a,b,c,d", "a,\"b,c"] {
            assert!(columns.row(4, bad).is_err(), "{bad}");
        }
        for bad in ["", "a,a", "a,,b"] {
            assert!(Columns::default().row(1, bad).is_err(), "{bad:?}");
        }
        assert!(Columns::default().row(2, "a").is_err());
    }
}
