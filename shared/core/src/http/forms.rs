//! The requests of the endpoints, from their bodies and headers.

use crate::client::machine::ClientAuthentication;
use crate::client::{Client, Clients, Transport};
use crate::flow::client_credentials::ClientCredentialsRequest;
use crate::flow::error::Problem;
use crate::flow::introspect::IntrospectRequest;
use crate::flow::login::LoginRequest;
use crate::flow::login::factor::{FactorProof, FactorRequest};
use crate::flow::password::PasswordRequest;
use crate::flow::password::reauthenticate::{ReauthenticationOperation, ReauthenticationRequest};
use crate::flow::refresh::RefreshRequest;
use crate::flow::revoke::RevokeRequest;
use crate::flow::sessions::SessionsRequest;
use crate::http::body::{self, Accepts, Flag, Parameter};
use crate::http::browser::{Page, cookie, device_cookie};
use crate::http::dpop::Proofs;
use crate::http::error::ApiError;
use crate::http::passkey::CredentialJson;
use crate::http::request::{Request, caller_of, idempotency_key, keys_are_overdue, principal_of};
use crate::ports::hasher::PasswordHasher;
use crate::secret::{Password, SecretString};
use crate::token::assertion::ASSERTION_TYPE;
use crate::token::refresh::RefreshToken;
use data_encoding::BASE64;
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::jose::dpop::Thumbprint;
use http::Method;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use zeroize::Zeroizing;

/// Longest username as typed, in bytes. Normalisation can shorten it.
const MAX_TYPED_NAME_BYTES: usize = 1024;

const ONE_FACTOR: ApiError = ApiError::InvalidRequest("Send exactly one of code, recovery_code and passkey.");

/// A username as typed, of at most [`MAX_TYPED_NAME_BYTES`].
struct TypedName(String);

