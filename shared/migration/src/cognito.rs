//! Cognito's public `InitiateAuth` with `USER_PASSWORD_AUTH` (Amazon Cognito user pools API reference).
//!
//! An app client without a secret needs no signature. Tokens in the response prove that the password is right and that the login
//! needs nothing else. A challenge of a second factor follows a right password too, but the user would lose the factor, so it is a
//! refusal.
//!
//! Cognito reports `UserNotConfirmedException` and `PasswordResetRequiredException` without a check of the password.

use crate::Http;
use data_encoding::BASE64URL_NOPAD;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::ports::event::LoginFailure;
use daypass_core::ports::migration::{Answer, OldSystem, OldUser, Pending, Question, Unanswered, id_of_sub};
use daypass_verifier::base::json;
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value, json};

const JSON: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// The largest response, in bytes. A token can hold many groups.
const MOST: usize = 64 * 1024;

/// The message of a name or password that no user of any pool can have, such as a name of more than 128 characters.
const MALFORMED: &str = "validation error";

/// The message of a lockout. Its error code is that of a wrong password ("Lockout behavior for failed sign-in attempts").
const LOCKED: &str = "Password attempts exceeded";

/// A user pool, by one of its app clients.
pub(crate) struct Cognito {
    http: Http,
    client: String,
}

impl Cognito {
    pub(crate) const fn new(http: Http, client: String) -> Self {
        Self { http, client }
    }
}

impl OldSystem for Cognito {
    fn ask<'a>(&'a self, question: Question<'a>) -> Pending<'a> {
        Box::pin(async move {
            let body = json!({
                "AuthFlow": "USER_PASSWORD_AUTH",
                "ClientId": self.client,
                "AuthParameters": { "USERNAME": question.name, "PASSWORD": question.password.expose() },
            });
            let target = (TARGET, "AWSCognitoIdentityProviderService.InitiateAuth");
            let (status, body) = self.http.post(JSON, Some(target), body.to_string(), MOST).await?;
            let body = json::object(&body);
            let body = body.map_err(|_| Unanswered(format!("InitiateAuth: HTTP {status} without JSON")))?;
            if status == StatusCode::OK { accepted(&body) } else { refused(status, &body) }
        })
    }
}

fn accepted(body: &Map<String, Value>) -> Result<Answer, Unanswered> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    match text("ChallengeName") {
        Some("NEW_PASSWORD_REQUIRED") => Ok(Answer::Refused(LoginFailure::OldTemporaryPassword)),
        Some(_) => Ok(Answer::Refused(LoginFailure::OldSecondFactor)),
        None => {
            let token = body.get("AuthenticationResult").and_then(|result| result.get("IdToken")?.as_str());
            let user = token.and_then(user_of);
            user.map(Answer::Right)
                .ok_or_else(|| Unanswered("InitiateAuth: the response has no readable id token".to_owned()))
        }
    }
}

/// The user of an id token. Its signature adds nothing to that of the TLS connection (OpenID Connect Core §3.1.3.7).
fn user_of(token: &str) -> Option<OldUser> {
    let claims = BASE64URL_NOPAD.decode(token.split('.').nth(1)?.as_bytes()).ok()?;
    let claims = json::object(&claims).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let sub = text("sub")?;
    let id = id_of_sub(sub)?;
    let username = text("cognito:username")?;
    // In a pool whose users sign in with an address, the user name is the `sub`.
    let alias = text("email").or(text("phone_number")).filter(|_| username == sub);
    // Cognito accepts addresses that Daypass does not, such as those with a quoted local part.
    let email = text("email").and_then(|address| EmailAddress::parse(address).ok()).map(|address| Email {
        address,
        verified: claims.get("email_verified").is_some_and(|verified| verified == true || verified == "true"),
        undeliverable: None,
    });
    let name = Some(alias.unwrap_or(username).to_owned());
    Some(OldUser { id: Some(id), name, email, claims: Claims::default() })
}

fn refused(status: StatusCode, body: &Map<String, Value>) -> Result<Answer, Unanswered> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let code = text("__type");
    let code = code.rsplit('#').next().unwrap_or(code);
    match code {
        "NotAuthorizedException" => match text("message") {
            message if message.starts_with(LOCKED) => Ok(Answer::Locked),
            // The app client has a secret, or the request has a wrong one: no password was checked.
            message if message.to_ascii_lowercase().contains("secret") => Err(failed(code, status)),
            _ => Ok(Answer::Wrong),
        },
        "UserNotFoundException" => Ok(Answer::Wrong),
        // As a failure, it would give anyone attempts that do not count, and an alarm.
        "InvalidParameterException" if text("message").contains(MALFORMED) => Ok(Answer::Wrong),
        "UserNotConfirmedException" => Ok(Answer::Refused(LoginFailure::OldUnconfirmed)),
        "PasswordResetRequiredException" => Ok(Answer::Refused(LoginFailure::OldResetRequired)),
        // A trigger of the pool, such as "pre authentication".
        "UserLambdaValidationException" => Ok(Answer::Refused(LoginFailure::OldDenied)),
        _ => Err(failed(code, status)),
    }
}

fn failed(code: &str, status: StatusCode) -> Unanswered {
    let is_code = code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    let code = if is_code && !code.is_empty() { code } else { "no error code" };
    let advice = match code {
        "NotAuthorizedException" => "; the app client must have no secret",
        "InvalidParameterException" => "; the app client must allow ALLOW_USER_PASSWORD_AUTH",
        "ResourceNotFoundException" => "; there is no such app client in this region",
        _ => "",
    };
    Unanswered(format!("InitiateAuth: {code} (HTTP {}){advice}", status.as_u16()))
}
