//! A migration endpoint: `docs/guides/migration.md` states the contract.

use crate::Http;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::keys::SigningKeys;
use daypass_core::ports::migration::{Answer, OldSystem, OldUser, Pending, Question, Unanswered};
use daypass_core::token::migration::MigrationRequest;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::json;
use http::StatusCode;
use serde_json::Value;

/// The media type of a JWT (RFC 7519 §10.3.1).
const JWT: &str = "application/jwt";

/// The largest response, in bytes.
const MOST: usize = 4 * 1024;

/// An endpoint that checks a name and a password.
pub(crate) struct Endpoint {
    http: Http,
    issuer: Issuer,
    keys: SigningKeys,
}

impl Endpoint {
    pub(crate) const fn new(http: Http, issuer: Issuer, keys: SigningKeys) -> Self {
        Self { http, issuer, keys }
    }
}

impl OldSystem for Endpoint {
    fn ask<'a>(&'a self, question: Question<'a>) -> Pending<'a> {
        Box::pin(async move {
            let request = MigrationRequest {
                issuer: &self.issuer,
                audience: &self.http.uri.to_string(),
                client: question.client,
                username: question.name,
                password: question.password,
            };
            let request = request.sign(&self.keys, question.now);
            let request = request.map_err(|error| Unanswered(error.to_string()))?;
            let (status, body) = self.http.post(JWT, None, request, MOST).await?;
            if status != StatusCode::OK {
                return Err(Unanswered(format!("the migration endpoint answered HTTP {}", status.as_u16())));
            }
            answer(&body).ok_or_else(|| {
                Unanswered(
                    "the response of the migration endpoint is not of the form of docs/guides/migration.md"
                        .to_owned(),
                )
            })
        })
    }
}

fn answer(body: &[u8]) -> Option<Answer> {
    let mut members = json::object(body).ok()?;
    if !members.remove("ok")?.as_bool()? {
        return members.is_empty().then_some(Answer::Wrong);
    }
    let verified =
        members.remove("email_verified").map(|verified| verified.as_bool().ok_or(())).transpose().ok()?;
    let email = match members.remove("email") {
        Some(address) => Some(Email {
            address: EmailAddress::parse(address.as_str()?).ok()?,
            verified: verified.unwrap_or(false),
            undeliverable: None,
        }),
        None if verified.is_some() => return None,
        None => None,
    };
    let claims = match members.remove("claims") {
        Some(Value::Object(claims)) => Claims::new(claims).ok()?,
        Some(_) => return None,
        None => Claims::default(),
    };
    members.is_empty().then_some(Answer::Right(OldUser { id: None, name: None, email, claims }))
}
