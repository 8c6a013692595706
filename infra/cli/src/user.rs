//! `daypass user`: users.

use crate::environment::Environment;
use crate::output::{Failure, Output, quoted, time};
use crate::target::{StoreArgs, Target};
use crate::{input, target};
use clap::Subcommand;
use daypass_admin::view::UserView;
use daypass_admin::{AdminError, NewUser};
use daypass_core::account::claims::Claims;
use daypass_core::config;
use daypass_core::keys::Peppers;
use daypass_core::ports::mail::Language;
use daypass_core::ports::store::{User, UserStatus};
use daypass_dynamodb::{Cursor, ScopeChange};
use daypass_passwords::Passwords;
use daypass_runtime::SystemClock;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use serde::Serialize;
use std::path::{Path, PathBuf};

mod attributes;
mod batch;
mod calibrate;
mod credentials;
mod everyone;
pub(crate) mod export;
mod factors;
mod filter;
pub(crate) mod import;
mod invite;
mod lines;
mod progress;
mod record;
mod rows;
mod safeguards;
mod second_factor;
mod spelling;
mod system;
mod unsupported;

/// Page limit, in users: more would exceed the megabyte that DynamoDB reads at a time.
const MAX_PAGE: i64 = 1000;

/// Arguments of `daypass user`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a user; prompts for the password
    Add {
        /// Username; case-insensitive
        name: String,
        /// Scope of the user, such as "orders:read orders:write"
        #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, value_parser = daypass_admin::scope)]
        scope: Scope,
        #[command(flatten)]
        attributes: attributes::NewArgs,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Invite a person by mail, who then creates the user with a password
    Invite(invite::Args),
    /// Import users with the password hashes of another system or another Daypass
    Import(Box<import::Args>),
    /// Export all users with their password hashes as JSON lines
    Export(export::Args),
    /// List users, unordered
    List {
        /// Limit of the listed users
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MAX_PAGE))]
        limit: u32,
        /// Continue after the previous page: its `next_cursor`
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        #[command(flatten)]
        filter: filter::Args,
    },
    /// Show one user
    Show {
        /// Username
        name: String,
    },
    /// Disable a user and end the user's sessions
    Disable {
        /// Username
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        name: Option<String>,
        /// Disable the users of a file with one name per line; - is standard input
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        batch: batch::BatchArgs,
    },
    /// Enable a disabled user
    Enable {
        /// Username
        name: String,
    },
    /// Set a new password and end the user's sessions; prompts for the password
    SetPassword {
        /// Username
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Set the scope of a user; live sessions lose what the user has lost
    SetScope {
        /// Username
        name: String,
        /// The whole new scope, such as orders:read orders:write; '' for none
        #[arg(required = true, value_name = "WORDS", value_parser = daypass_admin::scope)]
        words: Vec<Scope>,
    },
    /// Set the email address of a user; sessions stay
    SetEmail {
        /// Username
        name: String,
        #[command(flatten)]
        email: attributes::EmailArgs,
    },
    /// Set the claims of a user; the next access tokens of live sessions have them
    SetClaims {
        /// Username
        name: String,
        /// All new claims, such as '{"tenant":"acme"}'; '{}' for none
        #[arg(value_name = "JSON", value_parser = attributes::claims)]
        claims: Claims,
    },
    /// Require a second factor of a user, or no longer; sessions stay
    RequireMfa {
        /// Username
        name: String,
        /// Whether it is required
        switch: factors::Switch,
    },
    /// Remove all second factors of a user, end the user's sessions and send a notice
    ResetFactors {
        /// Username
        name: String,
        /// Language of the notice
        #[arg(long, value_name = "TAG", default_value = "en", value_parser = invite::language)]
        language: Language,
    },
    /// Measure password hashes on this machine, and estimate their time and price in Lambda
    Calibrate(calibrate::Args),
    /// Remove a user and end the user's sessions
    Remove {
        /// Username
        name: String,
        /// Skip the confirmation
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct PasswordArgs {
    /// Read the password from standard input: one line, unchanged
    #[arg(long)]
    password_stdin: bool,
}

/// A completed change.
#[derive(Serialize)]
struct Changed<'a> {
    result: &'static str,
    user: UserView<'a>,
}

#[derive(Serialize)]
struct Page<'a> {
    users: Vec<UserView<'a>>,
    next_cursor: Option<&'a str>,
}

