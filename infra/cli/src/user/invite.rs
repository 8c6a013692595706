//! `daypass user invite`: a request for the mail of an invitation.

use super::attributes::{self, address_taken};
use crate::output::{Failure, Output, time};
use crate::target::Target;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::ports::mail::{Language, MailRequest, Occasion, Outbox};
use daypass_core::ports::store::AddressStore;
use daypass_core::token::mail::{MailToken, OutboxId, Purpose};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::{ClientId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
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
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, value_parser = super::scope)]
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

fn language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| "not a language tag such as en or de-CH".to_owned())
}

/// A request that the outbox has.
#[derive(Serialize)]
struct Invited<'a> {
    result: &'static str,
    /// Id of the item of the outbox, as events name it.
    mail: OutboxId,
    email: &'a str,
    expires_at: u64,
}

/// Runs `daypass user invite`. The function `mailer` sends the mail.
pub(super) async fn run(target: &Target, output: &mut Output<'_>, args: Args) -> Result<(), Failure> {
    let Args { email, client, scope, claims, language } = args;
    // The user name will be the user id, and each id has the same length.
    if let Some(name) = Username::from_normalised(UserId::from_bytes([0; 16]).to_string()) {
        attributes::require_room(&name, &scope, &claims)?;
    }
    // The mailer checks it again, because the address can be taken meanwhile.
    let store = &target.store;
    if store.user_by_address(&email).await.map_err(|error| target.failure(&error))?.is_some() {
        return Err(address_taken());
    }
    let now = SystemClock.now();
    let token = MailToken::new(Purpose::Invitation, OutboxId::generate(&OsEntropy), now);
    let request = MailRequest {
        id: token.id,
        occasion: Occasion::Invitation { scope, claims },
        address: email,
        client,
        language,
        at: now,
        expires_at: token.expires_at,
    };
    store.request_mail(&request).await.map_err(|error| target.failure(&error))?;
    let invited = Invited {
        result: "invited",
        mail: token.id,
        email: request.address.as_str(),
        expires_at: token.expires_at.seconds(),
    };
    let until = time(token.expires_at);
    output.result(&invited, |output| {
        output.line(&format!(
            "Invited {}. The link works until {until}. The mail is {}.",
            request.address, token.id
        ))
    })?;
    Ok(())
}
