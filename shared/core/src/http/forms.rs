//! What each endpoint reads from a request.

use crate::client::{Clients, Transport};
use crate::flow::error::ApiError;
use crate::flow::login::LoginRequest;
use crate::flow::password::PasswordRequest;
use crate::flow::refresh::RefreshRequest;
use crate::flow::revoke::RevokeRequest;
use crate::flow::sessions::SessionsRequest;
use crate::http::browser::{Page, cookie};
use crate::http::request::{Accepts, Params, Request, idempotency_key};
use crate::secret::Password;
use crate::token::refresh::RefreshToken;
use daypass_verifier::base::ids::SessionId;
use daypass_verifier::base::scope::Scope;
use http::Method;

/// Longest name as typed, in bytes; normalising may shorten it.
const MAX_TYPED_NAME_BYTES: usize = 1024;

impl LoginRequest {
    /// Reads the request of one of `clients`.
    ///
    /// # Errors
    /// The [`ApiError`] of what is wrong with its form, an unregistered client, and for a cookie client a page that is none
    /// of its own: a foreign page must not log its visitor in as another user (login CSRF).
    pub fn parse(request: &Request, clients: &Clients) -> Result<Self, ApiError> {
        let params = Params::read(request, Accepts::Json)?;
        let client = clients.find(params.text("client_id")?).ok_or(ApiError::UnknownClient)?;
        if client.transport == Transport::Cookie && !Page::of(request).clients(clients)?.contains(&client.id)
        {
            return Err(ApiError::OriginNotAllowed);
        }
        let username = params.required("username", "The username is missing.")?;
        if username.len() > MAX_TYPED_NAME_BYTES {
            return Err(ApiError::InvalidRequest("The username is too long."));
        }
        let password = params.required("password", "The password is missing.")?;
        let password = Password::new(password.to_owned())
            .ok_or(ApiError::InvalidRequest("The password is longer than 1024 characters."))?;
        Ok(Self {
            username: username.to_owned(),
            password,
            client: client.clone(),
            scope: params.text("scope")?.map(Scope::parse).transpose()?,
        })
    }
}

impl RefreshRequest {
    /// Reads the request of one of `clients`. The token is in the body or in the cookie, and what it is in decides whose it
    /// can be.
    ///
    /// # Errors
    /// The [`ApiError`] of what is wrong with its form, an unregistered client, and with the cookie a page that is none of a
    /// cookie client's.
    pub fn parse(request: &Request, clients: &Clients) -> Result<Self, ApiError> {
        let params = Params::read(request, Accepts::JsonOrForm)?;
        if params.required("grant_type", "The grant_type is missing.")? != "refresh_token" {
            return Err(ApiError::UnsupportedGrantType);
        }
        let (refresh_token, transport, registered) = match (params.text("refresh_token")?, cookie(request)?) {
            (Some(token), _) => (token, Transport::Body, clients.body_clients.clone()),
            (None, Some(token)) => (token, Transport::Cookie, Page::of(request).clients(clients)?),
            (None, None) => return Err(ApiError::InvalidRequest("The refresh_token is missing.")),
        };
        Ok(Self {
            refresh_token: refresh_token.to_owned(),
            transport,
            client: clients.named(params.text("client_id")?, Some(&registered))?,
            registered,
            scope: params.text("scope")?.map(Scope::parse).transpose()?,
            attempt: idempotency_key(request)?,
        })
    }
}

impl RevokeRequest {
    /// Reads the request of one of `clients`. The `token_type_hint` is read and not needed: a token tells its own kind.
    ///
    /// # Errors
    /// The [`ApiError`] of what is wrong with its form, an unregistered client, and with the cookie a page that is none of a
    /// cookie client's: a stranger's page must not log its visitor out.
    pub fn parse(request: &Request, clients: &Clients) -> Result<Self, ApiError> {
        let params = Params::read(request, Accepts::JsonOrForm)?;
        let _ = params.text("token_type_hint")?;
        let all = params.flag("all")?;
        let (token, transport, allowed) = match (params.text("token")?, cookie(request)?) {
            // An access token of any client may end its own session.
            (Some(token), _) if !token.starts_with(RefreshToken::PREFIX) => (token, Transport::Body, None),
            (Some(token), _) => (token, Transport::Body, Some(clients.body_clients.clone())),
            (None, Some(token)) => (token, Transport::Cookie, Some(Page::of(request).clients(clients)?)),
            (None, None) => return Err(ApiError::InvalidRequest("The token is missing.")),
        };
        let named = clients.named(params.text("client_id")?, allowed.as_deref())?;
        let clients = named.map(|client| vec![client]).or(allowed);
        Ok(Self { token: token.to_owned(), transport, clients, all })
    }
}

impl PasswordRequest {
    /// Reads the request.
    ///
    /// # Errors
    /// The [`ApiError`] of what is wrong with its form.
    pub fn parse(request: &Request) -> Result<Self, ApiError> {
        let params = Params::read(request, Accepts::Json)?;
        let password = |name: &str, missing, too_long| {
            let text = params.required(name, missing)?;
            Password::new(text.to_owned()).ok_or(ApiError::InvalidRequest(too_long))
        };
        Ok(Self {
            current: password(
                "current_password",
                "The current password is missing.",
                "The current password is longer than 1024 characters.",
            )?,
            new: password(
                "new_password",
                "The new password is missing.",
                "The new password is longer than 1024 characters.",
            )?,
        })
    }
}

impl SessionsRequest {
    /// Reads the request by the end of its path: whatever stands before is a stage or the base path of a custom domain.
    /// Query string and body say nothing.
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
