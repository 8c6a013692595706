//! The calls of a walk, and their outcomes: those that the model expects, and those that are seen.

use std::fmt;

/// An `Idempotency-Key`, by number.
pub type Key = u8;

/// The network that a request comes from, as the trusted proxy tells it: 0 is that of the owner.
pub type Place = u8;

/// The DPoP proof of a refresh, where the session is bound to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Of the key of the session.
    Own,
    /// Of another key.
    Other,
    /// None.
    Missing,
}

/// One request to a function, or one command of an operator. Users, sessions and links are identified by their index in the
/// model.
#[derive(Debug, Clone)]
pub enum Call {
    /// A login: `POST /login`.
    Login {
        /// Index of the user.
        user: usize,
        /// Index of the password.
        password: usize,
        /// The parameter `client_id`.
        client: Option<&'static str>,
        /// The parameter `scope`.
        scope: Option<&'static str>,
    },
    /// A refresh: `POST /refresh`.
    Refresh {
        /// Index of the session.
        session: usize,
        /// Index of the presented link.
        link: usize,
        /// The parameter `client_id`.
        client: Option<&'static str>,
        /// The parameter `scope`.
        scope: Option<&'static str>,
        /// The header `Idempotency-Key`.
        key: Option<Key>,
        /// The network of the client.
        place: Place,
        /// The proof, where the session is bound to a key.
        proof: Proof,
    },
    /// A revocation: `POST /revoke`.
    Revoke {
        /// Index of the session.
        session: usize,
        /// Index of the link whose refresh or access token is presented.
        link: usize,
        /// Whether the access token is presented.
        access: bool,
        /// The parameter `client_id`.
        client: Option<&'static str>,
        /// Whether the request has `all=true`.
        all: bool,
    },
    /// A change of the password by the user: `POST /password`.
    Change {
        /// Index of the session.
        session: usize,
        /// Index of the link whose access token is presented.
        link: usize,
        /// Index of the password that the request names as the current one.
        current: usize,
        /// Index of the new password.
        new: usize,
    },
    /// A request that did not come through the trusted proxy, and names an address all the same.
    Forged {
        /// The request without the proxy.
        call: Box<Self>,
        /// Whether it has a secret, which is wrong.
        wrong_secret: bool,
    },
    /// The operator sets the scope of a user.
    SetScope {
        /// Index of the user.
        user: usize,
        /// The scope of the user from now on.
        scope: &'static str,
    },
    /// The operator sets the claim `tenant` of a user.
    SetClaims {
        /// Index of the user.
        user: usize,
        /// The value; empty for no claims.
        tenant: &'static str,
    },
    /// The operator sets a new password.
    SetPassword {
        /// Index of the user.
        user: usize,
        /// Index of the password.
        password: usize,
    },
    /// The operator disables or enables a user.
    SetEnabled {
        /// Index of the user.
        user: usize,
        /// Whether the user is enabled.
        enabled: bool,
    },
    /// The operator removes a user.
    Remove {
        /// Index of the user.
        user: usize,
    },
}

impl Call {
    /// A refresh with only its token.
    #[must_use]
    pub const fn refresh(session: usize, link: usize, key: Option<Key>) -> Self {
        Self::Refresh { session, link, client: None, scope: None, key, place: 0, proof: Proof::Own }
    }

    /// Whether the model has the outcomes of both calls at once. A change of the password, a new scope and new claims take several
    /// steps. Some operations between them have outcomes of their own, which the tests of these flows play one by one.
    #[must_use]
    pub const fn can_meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Change { .. } | Self::Forged { .. }, _)
            | (_, Self::Change { .. } | Self::Forged { .. }) => false,
            (Self::SetScope { .. } | Self::SetClaims { .. }, call)
            | (call, Self::SetScope { .. } | Self::SetClaims { .. }) => {
                matches!(call, Self::Login { .. } | Self::Refresh { .. } | Self::Revoke { all: false, .. })
            }
            _ => true,
        }
    }

    /// Whether the call ends all sessions of a user.
    #[must_use]
    pub fn ends_all(&self) -> bool {
        matches!(
            self,
            Self::Revoke { all: true, .. }
                | Self::SetPassword { .. }
                | Self::SetEnabled { enabled: false, .. }
                | Self::Remove { .. }
        )
    }
}

