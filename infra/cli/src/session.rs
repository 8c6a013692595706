//! `daypass session`: sessions of users.

use crate::environment::Environment;
use crate::output::{Failure, Output, time};
use crate::target::{self, StoreArgs, Target};
use crate::user;
use clap::Subcommand;
use daypass_core::ports::store::{Revocation, SessionStore, Store};
use daypass_core::session::{EndReason, Session};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use serde::Serialize;

/// Arguments of `daypass session`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a user's sessions, newest first, including expired and ended ones that DynamoDB has not deleted
    List {
        /// Username, or the user id (usr_…) of tokens and logs
        user: String,
    },
    /// Show one session of a user with its history
    Show {
        /// Username, or the user id (usr_…) of tokens and logs
        user: String,
        /// Session id (ses_…)
        #[arg(value_parser = session_id)]
        session_id: SessionId,
    },
    /// End one session of a user, or all
    #[command(
        group = clap::ArgGroup::new("which").required(true),
        // clap would write the group before the user.
        override_usage = "daypass session revoke [OPTIONS] <USER> <SESSION_ID|--all>"
    )]
    Revoke {
        /// Username, or the user id (usr_…) of tokens and logs
        user: String,
        /// Session id (ses_…)
        #[arg(group = "which", value_parser = session_id)]
        session_id: Option<SessionId>,
        /// End all sessions of the user
        #[arg(long, group = "which")]
        all: bool,
    },
}

fn session_id(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| {
        "a session id is ses_ and 32 hexadecimal digits; `daypass session list` shows them".to_owned()
    })
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Live,
    Expired,
    Ended,
}

impl State {
    fn of(session: &Session, now: Timestamp) -> Self {
        match session.ended {
            Some(_) => Self::Ended,
            None if session.is_live(now) => Self::Live,
            None => Self::Expired,
        }
    }
}

/// A session in the output. Times are in seconds since the epoch.
#[derive(Serialize)]
struct SessionView<'a> {
    session_id: SessionId,
    state: State,
    ended_at: Option<u64>,
    ended_reason: Option<EndReason>,
    generation: u32,
    created_at: u64,
    last_used_at: u64,
    expires_at: u64,
    absolute_end: u64,
    client_id: &'a ClientId,
    scope: &'a Scope,
    device: Option<&'a str>,
}

impl<'a> SessionView<'a> {
    fn new(session: &'a Session, now: Timestamp) -> Self {
        Self {
            session_id: session.session,
            state: State::of(session, now),
            ended_at: session.ended.map(|ended| ended.at.seconds()),
            ended_reason: session.ended.map(|ended| ended.reason),
            generation: session.generation,
            created_at: session.created_at.seconds(),
            last_used_at: session.last_used().seconds(),
            expires_at: session.expires_at.seconds(),
            absolute_end: session.absolute_end.seconds(),
            client_id: &session.client,
            scope: &session.scope,
            device: session.device.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    user_id: UserId,
    sessions: Vec<SessionView<'a>>,
}

/// One session, with the fields that the list omits.
#[derive(Serialize)]
struct Shown<'a> {
    user_id: UserId,
    #[serde(flatten)]
    session: SessionView<'a>,
    /// Time of the last refresh, in seconds since the epoch.
    rotated_at: Option<u64>,
}

#[derive(Serialize)]
struct Revoked {
    user_id: UserId,
    ended: u32,
}

/// Runs `daypass session`.
pub(crate) async fn run(
    args: Args,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let target = target::open(args.store, environment, output).await?;
    match args.verb {
        Verb::List { user } => list(&target, output, &user).await,
        Verb::Show { user, session_id } => show(&target, output, &user, session_id).await,
        Verb::Revoke { user, session_id: Some(session), .. } => {
            revoke_one(&target, output, &user, session).await
        }
        Verb::Revoke { user, session_id: None, .. } => revoke_all(&target, output, &user).await,
    }
}

/// The user id of a name, or the given user id. Logs contain ids, and a removed user has no name.
async fn user_id(target: &Target, name_or_id: &str) -> Result<UserId, Failure> {
    match UserId::parse(name_or_id) {
        Some(id) => Ok(id),
        None => Ok(user::find(target, &user::username(name_or_id)?).await?.id),
    }
}

async fn sessions(target: &Target, user: UserId) -> Result<Vec<Session>, Failure> {
    let mut sessions = target.store.sessions(user).await.map_err(|error| target.failure(&error))?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
    Ok(sessions)
}

async fn list(target: &Target, output: &mut Output<'_>, name_or_id: &str) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let sessions = sessions(target, user_id).await?;
    let now = SystemClock.now();
    let listed =
        Listed { user_id, sessions: sessions.iter().map(|session| SessionView::new(session, now)).collect() };
    output.result(&listed, |output| {
        if sessions.is_empty() {
            output.note(&format!("no sessions of {name_or_id}"));
            return Ok(());
        }
        let rows: Vec<_> = sessions.iter().map(|session| row(session, now)).collect();
        output
            .table(["SESSION", "STATE", "CREATED", "LAST USED", "EXPIRES", "GEN", "CLIENT", "DEVICE"], &rows)
    })?;
    Ok(())
}

fn row(session: &Session, now: Timestamp) -> [String; 8] {
    [
        session.session.to_string(),
        state(session, now),
        time(session.created_at),
        time(session.last_used()),
        time(session.expires_at),
        session.generation.to_string(),
        session.client.to_string(),
        session.device.clone().unwrap_or_default(),
    ]
}

/// State and cause as text.
fn state(session: &Session, now: Timestamp) -> String {
    match (State::of(session, now), session.ended) {
        (State::Live, _) => "live".to_owned(),
        (State::Expired, _) => "expired".to_owned(),
        (State::Ended, ended) => {
            format!("ended: {}", ended.map_or("unknown", |ended| ended.reason.as_str()))
        }
    }
}

async fn show(
    target: &Target,
    output: &mut Output<'_>,
    name_or_id: &str,
    session_id: SessionId,
) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let stored = target.store.stored_session(user_id, session_id).await;
    let session =
        stored.map_err(|error| target.failure(&error))?.ok_or_else(|| unknown(name_or_id, session_id))?;
    let now = SystemClock.now();
    let rotated_at = session.rotated_at.map(Timestamp::seconds);
    let shown = Shown { user_id, session: SessionView::new(&session, now), rotated_at };
    output.result(&shown, |output| {
        output.table(["session", &session_id.to_string()], &history(&session, now))
    })?;
    Ok(())
}

