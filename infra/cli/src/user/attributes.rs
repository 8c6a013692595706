//! E-mail addresses and claims of users.

use super::{Changed, UserView};
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_dynamodb::ClaimsChange;
use daypass_verifier::base::ids::Username;
use serde::Serialize;

/// Attributes of a new user.
#[derive(Debug, clap::Args)]
pub(super) struct NewArgs {
    /// Email address of the user
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    email: Option<EmailAddress>,
    /// Mark the address as verified: it then works as a login name
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
    /// Mark the address as verified: it then works as a login name
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
    let changed = target.admin().set_email(username, new.as_ref()).await;
    let user = changed.map_err(|error| target.refused(&error))?;
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
    let changed = target.admin().set_claims(username, claims).await;
    let ClaimsChange { user, updated } = changed.map_err(|error| target.refused(&error))?;
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
