//! What a flow is given of the world, and of the request that it answers.

use crate::base::entropy::Entropy;
use crate::base::ids::{SessionId, UserId};
use crate::base::time::Clock;
use crate::ports::journal::Journal;
use std::net::IpAddr;

/// The world as the flows see it: time, randomness and the log.
pub struct Ambient {
    /// The time.
    pub clock: Box<dyn Clock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// The log.
    pub journal: Box<dyn Journal>,
}

/// Who sent a request, as API Gateway's own context tells it: never from a header that the caller can write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The gateway's id of the request.
    pub request_id: String,
    /// The address that the connection came from.
    pub source_ip: Option<IpAddr>,
    /// What the device calls itself. Written by the caller: a hint for the user's own list of sessions, nothing more.
    pub user_agent: Option<String>,
}

/// Whom the authorizer in front of a route let through, as API Gateway's own context tells it: never from a header or body
/// that the caller can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The user: the access token's `sub`.
    pub user: UserId,
    /// The session of the access token: its `sid`.
    pub session: SessionId,
}

impl Principal {
    /// The one that these claims name; `None` unless both are ids of ours.
    #[must_use]
    pub fn parse(sub: &str, sid: &str) -> Option<Self> {
        Some(Self { user: UserId::parse(sub)?, session: SessionId::parse(sid)? })
    }
}