/// History of a session, in order.
fn history(session: &Session, now: Timestamp) -> Vec<[String; 2]> {
    // A session expires at the sooner of both ends. They differ only if an idle limit comes first.
    let idle = Some(session.expires_at).filter(|expiry| *expiry < session.absolute_end);
    let mut rows = vec![
        ("user id", session.user.to_string()),
        ("state", state(session, now)),
        ("client", session.client.to_string()),
        ("scope", session.scope.to_string()),
        ("device", session.device.clone().unwrap_or_default()),
        ("logged in", time(session.created_at)),
        ("generation", session.generation.to_string()),
        ("last refresh", session.rotated_at.map_or_else(|| "never".to_owned(), time)),
        ("idle expiry", idle.map_or_else(|| "at the absolute end".to_owned(), time)),
        ("absolute end", time(session.absolute_end)),
    ];
    if let Some(ended) = session.ended {
        rows.push(("ended", time(ended.at)));
        rows.push(("reason", ended.reason.as_str().to_owned()));
    }
    rows.into_iter().map(|(label, value)| [label.to_owned(), value]).collect()
}

/// The user has no such session.
fn unknown(name_or_id: &str, session: SessionId) -> Failure {
    Failure::new(
        format!("{name_or_id} has no session {session}"),
        "`daypass session list USER` shows the sessions; DynamoDB deletes expired ones",
    )
}

async fn revoke_one(
    target: &Target,
    output: &mut Output<'_>,
    name_or_id: &str,
    session: SessionId,
) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let revoked = target
        .store
        .revoke_session(
            user_id,
            session,
            None,
            SystemClock.now(),
            EndReason::Operator,
            AttemptId::generate(&OsEntropy),
        )
        .await;
    match revoked.map_err(|error| target.failure(&error))? {
        Revocation::Ended => {
            let line = format!("Ended {session} of {name_or_id}.");
            output.result(&Revoked { user_id, ended: 1 }, |output| output.line(&line))?;
        }
        // No client is named, so `OtherClient` does not occur.
        Revocation::AlreadyOver(_) | Revocation::Absent | Revocation::OtherClient => {
            // A mistyped id must be an error.
            if !sessions(target, user_id).await?.iter().any(|known| known.session == session) {
                return Err(unknown(name_or_id, session));
            }
            let line = format!("{session} of {name_or_id} had already ended or expired.");
            output.result(&Revoked { user_id, ended: 0 }, |output| output.line(&line))?;
        }
    }
    Ok(())
}

async fn revoke_all(target: &Target, output: &mut Output<'_>, name_or_id: &str) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    // Without the time limit of the functions' `revoke_all`: the command waits for the last session.
    let ended = target.store.end_sessions(user_id, SystemClock.now(), EndReason::Operator).await;
    let ended = ended.map_err(|error| target.failure(&error))?;
    let line = match ended {
        0 => format!("{name_or_id} had no live session."),
        1 => format!("Ended 1 session of {name_or_id}."),
        _ => format!("Ended {ended} sessions of {name_or_id}."),
    };
    output.result(&Revoked { user_id, ended }, |output| output.line(&line))?;
    Ok(())
}
