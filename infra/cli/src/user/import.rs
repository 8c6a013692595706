//! `daypass user import`: users with their hashes from a file.

use super::batch::{self, BatchArgs, Outcome, Problem, Tally, Task, Work, patiently};
use super::credentials::Firebase;
use super::lines;
use super::record::{Prepared, Reading};
use super::rows::{Format, Rows};
use super::safeguards::Accepted;
use super::second_factor::SecondFactors;
use super::spelling;
use super::system::System;
use crate::environment::Environment;
use crate::output::{Failure, Output};
use crate::target::Target;
use clap::ValueEnum;
use daypass_core::factor::EnrolledTotp;
use daypass_core::factor::totp::Totp;
use daypass_core::keys::{FactorKeys, Peppers};
use daypass_core::ports::store::User;
use daypass_dynamodb::Import;
use daypass_passwords::{HashKind, IMPORTED_HASHES, MAX_IMPORTED_KINDS, Passwords, StoredHash};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, value_parser = daypass_admin::scope)]
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

/// Result of an import.
#[derive(Serialize)]
struct Summary {
    result: &'static str,
    #[serde(flatten)]
    tally: Tally,
    /// Users per kind of hash, without lines that are rejected for their content.
    kinds: BTreeMap<String, u64>,
    /// Users without a hash, whose password the old system checks at their first login.
    marked: u64,
    /// Users who keep the app of their one-time codes.
    #[serde(skip_serializing_if = "is_zero")]
    with_app: u64,
    /// Users who were imported without their e-mail address, because another user has it.
    #[serde(skip_serializing_if = "is_zero")]
    without_address: u64,
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
    let secrets = Secrets::load(target, environment).await;
    let input = lines::open(&args.file)?;
    let now = SystemClock.now();
    let mut rows = Rows::new(format, reading.system, reading.name.clone());
    let mut kinds: BTreeMap<HashKind, u64> = BTreeMap::new();
    let (mut marked, mut with_app) = (0, 0);
    let dry_run = args.dry_run;
    let left_out = Arc::new(AtomicU64::new(0));
    let tally = batch::run(target, output, &args.batch, input, format == Format::Csv, |line| {
        let Some((row, problem)) = rows.row(line).map_err(Problem::Input)? else { return Ok(None) };
        // Every error about a line names its user.
        let refused = |why: String| Problem::Line(reading.name_on(&row), why);
        problem.map_or(Ok(()), Err).map_err(refused)?;
        let record = reading.record(&row, now).map_err(refused)?;
        let factors = SecondFactors::on(reading.system, reading.members(&row));
        let app = factors.app.as_ref();
        let Prepared { mut user, origin, hash } =
            reading.prepare(record, app, UserId::generate(&OsEntropy), now).map_err(refused)?;
        hash.as_ref().map_or(Ok(()), |hash| secrets.require(hash)).map_err(refused)?;
        let name = user.username.as_str().to_owned();
        args.accepted.check(reading.system, reading.members(&row), &factors).map_err(refused)?;
        user.factors.totp = app.map(|app| secrets.seal(app, user.id)).transpose().map_err(refused)?;
        match &hash {
            Some(hash) => *kinds.entry(hash.kind()).or_default() += 1,
            None => marked += 1,
        }
        with_app += u64::from(app.is_some());
        let store = target.store.clone();
        let (lenient, left_out) = (reading.system != System::Daypass, Arc::clone(&left_out));
        let work: Work = Box::pin(async move {
            let import = async |user: &User| {
                if dry_run {
                    patiently(|| store.preview_import(user, origin)).await
                } else {
                    patiently(|| store.import_user(user, origin)).await
                }
            };
            let mut imported = import(&user).await?;
            // In many systems, two users can have one address.
            if imported == Import::AddressTaken && lenient {
                imported = import(&User { email: None, ..user }).await?;
                left_out.fetch_add(u64::from(imported == Import::Added), Ordering::Relaxed);
            }
            Ok(match imported {
                Import::Added => Outcome::Changed,
                Import::Unchanged => Outcome::Unchanged,
                Import::Taken => Outcome::Refused(
                    "another user has this name, or the user of another line: nothing was written".to_owned(),
                ),
                Import::AddressTaken => {
                    Outcome::Refused("another user has this e-mail address: nothing was written".to_owned())
                }
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
        marked,
        with_app,
        without_address: left_out.load(Ordering::Relaxed),
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
    if summary.marked > 0 {
        output.note(&format!(
            "{} users have no hash: they log in while `migrate_cognito` or `migrate_url` is set, or with a new password",
            summary.marked
        ));
    }
    if summary.with_app > 0 {
        output.note(&format!("{} users keep the app of their one-time codes", summary.with_app));
    }
    if summary.without_address > 0 {
        output.note(&format!(
            "{} users were imported without their email address, because another user has it",
            summary.without_address
        ));
    }
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
            "set {IMPORTED_HASHES} (`imported_hashes` in the parameter Settings) to \"{value}\" until these users have logged in; otherwise the login time reveals them"
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Value of the setting, if the kinds fit into it.
fn setting(kinds: &BTreeMap<HashKind, u64>, passwords: &Passwords) -> Option<String> {
    let others: Vec<String> =
        kinds.keys().filter(|kind| **kind != passwords.params().into()).map(ToString::to_string).collect();
    (1..=MAX_IMPORTED_KINDS).contains(&others.len()).then(|| others.join(" "))
}

/// What lines need of the key set, or the error of its load.
struct Secrets {
    /// Ids and lengths of the peppers.
    peppers: Result<BTreeMap<String, usize>, String>,
    factors: Result<FactorKeys, String>,
}

impl Secrets {
    async fn load(target: &Target, environment: &Environment<'_>) -> Self {
        let document = match target.keys(environment).await {
            Ok(document) => document,
            Err(failure) => {
                let why = failure.what().to_owned();
                return Self { peppers: Err(why.clone()), factors: Err(why) };
            }
        };
        let lengths = |peppers: Peppers| {
            let kids =
                document.summary().into_iter().filter(|key| key.section == "peppers").map(|key| key.kid);
            let length = |kid: &str| peppers.get(kid).map(|secret| secret.expose().len());
            kids.filter_map(|kid| length(&kid).map(|length| (kid, length))).collect()
        };
        Self {
            peppers: Peppers::from_document(&document).map(lengths).map_err(|error| error.to_string()),
            factors: FactorKeys::from_document(&document).map_err(|error| error.to_string()),
        }
    }

    /// Encrypts the secret of an app as an enrolment does. Daypass has accepted none of its codes.
    fn seal(&self, app: &Totp, user: UserId) -> Result<EnrolledTotp, String> {
        let keys = self
            .factors
            .as_ref()
            .map_err(|why| format!("the secret of the app cannot be encrypted: {why}"))?;
        EnrolledTotp::seal(app, user, 0, keys, &OsEntropy).map_err(|error| error.to_string())
    }

    /// Rejects a hash whose pepper is missing, or whose signer key is another one: the user could not log in.
    fn require(&self, hash: &StoredHash) -> Result<(), String> {
        match (hash.pepper(), &self.peppers) {
            (None, _) => Ok(()),
            (Some(kid), Ok(kids)) => match (kids.get(kid), hash.secret_bytes()) {
                (None, _) => Err(format!(
                    "the hash needs the pepper {kid}, which the key set lacks: adopt it with `daypass key adopt`"
                )),
                (Some(has), Some(needs)) if *has != needs => Err(format!(
                    "the hash needs a signer key of {needs} bytes, and {kid} has {has}: decode it with --base64 of `daypass key adopt`"
                )),
                (Some(_), _) => Ok(()),
            },
            (Some(kid), Err(why)) => Err(format!("the hash needs the pepper {kid}, and {why}")),
        }
    }
}

/// Reads an import file as `daypass user import` does before it asks the store: the user or the problem of each line, or one
/// problem of the file. The users have no second factors, which need a key.
///
/// `system` is a value of `--system`; `None` for another one. All other options have their defaults.
#[must_use]
pub fn users_in(system: &str, csv: bool, file: &[u8], now: Timestamp) -> Option<Vec<Result<User, String>>> {
    let system = System::from_str(system, false).ok()?;
    let signer = Firebase { signer: "00000000".to_owned(), salt_separator: vec![7], rounds: 8, mem_cost: 14 };
    let firebase = (system == System::Firebase).then_some(signer);
    let reading = Reading { system, name: None, scope: Scope::default(), firebase, bcrypt_pepper: None };
    let format = if csv { Format::Csv } else { Format::Jsonl };
    let (mut lines, mut rows, mut users) =
        (lines::Lines::new(file, csv), Rows::new(format, system, None), Vec::new());
    // Reading from memory cannot fail.
    while let Ok(Some(line)) = lines.next() {
        let (row, problem) = match rows.row(&line) {
            Ok(None) => continue,
            Ok(Some(row)) => row,
            Err(failure) => return Some(vec![Err(failure.what().to_owned())]),
        };
        let user = || {
            problem.map_or(Ok(()), Err)?;
            let factors = SecondFactors::on(system, reading.members(&row));
            let (record, id) = (reading.record(&row, now)?, UserId::from_bytes([0; 16]));
            let prepared = reading.prepare(record, factors.app.as_ref(), id, now)?;
            Accepted::default().check(system, reading.members(&row), &factors)?;
            Ok(prepared.user)
        };
        users.push(user());
    }
    Some(users)
}
