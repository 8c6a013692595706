//! What a flow is given of the world, and of the request that it answers.

use super::event::Event;
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::ports::context;

/// Time, randomness and the log of an issuer.
pub type Context = context::Context<Event>;

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