impl<'de> Deserialize<'de> for TypedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.len() > MAX_TYPED_NAME_BYTES {
            return Err(D::Error::custom("the username is too long"));
        }
        Ok(Self(name))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoginBody {
    client_id: Parameter<String>,
    username: Parameter<TypedName>,
    password: Parameter<Password>,
    scope: Parameter<String>,
    device_token: Parameter<SecretString>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FactorBody {
    mfa_token: Parameter<SecretString>,
    code: Parameter<SecretString>,
    recovery_code: Parameter<SecretString>,
    passkey: CredentialJson,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefreshBody {
    grant_type: Parameter<String>,
    refresh_token: Parameter<SecretString>,
    client_id: Parameter<String>,
    scope: Parameter<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenBody {
    grant_type: Parameter<String>,
    refresh_token: Parameter<SecretString>,
    client_id: Parameter<String>,
    scope: Parameter<String>,
    client_assertion: Parameter<SecretString>,
    client_assertion_type: Parameter<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IntrospectBody {
    token: Parameter<SecretString>,
    token_type_hint: Parameter<String>,
    client_id: Parameter<String>,
    client_assertion: Parameter<SecretString>,
    client_assertion_type: Parameter<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RevokeBody {
    token_type_hint: Parameter<String>,
    all: Flag,
    token: Parameter<SecretString>,
    client_id: Parameter<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PasswordBody {
    current_password: Parameter<Password>,
    new_password: Parameter<Password>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReauthenticationBody {
    current_password: Parameter<Password>,
    code: Parameter<SecretString>,
    recovery_code: Parameter<SecretString>,
    passkey: CredentialJson,
}

impl LoginRequest {
    /// Parses the request of one of `clients`. `hasher` normalises the username.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request or an unregistered client. A cookie client's request must come from a page of its
    /// own: another page must not log its visitor in as another user (login CSRF).
    pub fn parse(
        request: &mut Request,
        clients: &Clients,
        hasher: &dyn PasswordHasher,
        proofs: &Proofs<'_>,
    ) -> Result<Self, ApiError> {
        let key = proofs.key_of(request)?;
        let body: LoginBody = body::read(request, Accepts::Json)?;
        let client = login_client(request, body.client_id.text()?.as_deref(), clients, key.is_some())?;
        let typed = body.username.required("The username is missing.", "The username is too long.")?;
        let password = body
            .password
            .required("The password is missing.", "The password is longer than 1024 characters.")?;
        let (scope, account) = scope(body.scope)?;
        let device_token = match client.transport {
            Transport::Body => body.device_token.text()?,
            Transport::Cookie => device_cookie(request),
        };
        let TypedName(typed) = typed;
        let username = hasher.username(&typed);
        let caller = caller_of(request);
        Ok(Self {
            username: username
                .ok_or(ApiError::InvalidRequest("The username holds characters that no user name has."))?,
            typed,
            password,
            client: client.clone(),
            key,
            scope,
            account,
            source_ip: caller.source_ip,
            device_token,
            user_agent: caller.user_agent,
        })
    }
}

/// The client of a login. Pages of other origins may not log in to it, and it may require a proof.
pub(super) fn login_client<'a>(
    request: &Request,
    id: Option<&str>,
    clients: &'a Clients,
    is_proven: bool,
) -> Result<&'a Client, ApiError> {
    let client = clients.find(id).ok_or(ApiError::UnknownClient)?;
    if client.transport == Transport::Cookie && !Page::of(request).clients(clients)?.contains(&client.id) {
        return Err(ApiError::OriginNotAllowed);
    }
    if client.require_dpop && !is_proven {
        return Err(ApiError::from(&Problem::ProofRequired));
    }
    Ok(client)
}

impl FactorRequest {
    /// Parses the request. Its client is that of the token.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request.
    pub fn parse(request: &mut Request, clients: &Clients, proofs: &Proofs<'_>) -> Result<Self, ApiError> {
        let key = proofs.key_of(request)?;
        let body: FactorBody = body::read(request, Accepts::Json)?;
        let token = body.mfa_token.required("The mfa_token is missing.", "The mfa_token must be text.")?;
        let proof = factor(body.code, body.recovery_code, &body.passkey)?.ok_or(ONE_FACTOR)?;
        let caller = caller_of(request);
        Ok(Self {
            token,
            proof,
            key,
            cookie_clients: Page::of(request).clients(clients).unwrap_or_default(),
            source_ip: caller.source_ip,
            user_agent: caller.user_agent,
            keys_overdue: keys_are_overdue(request),
        })
    }
}

impl RefreshRequest {
    /// Parses the request of one of `clients`. The token is in the body or in the cookie, and its place decides which clients
    /// it can belong to.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request or an unregistered client. With the cookie, the page must be a page of a cookie
    /// client.
    fn parse(request: &mut Request, clients: &Clients, key: Option<Thumbprint>) -> Result<Self, ApiError> {
        Self::of(body::read(request, Accepts::JsonOrForm)?, request, clients, key)
    }

    fn of(
        body: RefreshBody,
        request: &Request,
        clients: &Clients,
        key: Option<Thumbprint>,
    ) -> Result<Self, ApiError> {
        if body.grant_type.text()?.ok_or(ApiError::InvalidRequest("The grant_type is missing."))?
            != "refresh_token"
        {
            return Err(ApiError::UnsupportedGrantType);
        }
        let (refresh_token, transport, mut registered) = match (body.refresh_token.text()?, cookie(request)?)
        {
            (Some(token), _) => (token, Transport::Body, clients.body_clients.clone()),
            (None, Some(token)) => (token, Transport::Cookie, Page::of(request).clients(clients)?),
            (None, None) => return Err(ApiError::NoToken("refresh_token")),
        };
        let (scope, account) = scope(body.scope)?;
        let client = clients.named(body.client_id.text()?.as_deref(), Some(&registered))?;
        if key.is_none() {
            if client.as_ref().is_some_and(|client| clients.require_proof(client)) {
                return Err(ApiError::from(&Problem::ProofRequired));
            }
            registered.retain(|client| !clients.require_proof(client));
        }
        Ok(Self {
            refresh_token,
            transport,
            client,
            key,
            registered,
            scope,
            account,
            attempt: idempotency_key(request)?,
            keys_overdue: keys_are_overdue(request),
            source_ip: caller_of(request).source_ip,
        })
    }
}

/// A request to the token endpoint (RFC 6749 §3.2).
#[derive(Debug)]
pub enum TokenRequest {
    /// With a refresh token.
    Refresh(RefreshRequest),
    /// Of a machine client.
    Client(ClientCredentialsRequest),
}

impl TokenRequest {
    /// Parses a request. `/refresh` has the grant `refresh_token` alone, whose clients are public. The segments before are a
    /// stage or the base path of a custom domain.
    ///
    /// # Errors
    /// As [`RefreshRequest::parse`], and the [`ApiError`] of a machine client that names itself twice.
    pub fn parse(request: &mut Request, clients: &Clients, proofs: &Proofs<'_>) -> Result<Self, ApiError> {
        let key = proofs.key_of(request)?;
        if !request.uri().path().ends_with("/token") {
            return RefreshRequest::parse(request, clients, key).map(Self::Refresh);
        }
        let (body, basic) = body::read_of_client::<TokenBody>(request)?;
        let grant_type =
            body.grant_type.text()?.ok_or(ApiError::InvalidRequest("The grant_type is missing."))?;
        if grant_type == "client_credentials" {
            let client =
                authentication(basic, body.client_id, body.client_assertion, body.client_assertion_type)?;
            let scope = body.scope.text()?.as_deref().map(Scope::parse).transpose()?;
            return Ok(Self::Client(ClientCredentialsRequest { client, scope, key }));
        }
        if basic.is_some() || body.client_assertion.text()?.is_some() {
            return Err(ApiError::ClientAuthentication);
        }
        let (refresh_token, client_id, scope) = (body.refresh_token, body.client_id, body.scope);
        let body = RefreshBody { grant_type: Parameter::of(grant_type), refresh_token, client_id, scope };
        RefreshRequest::of(body, request, clients, key).map(Self::Refresh)
    }
}

impl IntrospectRequest {
    /// Parses a request (RFC 7662 §2.1). The `token_type_hint` must be text and is ignored.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request.
    pub fn parse(request: &mut Request) -> Result<Self, ApiError> {
        let (body, basic) = body::read_of_client::<IntrospectBody>(request)?;
        body.token_type_hint.text()?;
        Ok(Self {
            client: authentication(basic, body.client_id, body.client_assertion, body.client_assertion_type)?,
            token: body.token.required("The token is missing.", "The token is not text.")?,
            keys_overdue: keys_are_overdue(request),
        })
    }
}

/// How a machine client authenticates itself; `None` when it does not.
///
/// # Errors
/// `invalid_request` for two ways at once (RFC 6749 §2.3), and for two clients.
fn authentication(
    basic: Option<SecretString>,
    client_id: Parameter<String>,
    assertion: Parameter<SecretString>,
    assertion_type: Parameter<String>,
) -> Result<Option<ClientAuthentication>, ApiError> {
    let (client_id, assertion) = (client_id.text()?, assertion.text()?);
    let assertion_type = assertion_type.text()?;
    match (basic, assertion) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(ApiError::InvalidRequest("The client authenticates itself in two ways.")),
        (Some(basic), None) => {
            let (named, secret) = basic_credentials(basic.expose()).ok_or(ApiError::InvalidClient)?;
            if client_id.is_some_and(|client_id| client_id != named) {
                return Err(ApiError::InvalidRequest("The request names two clients."));
            }
            Ok(Some(ClientAuthentication::Secret { client_id: named, secret }))
        }
        (None, Some(_)) if assertion_type.as_deref() != Some(ASSERTION_TYPE) => {
            Err(ApiError::InvalidRequest("The client_assertion_type is not that of a JWT."))
        }
        (None, Some(assertion)) => Ok(Some(ClientAuthentication::Assertion { assertion, client_id })),
    }
}

/// Client id and secret of an `Authorization` header with the scheme `Basic`. Both are form-encoded (RFC 6749 §2.3.1). Many
/// clients do not encode them, and the characters of ours stay the same.
fn basic_credentials(header: &str) -> Option<(String, SecretString)> {
    let encoded = header.get("Basic ".len()..)?.trim();
    let text = Zeroizing::new(String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?);
    let (client_id, secret) = text.split_once(':')?;
    Some((form_decoded(client_id)?, SecretString::new(form_decoded(secret)?)))
}

fn form_decoded(text: &str) -> Option<String> {
    let text = Zeroizing::new(format!("={text}"));
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    let (_, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

impl RevokeRequest {
    /// Parses the request of one of `clients`. The `token_type_hint` must be text and is ignored: a token shows its own kind.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request or an unregistered client. With the cookie, the page must be a page of a cookie
    /// client: another page must not log its visitor out.
    pub fn parse(request: &mut Request, clients: &Clients) -> Result<Self, ApiError> {
        let body: RevokeBody = body::read(request, Accepts::JsonOrForm)?;
        body.token_type_hint.text()?;
        let all = body.all.is_set()?;
        let (token, transport, allowed) = match (body.token.text()?, cookie(request)?) {
            // An access token of any client may end its own session.
            (Some(token), _) if !token.expose().starts_with(RefreshToken::PREFIX) => {
                (token, Transport::Body, None)
            }
            (Some(token), _) => (token, Transport::Body, Some(clients.body_clients.clone())),
            (None, Some(token)) => (token, Transport::Cookie, Some(Page::of(request).clients(clients)?)),
            (None, None) => return Err(ApiError::NoToken("token")),
        };
        let named = clients.named(body.client_id.text()?.as_deref(), allowed.as_deref())?;
        let clients = named.map(|client| vec![client]).or(allowed);
        Ok(Self { token, transport, clients, all, keys_overdue: keys_are_overdue(request) })
    }
}

impl PasswordRequest {
    /// Parses the request. Its client is that of the caller's session.
    ///
    /// # Errors
    /// The [`ApiError`] of a malformed request.
    pub fn parse(request: &mut Request, clients: &Clients) -> Result<Self, ApiError> {
        let body: PasswordBody = body::read(request, Accepts::Json)?;
        Ok(Self {
            principal: principal_of(request),
            cookie_clients: Page::of(request).clients(clients).unwrap_or_default(),
            current: current_password(body.current_password)?,
            new: body.new_password.required(
                "The new password is missing.",
                "The new password is longer than 1024 characters.",
            )?,
        })
    }
}

impl ReauthenticationRequest {
    /// Parses the request by its path below `/reauthenticate`. The segments before are a stage or the base path of a custom domain.
    ///
    /// # Errors
    /// The [`ApiError`] of another path or method, or of a malformed request.
    pub fn parse(request: &mut Request) -> Result<Self, ApiError> {
        let principal = principal_of(request);
        let operation = match request.uri().path().split_once("/reauthenticate") {
            Some((_, "")) => Self::proof(body::read(request, Accepts::Json)?)?,
            Some((_, "/passkey/options")) if request.method() == Method::POST => {
                ReauthenticationOperation::Options
            }
            Some((_, "/passkey/options")) => return Err(ApiError::MethodNotAllowed("POST")),
            _ => return Err(ApiError::NotFound),
        };
        Ok(Self { principal, operation })
    }

    fn proof(body: ReauthenticationBody) -> Result<ReauthenticationOperation, ApiError> {
        let has_password = !body.current_password.is_absent();
        match factor(body.code, body.recovery_code, &body.passkey)? {
            Some(FactorProof::Passkey(response)) if !has_password => {
                Ok(ReauthenticationOperation::Passkey(response))
            }
            None if !has_password => {
                Err(ApiError::InvalidRequest("Send the current_password, a passkey, or both."))
            }
            factor => {
                let current = current_password(body.current_password)?;
                Ok(ReauthenticationOperation::Password { current, factor })
            }
        }
    }
}

/// The second factor of a body, if it has one.
fn factor(
    code: Parameter<SecretString>,
    recovery_code: Parameter<SecretString>,
    passkey: &CredentialJson,
) -> Result<Option<FactorProof>, ApiError> {
    let passkey = (!passkey.is_absent()).then(|| passkey.assertion()).transpose()?;
    match (code.text()?, recovery_code.text()?, passkey) {
        (None, None, None) => Ok(None),
        (Some(code), None, None) => Ok(Some(FactorProof::OneTimeCode(code))),
        (None, Some(code), None) => Ok(Some(FactorProof::RecoveryCode(code))),
        (None, None, Some(response)) => Ok(Some(FactorProof::Passkey(response))),
        _ => Err(ONE_FACTOR),
    }
}

/// The current password of the caller.
pub(super) fn current_password(parameter: Parameter<Password>) -> Result<Password, ApiError> {
    parameter
        .required("The current password is missing.", "The current password is longer than 1024 characters.")
}

/// The scope without [`Scope::ACCOUNT`], and whether the request asks for the right to the account endpoints.
pub(super) fn scope(parameter: Parameter<String>) -> Result<(Option<Scope>, bool), ApiError> {
    let mut scope = parameter.text()?.as_deref().map(Scope::parse).transpose()?;
    let account = scope.as_mut().is_none_or(|scope| scope.remove(Scope::ACCOUNT));
    Ok((scope, account))
}

impl SessionsRequest {
    /// Parses the request by the end of its path. The segments before are a stage or the base path of a custom domain. Query
    /// string and body are ignored.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for another path, [`ApiError::MethodNotAllowed`] for another method.
    pub fn parse(request: &Request) -> Result<Self, ApiError> {
        let mut segments = request.uri().path().rsplit('/');
        let last = segments.next().unwrap_or_default();
        let (parsed, method, allow) = match segments.next() {
            Some(_) if last == "sessions" => (Self::List, Method::GET, "GET"),
            Some("sessions") => (Self::End(SessionId::parse(last)), Method::DELETE, "DELETE"),
            _ => return Err(ApiError::NotFound),
        };
        if *request.method() == method { Ok(parsed) } else { Err(ApiError::MethodNotAllowed(allow)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> SessionId {
        SessionId::from_bytes([byte; 16])
    }

    fn check_parse(method: &str, path: &str, expected: Result<SessionsRequest, ApiError>) {
        let request = http::Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
        assert_eq!(SessionsRequest::parse(&request), expected, "{method} {path}");
    }

    #[test]
    fn requests() {
        use SessionsRequest::{End, List};
        let one = id(0xab);
        check_parse("GET", "/sessions", Ok(List));
        check_parse("GET", "/prod/sessions?session_id=x&all=true", Ok(List));
        check_parse("GET", "/sessions/sessions", Ok(List));
        check_parse("DELETE", &format!("/sessions/{one}"), Ok(End(Some(one))));
        check_parse("DELETE", &format!("/v1/auth/sessions/{one}?x"), Ok(End(Some(one))));
        let upper = one.to_string().to_uppercase();
        let long = format!("{one}00");
        let overlong = "a".repeat(8000);
        let encoded = one.to_string().replace('_', "%5F");
        let with_nul = format!("{one}%00");
        for bad in ["", "..", "%2e", "%2E%2e", "all", "*", &upper, &long, &overlong, &encoded, &with_nul] {
            check_parse("DELETE", &format!("/sessions/{bad}"), Ok(End(None)));
        }
        for nowhere in
            ["/", "/session", "/Sessions", "/sessionsx", "/sessions/a/b", "/sessions//", "/x%2Fsessions"]
        {
            check_parse("GET", nowhere, Err(ApiError::NotFound));
            check_parse("DELETE", nowhere, Err(ApiError::NotFound));
        }
        for method in ["HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE", "TRACE"] {
            check_parse(method, "/sessions", Err(ApiError::MethodNotAllowed("GET")));
        }
        for method in ["HEAD", "POST", "PUT", "PATCH", "OPTIONS", "GET", "get", "delete"] {
            check_parse(method, &format!("/sessions/{one}"), Err(ApiError::MethodNotAllowed("DELETE")));
        }
    }
}
