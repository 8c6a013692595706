//! E-mail addresses and claims of users.

use super::{Changed, UserView, find, unknown};
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::account::{Email, session_room};
use daypass_core::ports::store::User;
use daypass_dynamodb::{ClaimsChange, EmailChange};
use daypass_runtime::SystemClock;
use daypass_verifier::base::ids::Username;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use serde::Serialize;

/// Attributes of a new user.
#[derive(Debug, clap::Args)]
pub(super) struct NewArgs {
    /// Email address of the user
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    email: Option<EmailAddress>,
    /// Mark the address as verified, so that it works as a login name
    #[arg(long, requires = "email")]
    email_verified: bool,
    /// Claims of the user's access tokens, such as '{"tenant":"acme"}'
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true, value_parser = claims)]
    claims: Claims,
}

/// A new address, or none.
#[derive(Debug, clap::Args)]
pub(super) struct EmailArgs {
    /// The new address; case-insensitive
    #[arg(required_unless_present = "none", conflicts_with = "none", value_parser = address)]
    address: Option<EmailAddress>,
    /// Mark the address as verified, so that it works as a login name
    #[arg(long, conflicts_with = "none")]
    verified: bool,
    /// Remove the address
    #[arg(long)]
    none: bool,
}

impl NewArgs {
    pub(super) fn into_attributes(self) -> (Option<Email>, Claims) {
        (self.email.map(|address| email(address, self.email_verified)), self.claims)
    }
}

const fn email(address: EmailAddress, verified: bool) -> Email {
    Email { address, verified, undeliverable: None }
}

/// Parses an address, for clap.
pub(super) fn address(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text).map_err(|error| error.to_string())
}

/// Parses claims, for clap.
pub(super) fn claims(text: &str) -> Result<Claims, String> {
    Claims::parse(text).map_err(|error| error.to_string())
}

/// Checks that name, scope and claims fit into a session.
pub(super) fn require_room(username: &Username, scope: &Scope, claims: &Claims) -> Result<(), Failure> {
    session_room(username, scope, claims).map(drop).map_err(|error| {
        Failure::new(error.to_string(), "shorten the claims or the scope: each session contains all three")
    })
}

/// Another user has the address.
pub(super) fn address_taken() -> Failure {
    Failure::new(
        "another user has this address, or has it as name",
        "choose another address, or remove it from the other user with `daypass user set-email NAME --none`",
    )
}

/// The address for a person: with its state.
pub(super) fn shown(email: &Email) -> String {
    let state = if email.verified { "verified" } else { "not verified" };
    match email.undeliverable {
        None => format!("{} ({state})", email.address),
        Some(cause) => format!("{} ({state}, {})", email.address, cause.as_str()),
    }
}

/// Runs `daypass user set-email`.
pub(super) async fn set_email(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    args: EmailArgs,
) -> Result<(), Failure> {
    let new = args.address.map(|address| email(address, args.verified));
    let changed = target.store.set_email(username, new.as_ref(), SystemClock.now()).await;
    let user = match changed.map_err(|error| target.failure(&error))? {
        EmailChange::Changed(user) => user,
        EmailChange::Taken => return Err(address_taken()),
        EmailChange::NoUser => return Err(unknown(username)),
    };
    let line = match &user.email {
        Some(email) => format!("Set the email address of {username} to {}.", shown(email)),
        None => format!("Removed the email address of {username}."),
    };
    super::report(output, "email_set", &user, &line)
}

/// A completed change of claims.
#[derive(Serialize)]
struct ClaimsSet<'a> {
    #[serde(flatten)]
    changed: Changed<'a>,
    /// Live sessions that had other claims.
    sessions_updated: u32,
}

/// Runs `daypass user set-claims`.
pub(super) async fn set_claims(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    claims: &Claims,
) -> Result<(), Failure> {
    let user: User = find(target, username).await?;
    require_room(username, &user.scope, claims)?;
    let changed = target.store.set_claims(username, claims, SystemClock.now()).await;
    let ClaimsChange { user, updated } =
        changed.map_err(|error| target.failure(&error))?.ok_or_else(|| unknown(username))?;
    let set = ClaimsSet {
        changed: Changed { result: "claims_set", user: UserView::from(&user) },
        sessions_updated: updated,
    };
    output.result(&set, |output| {
        output.line(&format!(
            "Set the claims of {username} to {}. Live sessions: {updated} updated.",
            user.claims
        ))
    })?;
    Ok(())
}
