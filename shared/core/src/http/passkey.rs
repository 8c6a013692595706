//! The responses of authenticators, in the JSON form of WebAuthn level 3 (`RegistrationResponseJSON` and
//! `AuthenticationResponseJSON`), as `toJSON()` of a browser's credential returns it. Other members are ignored.

use crate::client::Clients;
use crate::flow::login::passkey::PasskeyLoginRequest;
use crate::http::body::{self, Accepts, Parameter};
use crate::http::dpop::Proofs;
use crate::http::error::ApiError;
use crate::http::forms::{login_client, scope};
use crate::http::request::{Request, caller_of};
use crate::passkey::ceremony::{Assertion, Attestation};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

const NO_PASSKEY: ApiError = ApiError::InvalidRequest(
    "The passkey is missing, or is not the JSON form of a credential: type, id, and what belongs to its response.",
);

/// The member `passkey` of a body.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct CredentialJson(Value);

impl CredentialJson {
    /// Whether the body has no such member.
    pub(super) fn is_absent(&self) -> bool {
        self.0.is_null()
    }

    /// The bytes of a member in base64url.
    fn bytes(&self, pointer: &str) -> Result<Vec<u8>, ApiError> {
        let text = self.0.pointer(pointer).and_then(Value::as_str).ok_or(NO_PASSKEY)?;
        BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| NO_PASSKEY)
    }

    fn id(&self) -> Result<Vec<u8>, ApiError> {
        if self.0.get("type").and_then(Value::as_str) == Some("public-key") {
            self.bytes("/id")
        } else {
            Err(NO_PASSKEY)
        }
    }

    /// The response to a registration.
    pub(super) fn attestation(&self) -> Result<Attestation, ApiError> {
        Ok(Attestation {
            id: self.id()?,
            client_data: self.bytes("/response/clientDataJSON")?,
            authenticator_data: self.bytes("/response/authenticatorData")?,
        })
    }

    /// The response to an authentication.
    pub(super) fn assertion(&self) -> Result<Assertion, ApiError> {
        let handle = "/response/userHandle";
        let has_handle = self.0.pointer(handle).is_some_and(|handle| !handle.is_null());
        Ok(Assertion {
            id: self.id()?,
            client_data: self.bytes("/response/clientDataJSON")?,
            authenticator_data: self.bytes("/response/authenticatorData")?,
            signature: self.bytes("/response/signature")?,
            user_handle: has_handle.then(|| self.bytes(handle)).transpose()?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoginBody {
    client_id: Parameter<String>,
    scope: Parameter<String>,
    passkey: CredentialJson,
}

impl PasskeyLoginRequest {
    /// Parses the request of one of `clients`.
    ///
    /// # Errors
    /// As for [`LoginRequest::parse`](crate::flow::login::LoginRequest::parse).
    pub fn parse(request: &mut Request, clients: &Clients, proofs: &Proofs<'_>) -> Result<Self, ApiError> {
        let key = proofs.key_of(request)?;
        let body: LoginBody = body::read(request, Accepts::Json)?;
        let client = login_client(request, body.client_id.text()?.as_deref(), clients, key.is_some())?;
        let response = body.passkey.assertion()?;
        let (scope, account) = scope(body.scope)?;
        let user_agent = caller_of(request).user_agent;
        Ok(Self { response, client: client.clone(), key, scope, account, user_agent })
    }
}