/// Runs `daypass user`.
pub(crate) async fn run(
    args: Args,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    // `calibrate` needs no store.
    if let Verb::Calibrate(args) = &args.verb {
        return calibrate::run(environment, output, args);
    }
    let target = target::open(args.store, environment, output).await?;
    match args.verb {
        Verb::Add { name, scope, attributes, password } => {
            add(&target, environment, output, new_username(&name)?, scope, attributes, &password).await
        }
        Verb::Invite(args) => invite::run(&target, output, args).await,
        Verb::Import(args) => import::run(&target, environment, output, *args).await,
        Verb::Export(args) => export::run(&target, environment, output, args).await,
        Verb::Calibrate(args) => calibrate::run(environment, output, &args),
        Verb::List { limit, cursor, filter } => {
            if filter.is_set() {
                return filter::run(&target, output, &filter).await;
            }
            list(&target, output, limit, cursor).await
        }
        Verb::Show { name } => show(&target, output, &username(&name)?).await,
        Verb::Disable { from: Some(from), batch, .. } => disable_all(&target, output, &from, &batch).await,
        Verb::Disable { name, .. } => {
            let name = username(&name.unwrap_or_default())?;
            set_status(&target, output, &name, UserStatus::Disabled).await
        }
        Verb::Enable { name } => set_status(&target, output, &username(&name)?, UserStatus::Enabled).await,
        Verb::SetPassword { name, password } => {
            set_password(&target, environment, output, &username(&name)?, &password).await
        }
        Verb::SetScope { name, words } => set_scope(&target, output, &username(&name)?, &words).await,
        Verb::SetEmail { name, email } => {
            attributes::set_email(&target, output, &username(&name)?, email).await
        }
        Verb::SetClaims { name, claims } => {
            attributes::set_claims(&target, output, &username(&name)?, &claims).await
        }
        Verb::RequireMfa { name, switch } => {
            factors::require(&target, output, &username(&name)?, switch).await
        }
        Verb::ResetFactors { name, language } => {
            factors::reset(&target, output, &username(&name)?, language).await
        }
        Verb::Remove { name, yes } => remove(&target, output, &username(&name)?, yes).await,
    }
}

/// Normalises a name.
pub(crate) fn username(typed: &str) -> Result<Username, Failure> {
    Passwords::standard().username(typed).map_err(|error| {
        Failure::new(
            format!("{typed:?} is not a username: {error}"),
            "choose another name, such as an e-mail address",
        )
    })
}

/// Normalises the name of a new user.
fn new_username(typed: &str) -> Result<Username, Failure> {
    username(typed)?;
    Passwords::standard().new_username(typed).map_err(|refused| {
        Failure::new(
            format!("{typed:?} is not a name for a new user: {refused}"),
            "choose another name, such as an e-mail address",
        )
    })
}

/// Passwords as configured by variables.
pub(crate) fn passwords(environment: &Environment<'_>) -> Result<Passwords, Failure> {
    Passwords::configured(config::lookup(&|name| environment.get(name)))
        .map_err(|error| Failure::new(error.to_string(), "correct the variable, or unset it"))
}

fn report(output: &mut Output<'_>, result: &'static str, user: &User, line: &str) -> Result<(), Failure> {
    Ok(output.result(&Changed { result, user: user.into() }, |output| output.line(line))?)
}

