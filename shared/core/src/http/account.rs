//! The requests of the function `account`, and that for another address, from their paths and bodies.

use crate::account::address::EmailAddress;
use crate::client::Clients;
use crate::flow::account::request::MailWish;
use crate::flow::account::{Confirmation, MailProof};
use crate::flow::password::email::EmailRequest;
use crate::http::body::{self, Accepts, Parameter};
use crate::http::error::ApiError;
use crate::http::forms::current_password;
use crate::http::request::{Request, caller_of, keys_are_overdue, principal_of};
use crate::ports::mail::Language;
use crate::secret::{Password, SecretString};
use serde::Deserialize;

/// A parsed request of the function `account`.
#[derive(Debug)]
pub enum AccountRequest {
    /// `POST /signup`: asks for a mail.
    SignUp(MailWish),
    /// `POST /signup/confirm`: creates a user.
    ConfirmSignUp(Confirmation, Password),
    /// `POST /recover`: asks for a mail.
    Recover(MailWish),
    /// `POST /recover/confirm`: sets a password.
    Reset(Confirmation, Password),
    /// `POST /email/confirm`: sets an address.
    ConfirmAddress(Confirmation),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WishBody {
    client_id: Parameter<String>,
    email: Parameter<String>,
    language: Parameter<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfirmBody {
    token: Parameter<SecretString>,
    request: Parameter<SecretString>,
    code: Parameter<SecretString>,
    password: Parameter<Password>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EmailBody {
    current_password: Parameter<Password>,
    email: Parameter<String>,
    language: Parameter<String>,
}

impl AccountRequest {
    /// Parses the request by the end of its path. The segments before are a stage or the base path of a custom domain.
    ///
    /// # Errors
    /// The [`ApiError`] of another path, a malformed request or an unregistered client.
    pub fn parse(request: &mut Request, clients: &Clients) -> Result<Self, ApiError> {
        let path = request.uri().path().to_owned();
        let mut segments = path.rsplit('/');
        match (segments.next(), segments.next()) {
            (Some("signup"), Some(_)) => wish(request, clients).map(Self::SignUp),
            (Some("recover"), Some(_)) => wish(request, clients).map(Self::Recover),
            (Some("confirm"), Some("signup")) => {
                let (confirmation, password) = confirmation(request)?;
                Ok(Self::ConfirmSignUp(confirmation, new_password(password)?))
            }
            (Some("confirm"), Some("recover")) => {
                let (confirmation, password) = confirmation(request)?;
                Ok(Self::Reset(confirmation, new_password(password)?))
            }
            (Some("confirm"), Some("email")) => {
                confirmation(request).map(|(confirmation, _)| Self::ConfirmAddress(confirmation))
            }
            _ => Err(ApiError::NotFound),
        }
    }
}

impl EmailRequest {
    /// Parses the request. Its client is that of the caller's session.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request.
    pub fn parse(request: &mut Request) -> Result<Self, ApiError> {
        let body: EmailBody = body::read(request, Accepts::Json)?;
        Ok(Self {
            principal: principal_of(request),
            current: current_password(body.current_password)?,
            address: address(body.email)?,
            language: language(body.language)?,
            source_ip: caller_of(request).source_ip,
        })
    }
}

fn wish(request: &mut Request, clients: &Clients) -> Result<MailWish, ApiError> {
    let body: WishBody = body::read(request, Accepts::Json)?;
    let client = clients.find(body.client_id.text()?.as_deref()).ok_or(ApiError::UnknownClient)?;
    Ok(MailWish {
        address: address(body.email)?,
        client: client.clone(),
        language: language(body.language)?,
        source_ip: caller_of(request).source_ip,
    })
}

fn confirmation(request: &mut Request) -> Result<(Confirmation, Parameter<Password>), ApiError> {
    let body: ConfirmBody = body::read(request, Accepts::Json)?;
    let proof = match (body.token.text()?, body.request.text()?, body.code.text()?) {
        (Some(token), None, None) => MailProof::Link(token),
        (None, Some(request), Some(code)) => MailProof::Code { request, code },
        _ => {
            return Err(ApiError::InvalidRequest(
                "Send either the token of the link, or the request and the code.",
            ));
        }
    };
    Ok((Confirmation { proof, keys_overdue: keys_are_overdue(request) }, body.password))
}

fn new_password(parameter: Parameter<Password>) -> Result<Password, ApiError> {
    parameter.required("The password is missing.", "The password is longer than 1024 characters.")
}

fn address(parameter: Parameter<String>) -> Result<EmailAddress, ApiError> {
    let text = parameter.required("The email is missing.", "The email must be text.")?;
    EmailAddress::parse(&text)
        .map_err(|_| ApiError::InvalidRequest("The email is not an address that this service accepts."))
}

pub(super) fn language(parameter: Parameter<String>) -> Result<Language, ApiError> {
    let Some(tag) = parameter.text()? else { return Ok(Language::default()) };
    Language::parse(&tag).ok_or(ApiError::InvalidRequest("The language is not a tag such as de or de-CH."))
}