/// The expected response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// 200 with the token of this link.
    Granted {
        /// Index of the session.
        session: usize,
        /// Index of the link that the client now has.
        link: usize,
        /// Reason why the token was issued.
        how: How,
        /// The member `scope`.
        scope: String,
        /// The member `refresh_expires_in`.
        expires_in: u64,
        /// Whether the access token has the right to the account.
        account: bool,
        /// The claim `tenant` of the access token; empty without it.
        tenant: &'static str,
    },
    /// The token is rejected: 400 `invalid_grant`.
    Refused(Why),
    /// The scope was not granted: 400 `invalid_scope`.
    Scope,
    /// The access token has no right to the account: 403 `insufficient_scope`.
    NoAccount,
    /// The login is rejected: 401 `invalid_grant`.
    Credentials,
    /// The access token is not valid any more, or its session: 401 `invalid_token`.
    Unauthorized,
    /// The current password is wrong: 400 `wrong_password`.
    WrongPassword,
    /// The request did not come through the proxy: 403 `invalid_request`.
    NotThroughProxy,
    /// 200 with an empty object. Contains whether a session ended.
    Revoked(bool),
    /// 200 with an empty object: an earlier revocation of all sessions was finished.
    Finished,
    /// Outcome of an operator's command: whether the user exists.
    Operator(bool),
    /// DynamoDB does not answer: 503 `temporarily_unavailable`.
    Unavailable,
}

/// Reason why a token was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// After a login.
    Login,
    /// After a rotation.
    Rotated,
    /// After a change of the password.
    Changed,
    /// The new session again, which a change of the password opened before.
    ChangedBefore,
    /// The last link again, within the grace period.
    Again,
    /// The last link again, after the grace period, with the key that made it.
    ByKey,
}

/// Reason why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The expiry in the token has passed.
    TokenExpired,
    /// The session no longer exists.
    Absent,
    /// The session ended.
    Ended,
    /// The session belongs to another client.
    OtherClient,
    /// The session is bound to a key, and the request has no proof of it.
    OtherKey,
    /// The session has expired.
    Expired,
    /// The token was used before, and its successor may be with another party.
    Theft,
}

impl Ruling {
    /// Name of the reason, for the counts.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Granted { how: How::Login, .. } => "logged in",
            Self::Granted { how: How::Rotated, .. } => "rotated",
            Self::Granted { how: How::Changed, .. } => "a new session",
            Self::Granted { how: How::ChangedBefore, .. } => "the same new session",
            Self::Granted { how: How::Again, .. } => "the same successor",
            Self::Granted { how: How::ByKey, .. } => "the same successor, by its key",
            Self::Refused(Why::TokenExpired) => "refused: token expired",
            Self::Refused(Why::Absent) => "refused: no such session",
            Self::Refused(Why::Ended) => "refused: ended",
            Self::Refused(Why::OtherClient) => "refused: another client's",
            Self::Refused(Why::OtherKey) => "refused: another key",
            Self::Refused(Why::Expired) => "refused: session expired",
            Self::Refused(Why::Theft) => "theft noticed",
            Self::Scope => "scope refused",
            Self::NoAccount => "no right to the account",
            Self::Credentials => "credentials refused",
            Self::Unauthorized => "the session is over",
            Self::WrongPassword => "wrong password",
            Self::NotThroughProxy => "not through the proxy",
            Self::Revoked(true) => "ended",
            Self::Revoked(false) => "nothing to end",
            Self::Finished => "an earlier one finished",
            Self::Operator(true) => "done",
            Self::Operator(false) => "no such user",
            Self::Unavailable => "503",
        }
    }
}

/// The expected response, and the numbers of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The expected response.
    pub ruling: Ruling,
    /// Number of `refresh.reuse` events.
    pub thefts: usize,
    /// Number of `refresh.other_network` events.
    pub elsewhere: usize,
}

impl From<Ruling> for Outcome {
    fn from(ruling: Ruling) -> Self {
        Self { ruling, thefts: 0, elsewhere: 0 }
    }
}

/// Response that a client or an operator received.
#[derive(Debug, Clone)]
pub enum Seen {
    /// 200 with tokens.
    Granted(Grant),
    /// 200 with an empty object.
    Empty,
    /// Another status, with its error code.
    Status(u16, String),
    /// Outcome of an operator's command: whether the user exists.
    Operator(bool),
    /// Temporary failure of an operator's command.
    OperatorFailed,
}

/// The body of a 200 with tokens.
#[derive(Clone)]
pub struct Grant {
    /// The member `refresh_token`.
    pub refresh: String,
    /// The member `access_token`.
    pub access: String,
    /// The member `session_id`.
    pub session: String,
    /// The member `scope`.
    pub scope: String,
    /// The member `refresh_expires_in`.
    pub expires_in: u64,
    /// The claim `tenant` of the access token; empty without it.
    pub tenant: String,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, scope, expires_in, tenant, .. } = self;
        write!(
            f,
            "200 {}, {session}, scope {scope:?}, tenant {tenant:?}, for {expires_in} s",
            tail(&self.refresh)
        )
    }
}

/// The last characters of a token, enough to distinguish it from others.
pub(super) fn tail(token: &str) -> String {
    format!("..{}", &token[token.len().saturating_sub(6)..])
}
