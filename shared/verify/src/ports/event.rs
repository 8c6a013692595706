//! The events of a verifier.
//!
//! An event carries ids and causes, and no token, password, name or header. Each becomes one JSON line.
//! `docs/reference/events.md` documents the lines as a contract, and a test compares both.

use crate::base::ids::{SessionId, UserId};
use crate::jose::dpop::ProofFault;
use crate::jose::verify::Rejection;
use crate::routes::RouteDenial;
use serde::Serialize;

/// Version of the schema, on every line as `v`. A version may gain events, optional fields and values of a cause or
/// reason. No field is renamed, changes its type, or becomes optional.
pub const VERSION: u32 = 1;

/// A line of the log.
pub trait Record: Serialize {
    /// Severity of the line.
    fn severity(&self) -> Severity;
}

/// An event of a verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event")]
pub enum Event {
    /// The authorizer denied a request.
    #[serde(rename = "authorize.denied")]
    AuthorizeDenied {
        /// The check that failed.
        cause: Denial,
        /// User of a token with a valid signature.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
        /// Session of a token with a valid signature.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
    },
    /// The revocation feed fails. Logged once per change.
    #[serde(rename = "feed.failing")]
    FeedFailing {
        /// Sessions on the list.
        sessions: u64,
        /// The failure of the feed. It contains no input.
        detail: String,
    },
    /// The revocation list has become stale. Logged once per change.
    #[serde(rename = "feed.stale")]
    FeedStale {
        /// Sessions on the list.
        sessions: u64,
        /// The last failure of the feed. It contains no input.
        detail: String,
    },
    /// The revocation feed answers again.
    #[serde(rename = "feed.recovered")]
    FeedRecovered {
        /// Sessions on the list.
        sessions: u64,
    },
    /// An event of no API invoked the function, such as that of a schedule that keeps the function warm. It had no effect.
    #[serde(rename = "function.warmed")]
    FunctionWarmed {},
    /// A dependency or the function itself failed.
    #[serde(rename = "failure")]
    Failure {
        /// The operation that failed.
        during: &'static str,
        /// The error. It contains names of tables and codes, and no input.
        detail: String,
    },
    /// A function could not start.
    #[serde(rename = "init.failed")]
    InitFailed {
        /// The problem. It contains names of settings and keys, and no values.
        detail: String,
    },
    /// A function panicked, because of a bug in Daypass.
    #[serde(rename = "panic")]
    Panic {
        /// File, line and column in the source. The text of the panic could contain input, and is not logged.
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
            Self::AuthorizeDenied { .. } | Self::FeedRecovered { .. } | Self::FunctionWarmed {} => {
                Severity::Info
            }
        }
    }
}

/// The cause of a denial by the authorizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Denial {
    /// The request has no single bearer token.
    AuthorizationHeader(BadAuthorizationHeader),
    /// The verifier rejected the token.
    Token(Rejection),
    /// The scheme does not fit the token.
    Scheme(BadScheme),
    /// The proof of a bound token is missing or rejected.
    Proof(ProofFault),
    /// The session of the token is over.
    Session(SessionDenial),
    /// The route table denies the caller.
    Route(RouteDenial),
}

/// The scheme of the `Authorization` header does not fit the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadScheme {
    /// The token is bound to a key, and the scheme is `Bearer` (RFC 9449 §7.2).
    BoundTokenAsBearer,
    /// The token is not bound to a key, and the scheme is `DPoP`.
    BearerTokenAsDpop,
}

/// The state of the session of a verified token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionDenial {
    /// The session has ended.
    Ended,
}

/// The problem of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadAuthorizationHeader {
    /// The request has none.
    Missing,
    /// The event has a form that the authorizer does not serve.
    UnsupportedEvent,
    /// The header is not `Bearer` (RFC 6750 §2.1) or `DPoP` (RFC 9449 §7.1) and one token, or there are several headers.
    Malformed,
    /// The header is no identity source, so API Gateway caches the response under another key.
    NotTheCacheKey,
}

/// The severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// An ordinary event.
    Info,
    /// An event that an operator should look at.
    #[serde(rename = "WARN")]
    Warning,
    /// A failure that needs an operator.
    Error,
}
