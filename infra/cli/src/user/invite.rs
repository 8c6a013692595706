//! `daypass user invite`: a request for the mail of an invitation.

use super::attributes;
use crate::output::{Failure, Output, time};
use crate::target::Target;
use daypass_admin::{Invitation, Invited};
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::ports::mail::Language;
use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use serde::Serialize;

/// Arguments of `daypass user invite`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Email address of the person; case-insensitive
    #[arg(value_name = "ADDRESS", value_parser = attributes::address)]
    email: EmailAddress,
    /// Client whose `account_url` the mail links to; its `signup` is invited or open
    #[arg(long, value_name = "ID", value_parser = client)]
    client: ClientId,
    /// Scope of the new user, such as "orders:read orders:write"
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, value_parser = daypass_admin::scope)]
    scope: Scope,
    /// Claims of the new user's access tokens, such as '{"tenant":"acme"}'
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true, value_parser = attributes::claims)]
    claims: Claims,
    /// Language of the mail
    #[arg(long, value_name = "TAG", default_value = "en", value_parser = language)]
    language: Language,
}

fn client(text: &str) -> Result<ClientId, String> {
    ClientId::parse(text).ok_or_else(|| "not a client id".to_owned())
}

pub(super) fn language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| "not a language tag such as en or de-CH".to_owned())
}

#[derive(Serialize)]
struct Shown<'a> {
    result: &'static str,
    #[serde(flatten)]
    invited: &'a Invited,
}

/// Runs `daypass user invite`.
pub(super) async fn run(target: &Target, output: &mut Output<'_>, args: Args) -> Result<(), Failure> {
    let Args { email, client, scope, claims, language } = args;
    let invited = target.admin().invite(Invitation { email, client, scope, claims, language }).await;
    let invited = invited.map_err(|error| target.refused(&error))?;
    output.result(&Shown { result: "invited", invited: &invited }, |output| {
        let Invited { mail, email, expires_at } = &invited;
        let until = time(Timestamp::from_seconds(*expires_at));
        output.line(&format!("Invited {email}. The link works until {until}. The mail is {mail}."))
    })?;
    Ok(())
}