async fn add(
    target: &Target,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    username: Username,
    scope: Scope,
    attributes: attributes::NewArgs,
    password: &PasswordArgs,
) -> Result<(), Failure> {
    let admin = target.admin();
    let (email, claims) = attributes.into_attributes();
    daypass_admin::require_room(&username, &scope, &claims).map_err(|error| target.refused(&error))?;
    let peppers = peppers(target, environment).await?;
    // Checked before the prompt. The write below detects two concurrent additions.
    if admin.find(&username).await.map_err(|error| target.refused(&error))?.is_some() {
        return Err(target.refused(&AdminError::UserExists(username)));
    }
    let password_hash = hash(target, environment, &peppers, &username, password)?;
    let user = admin.add(NewUser { username, password_hash, scope, email, claims }).await;
    let user = user.map_err(|error| target.refused(&error))?;
    report(output, "added", &user, &format!("Added {} as {}.", user.username, user.id))
}

async fn list(
    target: &Target,
    output: &mut Output<'_>,
    limit: u32,
    cursor: Option<String>,
) -> Result<(), Failure> {
    let after = match cursor {
        None => None,
        Some(cursor) => Some(Cursor::parse(cursor).ok_or_else(|| {
            Failure::new("the cursor is malformed", "use the `next_cursor` of the previous page")
        })?),
    };
    let page = target.admin().page(after.as_ref(), limit).await;
    let daypass_admin::Page { users, next } = page.map_err(|error| target.refused(&error))?;
    let page = Page {
        users: users.iter().map(UserView::from).collect(),
        next_cursor: next.as_ref().map(Cursor::as_str),
    };
    output.result(&page, |output| {
        if users.is_empty() {
            output.note("no users; add one with `daypass user add NAME`");
            return Ok(());
        }
        let rows: Vec<_> = users.iter().map(row).collect();
        output.table(["NAME", "ID", "STATUS", "CREATED", "SCOPE"], &rows)?;
        if let Some(next) = &next {
            output.note(&format!("there may be more: continue with --cursor={}", quoted(next.as_str())));
        }
        Ok(())
    })?;
    Ok(())
}

fn row(user: &User) -> [String; 5] {
    [
        user.username.to_string(),
        user.id.to_string(),
        status(user.status).to_owned(),
        time(user.created_at),
        user.scope.to_string(),
    ]
}

const fn status(status: UserStatus) -> &'static str {
    match status {
        UserStatus::Enabled => "enabled",
        UserStatus::Disabled => "disabled",
    }
}

async fn show(target: &Target, output: &mut Output<'_>, username: &Username) -> Result<(), Failure> {
    let user = target.admin().user(username).await.map_err(|error| target.refused(&error))?;
    output.result(&UserView::from(&user), |output| {
        let rows = [
            ("id", user.id.to_string()),
            ("status", status(user.status).to_owned()),
            ("scope", user.scope.to_string()),
            ("email", user.email.as_ref().map(attributes::shown).unwrap_or_default()),
            ("claims", user.claims.to_string()),
            ("password version", user.password_version.to_string()),
            ("created", time(user.created_at)),
            ("updated", time(user.updated_at)),
        ];
        let rows = rows.map(|(label, value)| [label.to_owned(), value]);
        output.table(["name", user.username.as_str()], &rows)
    })?;
    Ok(())
}

async fn set_status(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    status: UserStatus,
) -> Result<(), Failure> {
    let changed = target.admin().set_status(username, status).await;
    let user = changed.map_err(|error| target.refused(&error))?;
    match status {
        UserStatus::Disabled => {
            report(output, "disabled", &user, &format!("Disabled {username} and ended the user's sessions."))
        }
        UserStatus::Enabled => {
            report(output, "enabled", &user, &format!("Enabled {username}, who must log in again."))
        }
    }
}

/// Result of disabling a list.
#[derive(Serialize)]
struct Disabled {
    result: &'static str,
    #[serde(flatten)]
    tally: batch::Tally,
}

