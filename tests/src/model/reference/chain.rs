//! Sessions of the model: chains of refresh tokens.

use super::Time;
use crate::model::call::{Key, Place, tail};
use std::collections::BTreeSet;
use std::fmt;

/// State of a session.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Index of the user.
    pub user: usize,
    /// Session id, once a response has contained it.
    pub id: Option<String>,
    /// Client that logged in.
    pub client: &'static str,
    /// Scope that was granted at the login.
    pub scope: BTreeSet<&'static str>,
    /// Claim `tenant` of its access tokens; empty without it.
    pub tenant: &'static str,
    /// Whether this is the whole scope that the user and the client have in common.
    pub whole: bool,
    /// Time of the login, by the clock of its process.
    pub created_at: Time,
    /// Absolute end of the session.
    pub absolute_end: Time,
    /// Refresh tokens, oldest first.
    pub links: Vec<Link>,
    /// Time of the last rotation. `None` before the first one.
    pub rotated_at: Option<Time>,
    /// Key with which the last link was made, if there was one.
    pub made_under: Option<Key>,
    /// Network that the last rotation came from.
    pub place: Place,
    /// Index of the session that took the place of this one when the user changed the password.
    pub replaced_by: Option<usize>,
    /// Possible endings, one of which happened. Empty for a session that has not ended.
    pub ended: Vec<End>,
    /// Whether the item was deleted.
    pub gone: bool,
}

/// Ending of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Reason of the ending.
    pub why: &'static str,
    /// Time of the ending, by the clock of its process.
    pub at: Time,
}

/// One refresh token of a chain.
#[derive(Clone)]
pub struct Link {
    /// Expiry of the token.
    pub expires: Time,
    /// Text of the token, once it was issued.
    pub text: Option<String>,
    /// The last access token that was issued with it.
    pub access: Option<Access>,
}

/// An access token.
#[derive(Clone)]
pub struct Access {
    /// Text of the token.
    pub text: String,
    /// Expiry of the token.
    pub expires: Time,
    /// Whether it has the right to the account: neither the login nor the refresh asked for a narrower scope.
    pub account: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.as_deref().map_or_else(|| "never handed out".to_owned(), tail);
        write!(f, "{text} until {}", self.expires)
    }
}

impl Chain {
    /// Index of the last link.
    #[must_use]
    pub fn last(&self) -> usize {
        self.links.len() - 1
    }

    /// Expiry of the last link.
    #[must_use]
    pub fn expires(&self) -> Time {
        self.links[self.last()].expires
    }

    pub(super) fn end(&mut self, why: &'static str, at: Time) -> bool {
        let ends = !self.gone && self.ended.is_empty();
        if ends {
            self.ended.push(End { why, at });
        }
        ends
    }

    /// Time at which an `all=true` ended the session, if that ended it.
    pub(super) fn revoked_all_at(&self) -> Option<Time> {
        self.ended.first().filter(|end| end.why == "revoked_all").map(|end| end.at)
    }
}
