//! What a verifier logs.
//!
//! An event carries ids and causes, and no token, password, name or header. Each becomes one JSON line, which is a contract
//! with those who read the log: `docs/reference/events.md` states it, and a test holds the two together.

use crate::base::ids::{SessionId, UserId};
use crate::jose::verify::Rejection;
use crate::routes::RouteDenial;
use serde::Serialize;

/// Version of the schema, on every line as `v`. Within a version there may come new events, new optional fields and new
/// values of a cause or reason; a field is never renamed, retyped or left out where it was always present.
pub const VERSION: u32 = 1;

/// What can stand on a line of the log.
pub trait Record: Serialize {
    /// How loud it is.
    fn severity(&self) -> Severity;
}

/// An event of a verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A guarded route was denied.
    #[serde(rename = "authorize.denied")]
    AuthorizeDenied {
        /// Why.
        cause: Denial,
        /// Whose token it was, when we had signed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// The session it belongs to, when we had signed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
    },
    /// The revocation feed does not answer, or not well. Once, not for each request.
    #[serde(rename = "feed.failing")]
    FeedFailing {
        /// How many sessions are known to have ended.
        sessions: u64,
        /// What the feed did. It names no input.
        detail: String,
    },
    /// The list of revocations has become too old. Once, not for each request.
    #[serde(rename = "feed.stale")]
    FeedStale {
        /// How many sessions are known to have ended.
        sessions: u64,
        /// What the feed did last. It names no input.
        detail: String,
    },
    /// The revocation feed answers again.
    #[serde(rename = "feed.recovered")]
    FeedRecovered {
        /// How many sessions are known to have ended.
        sessions: u64,
    },
    /// A dependency failed, or we did.
    #[serde(rename = "failure")]
    Failure {
        /// What was being done.
        during: &'static str,
        /// What the dependency said. It names tables and codes, never input.
        detail: String,
    },
    /// A function could not start.
    #[serde(rename = "init.failed")]
    InitFailed {
        /// What was wrong. It names settings and keys by name, never their values.
        detail: String,
    },
    /// A function panicked: a bug of ours.
    #[serde(rename = "panic")]
    Panic {
        /// Where in the source: file, line and column. Never the panic's own text, which could hold input.
        at: String,
    },
}

impl Record for Event {
    fn severity(&self) -> Severity {
        match self {
            Self::Failure { .. } | Self::InitFailed { .. } | Self::Panic { .. } | Self::FeedStale { .. } => {
                Severity::Error
            }
            Self::FeedFailing { .. } => Severity::Warning,
            Self::AuthorizeDenied { .. } | Self::FeedRecovered { .. } => Severity::Info,
        }
    }
}

/// Why the authorizer said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Denial {
    /// There was no single bearer token to look at.
    AuthorizationHeader(BadAuthorizationHeader),
    /// The token.
    Token(Rejection),
    /// The session that the token names: the token is good and its session is over.
    Session(SessionDenial),
    /// The route: the table of routes does not let this caller in.
    Route(RouteDenial),
}

/// What the revocation feed says of the session of a good token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionDenial {
    /// It has ended.
    Ended,
}

/// What was wrong with the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadAuthorizationHeader {
    /// None was sent.
    Missing,
    /// The event is of no API that this authorizer serves.
    UnsupportedEvent,
    /// Not `Bearer` and one token (RFC 6750 §2.1), or several headers.
    Malformed,
    /// The header is none of the identity sources under which API Gateway caches the answer.
    NotTheCacheKey,
}

/// How loud an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// In the ordinary run of things.
    Info,
    /// Worth a look.
    #[serde(rename = "WARN")]
    Warning,
    /// Something is broken.
    Error,
}