/// Disables the users of a list. Disabled users are disabled again, because an interrupted run can leave sessions.
async fn disable_all(
    target: &Target,
    output: &mut Output<'_>,
    from: &Path,
    args: &batch::BatchArgs,
) -> Result<(), Failure> {
    let input = lines::open(from)?;
    let tally = batch::run(target, output, args, input, false, |line| {
        if let Some(problem) = line.problem {
            return Err(batch::Problem::from(problem.to_owned()));
        }
        if line.text.is_empty() {
            return Ok(None);
        }
        let username = record::existing_name(&line.text)?;
        let name = username.as_str().to_owned();
        let store = target.store.clone();
        let work: batch::Work = Box::pin(async move {
            let disable = || store.set_status(&username, UserStatus::Disabled, SystemClock.now());
            Ok(match batch::patiently(disable).await? {
                Some(_) => batch::Outcome::Changed,
                None => batch::Outcome::Refused("there is no such user".to_owned()),
            })
        });
        Ok(Some((name, work)))
    })
    .await?;
    output.result(&Disabled { result: "disabled", tally }, |output| {
        output.line(&format!(
            "Disabled {} of {} users and ended their sessions in {:.1} s.",
            tally.changed, tally.users, tally.seconds
        ))
    })?;
    if tally.refused > 0 {
        return Err(Failure::new(
            format!("{} of {} lines name no user", tally.refused, tally.users),
            "correct them and run the command again: a repetition is safe",
        ));
    }
    Ok(())
}

async fn set_password(
    target: &Target,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    username: &Username,
    password: &PasswordArgs,
) -> Result<(), Failure> {
    let peppers = peppers(target, environment).await?;
    // Checked before the prompt.
    target.admin().user(username).await.map_err(|error| target.refused(&error))?;
    let hash = hash(target, environment, &peppers, username, password)?;
    let changed = target.admin().set_password(username, &hash).await;
    let user = changed.map_err(|error| target.refused(&error))?;
    report(
        output,
        "password_set",
        &user,
        &format!("Set a new password for {username} and ended the user's sessions."),
    )
}

/// A completed change of the scope.
#[derive(Serialize)]
struct ScopeSet<'a> {
    #[serde(flatten)]
    changed: Changed<'a>,
    /// Live sessions that lost a part of their scope.
    sessions_narrowed: u32,
    /// Live sessions that lost their whole scope, and ended.
    sessions_ended: u32,
}

async fn set_scope(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    words: &[Scope],
) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().flat_map(Scope::words).collect();
    let scope = daypass_admin::scope(&words.join(" "))
        .map_err(|error| Failure::new(error.to_string(), "give fewer or shorter words"))?;
    let changed = target.admin().set_scope(username, &scope).await;
    let ScopeChange { user, narrowed, ended } = changed.map_err(|error| target.refused(&error))?;
    let set = ScopeSet {
        changed: Changed { result: "scope_set", user: (&user).into() },
        sessions_narrowed: narrowed,
        sessions_ended: ended,
    };
    output.result(&set, |output| {
        output.line(&format!(
            "Set the scope of {username} to {:?}. Live sessions: {narrowed} narrowed, {ended} ended.",
            user.scope.to_string()
        ))
    })?;
    Ok(())
}

async fn remove(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    yes: bool,
) -> Result<(), Failure> {
    target.admin().user(username).await.map_err(|error| target.refused(&error))?;
    if !yes {
        input::confirm(&format!("Remove {username} and end the user's sessions?"))?;
    }
    let removed = target.admin().remove(username).await;
    let user = removed.map_err(|error| target.refused(&error))?;
    report(output, "removed", &user, &format!("Removed {username} and ended the user's sessions."))
}

async fn peppers(target: &Target, environment: &Environment<'_>) -> Result<Peppers, Failure> {
    let document = target.keys(environment).await?;
    Peppers::from_document(&document).map_err(|error| {
        Failure::new(
            error.to_string(),
            "set DAYPASS_KEYS to the key set of `login`, which contains the peppers",
        )
    })
}

/// Reads a new password and hashes it.
fn hash(
    target: &Target,
    environment: &Environment<'_>,
    peppers: &Peppers,
    username: &Username,
    args: &PasswordArgs,
) -> Result<String, Failure> {
    let passwords = passwords(environment)?;
    let password = input::new_password(args.password_stdin)?;
    let hash = target.admin().hash(&passwords, peppers, username, &password);
    hash.map_err(|error| target.refused(&error))
}
