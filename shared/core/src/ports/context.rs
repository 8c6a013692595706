//! The surroundings of a flow, and the caller of a guarded request.

use super::event::Event;
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::ports::context;

/// The operator that API Gateway authorised by IAM. It comes from the context of API Gateway, never from a header or body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The ARN of the IAM user or of the session of a role.
    pub arn: String,
}

/// Time, randomness and the log of the issuer.
pub type Context = context::Context<Event>;

/// The caller that the authorizer in front of a route allowed. It comes from the context of API Gateway, never from a header
/// or body, which the caller can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The user: the access token's `sub`.
    pub user: UserId,
    /// The session of the access token: its `sid`.
    pub session: SessionId,
    /// Whether the access token has the right to the account endpoints: its `account`.
    pub account: bool,
    /// The key of the access token, whose proof the authorizer has checked: its `cnf.jkt`. `None` for a bearer token.
    pub key: Option<Thumbprint>,
    /// The time of its last authentication: the access token's `auth_time`. `None` if it has none.
    pub authenticated_at: Option<Timestamp>,
    /// Whether the user showed two factors: the access token's `acr` is `2`.
    pub two_factors: bool,
}

impl Principal {
    /// The principal of these claims; `None` unless both are ids of ours.
    #[must_use]
    pub fn parse(sub: &str, sid: &str, account: bool) -> Option<Self> {
        Some(Self {
            user: UserId::parse(sub)?,
            session: SessionId::parse(sid)?,
            account,
            key: None,
            authenticated_at: None,
            two_factors: false,
        })
    }

    /// The same principal with the claims `auth_time` and `acr`.
    #[must_use]
    pub fn authenticated(self, auth_time: Option<u64>, acr: Option<&str>) -> Self {
        let authenticated_at = auth_time.map(Timestamp::from_seconds);
        Self { authenticated_at, two_factors: acr == Some("2"), ..self }
    }
}
