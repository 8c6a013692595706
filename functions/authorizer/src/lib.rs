//! The Lambda authorizer: verifies access tokens in front of any API of API Gateway.
//!
//! This version answers HTTP API payload 2.0 with simple responses and REST `TOKEN` events. An event of any other shape
//! is refused, never let through.

mod event;

pub use event::Event;

use daypass_core::access::{Rejected, UnusableKey, Verified, Verifier};
use daypass_core::config::AuthorizerConfig;
use daypass_core::event::{BadCredentials, Denial, Event as JournalEvent};
use daypass_core::web::{Ambient, Caller};
use daypass_core::{SessionId, UserId};
use serde::Serialize;
use std::fmt;

/// The authorizer with its keys.
pub struct Authorizer {
    verifier: Verifier,
    ambient: Ambient,
}

/// The error that REST APIs turn into 401: its text must be exactly this, or the caller gets 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unauthorized;

impl fmt::Display for Unauthorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unauthorized")
    }
}

impl std::error::Error for Unauthorized {}

impl From<Unauthorized> for lambda_runtime::Diagnostic {
    fn from(error: Unauthorized) -> Self {
        Self { error_type: error.to_string(), error_message: error.to_string() }
    }
}

/// An answer in the form that the calling API expects.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// HTTP API payload 2.0 with simple responses.
    #[serde(rename_all = "camelCase")]
    Simple {
        /// Whether the request may pass.
        is_authorized: bool,
        /// What the integration behind may read.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<Context>,
    },
    /// REST API: an IAM policy, which API Gateway caches and uses for **every** method of the API.
    #[serde(rename_all = "camelCase")]
    Policy {
        /// The user, for access logs.
        principal_id: String,
        /// What the token may call.
        policy_document: Policy,
        /// What the integration behind may read.
        context: Context,
    },
}

/// What the integration behind the authorizer reads: flat strings, the one form that every API type takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Context {
    sub: String,
    sid: String,
    client_id: String,
    scope: String,
}

/// An IAM policy document.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: [Statement; 1],
}

/// The one statement of the policy.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    action: &'static str,
    effect: &'static str,
    resource: String,
}

impl Authorizer {
    /// An authorizer for the tokens of one issuer and audience.
    ///
    /// # Errors
    /// [`UnusableKey`] when a key of the JWKS cannot be used.
    pub fn new(config: AuthorizerConfig, ambient: Ambient) -> Result<Self, UnusableKey> {
        let verifier = Verifier::new(config.issuer, config.audience, &config.jwks)?;
        Ok(Self { verifier, ambient })
    }

    /// Decides about one request.
    ///
    /// # Errors
    /// [`Unauthorized`], where the calling API makes a 401 of it.
    pub fn handle(&self, event: &serde_json::Value) -> Result<Answer, Unauthorized> {
        match Event::read(event) {
            Event::HttpV2 { token, caller } => {
                // A 2.0 authorizer that fails is a 500 for the caller, so a refusal is an answer.
                let verified = self.verify(token, &caller);
                Ok(Answer::Simple {
                    is_authorized: verified.is_ok(),
                    context: verified.ok().map(Context::from),
                })
            }
            Event::RestToken { token, api, caller } => {
                let verified = self.verify(token, &caller)?;
                // Without a route table a valid token may call the whole stage. Naming the method at hand alone would
                // make a cached answer deny every other one.
                let statement =
                    Statement { action: "execute-api:Invoke", effect: "Allow", resource: format!("{api}/*") };
                Ok(Answer::Policy {
                    principal_id: verified.subject.clone(),
                    policy_document: Policy { version: "2012-10-17", statement: [statement] },
                    context: verified.into(),
                })
            }
            Event::Unknown => {
                let denial = Denial::Credentials(BadCredentials::UnsupportedEvent);
                Err(self.deny(denial, None, &Caller::default()))
            }
        }
    }

    fn verify(&self, token: Result<&str, Denial>, caller: &Caller) -> Result<Verified, Unauthorized> {
        let token = token.map_err(|denial| self.deny(denial, None, caller))?;
        let verified = self.verifier.examine(token, self.ambient.clock.now());
        verified.map_err(|Rejected { cause, owner }| self.deny(Denial::Token(cause), owner, caller))
    }

    fn deny(&self, cause: Denial, owner: Option<(UserId, SessionId)>, caller: &Caller) -> Unauthorized {
        let (user, session) = owner.unzip();
        self.ambient.journal.record(&JournalEvent::AuthorizeDenied { cause, user, session }, caller);
        Unauthorized
    }
}

impl From<Verified> for Context {
    fn from(verified: Verified) -> Self {
        Self {
            sub: verified.subject,
            sid: verified.session,
            client_id: verified.client_id,
            scope: verified.scope,
        }
    }
}

#[cfg(test)]
mod tests;
