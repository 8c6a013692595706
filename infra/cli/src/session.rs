//! `daypass session`: sessions of users.

use crate::environment::Environment;
use crate::output::{Failure, Output, time};
use crate::target::{self, StoreArgs, Target};
use crate::user;
use clap::Subcommand;
use daypass_admin::view::{SessionDetail, SessionView, SessionsEnded, State};
use daypass_core::session::Session;
use daypass_runtime::SystemClock;
use daypass_verifier::base::ids::{SessionId, UserId};
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

#[derive(Serialize)]
struct Listed<'a> {
    user_id: UserId,
    sessions: Vec<SessionView<'a>>,
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
        None => {
            let user = target.admin().user(&user::username(name_or_id)?).await;
            Ok(user.map_err(|error| target.refused(&error))?.id)
        }
    }
}

async fn list(target: &Target, output: &mut Output<'_>, name_or_id: &str) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let sessions = target.admin().sessions(user_id).await.map_err(|error| target.refused(&error))?;
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
    let session =
        target.admin().session(user_id, session_id).await.map_err(|error| target.refused(&error))?;
    let now = SystemClock.now();
    output.result(&SessionDetail::new(&session, now), |output| {
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

async fn revoke_one(
    target: &Target,
    output: &mut Output<'_>,
    name_or_id: &str,
    session: SessionId,
) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let ended = target.admin().end_session(user_id, session).await;
    let ended = ended.map_err(|error| target.refused(&error))?;
    let line = if ended {
        format!("Ended {session} of {name_or_id}.")
    } else {
        format!("{session} of {name_or_id} had already ended.")
    };
    output.result(&SessionsEnded { user_id, ended: u32::from(ended) }, |output| output.line(&line))?;
    Ok(())
}

async fn revoke_all(target: &Target, output: &mut Output<'_>, name_or_id: &str) -> Result<(), Failure> {
    let user_id = user_id(target, name_or_id).await?;
    let ended = target.admin().end_sessions(user_id).await.map_err(|error| target.refused(&error))?;
    let line = match ended {
        0 => format!("{name_or_id} had no live session."),
        1 => format!("Ended 1 session of {name_or_id}."),
        _ => format!("Ended {ended} sessions of {name_or_id}."),
    };
    output.result(&SessionsEnded { user_id, ended }, |output| output.line(&line))?;
    Ok(())
}
