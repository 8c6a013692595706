//! Requests of operators, read strictly: an unknown or repeated parameter and an unknown member are errors.

use data_encoding::BASE64URL_NOPAD;
use daypass_admin::Invitation;
use daypass_core::account::Email;
use daypass_core::account::address::EmailAddress;
use daypass_core::account::claims::Claims;
use daypass_core::client::machine::{CredentialId, Machine, MachineId};
use daypass_core::http::body::read_strict;
use daypass_core::http::error::ApiError;
use daypass_core::http::request::Request;
use daypass_core::ports::mail::Language;
use daypass_core::ports::store::UserStatus;
use daypass_core::secret::Password;
use daypass_dynamodb::Cursor;
use daypass_passwords::Passwords;
use daypass_verifier::base::ids::{ClientId, SessionId, UserId, Username};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwk;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Users of a page unless the request names another number.
const PAGE: u32 = 100;
/// Most users of a page, as for `daypass user list`.
const MAX_PAGE: u32 = 1000;
/// The version of cursors: another form of the key gets another one.
const CURSOR_VERSION: u8 = 1;

/// What an operator asks for.
pub(crate) enum Operation {
    Users {
        after: Option<Cursor>,
        limit: u32,
    },
    Add(Addition),
    Invite(Invitation),
    User(Username),
    Change(Username, Change),
    SetPassword(Username, Password),
    ResetFactors(Username, Language),
    Remove(Username),
    Sessions(Whose),
    EndSessions(Whose),
    Session(Whose, SessionId),
    EndSession(Whose, SessionId),
    Clients,
    CreateClient(NewClient),
    /// A second key: this public one, or a new secret.
    RotateClient(MachineId, Option<Jwk>),
    /// The key, or the client.
    RevokeClient(MachineId, Option<CredentialId>),
}

/// A machine client to create.
pub(crate) struct NewClient {
    id: MachineId,
    scope: Scope,
    audience: Option<String>,
    access_token_seconds: Option<u32>,
    introspect: bool,
    require_dpop: bool,
    single_use_assertions: bool,
    public_key: Option<Jwk>,
}

impl NewClient {
    /// The client without a key, and its public key if it has one.
    pub(crate) fn machine(self, now: Timestamp) -> (Machine, Option<Jwk>) {
        let mut client = Machine::new(self.id, &self.scope, now);
        client.audience = self.audience;
        client.access_token_seconds = self.access_token_seconds;
        client.introspect = self.introspect;
        client.require_dpop = self.require_dpop;
        client.single_use_assertions = self.single_use_assertions;
        (client, self.public_key)
    }
}

/// A user to add. Without a password, the user gets an unknown one.
pub(crate) struct Addition {
    pub(crate) username: Username,
    pub(crate) password: Option<Password>,
    pub(crate) scope: Scope,
    pub(crate) email: Option<Email>,
    pub(crate) claims: Claims,
}

/// Changes of a user. `None` leaves an attribute as it is, and `Some(None)` removes the e-mail address.
pub(crate) struct Change {
    pub(crate) status: Option<UserStatus>,
    pub(crate) scope: Option<Scope>,
    pub(crate) email: Option<Option<Email>>,
    pub(crate) claims: Option<Claims>,
    pub(crate) mfa_required: Option<bool>,
}

/// The user of sessions. A removed user has an id and no name.
pub(crate) enum Whose {
    Name(Username),
    Id(UserId),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    username: String,
    password: Option<Password>,
    scope: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    claims: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    email: String,
    client_id: String,
    scope: Option<String>,
    claims: Option<Map<String, Value>>,
    language: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    status: Option<Status>,
    scope: Option<String>,
    /// `null` removes the address, so it is not the same as an absent member.
    #[serde(default, deserialize_with = "present")]
    email: Option<Option<String>>,
    email_verified: Option<bool>,
    claims: Option<Map<String, Value>>,
    mfa_required: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientBody {
    name: String,
    scope: Option<String>,
    audience: Option<String>,
    access_token_seconds: Option<u32>,
    introspect: Option<bool>,
    require_dpop: Option<bool>,
    single_use_assertions: Option<bool>,
    public_key: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    public_key: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    password: Password,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Enabled,
    Disabled,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Operation {
    /// Parses a request by the end of its path: a stage or the base path of a custom domain can come before `/admin/`.
    pub(crate) fn parse(passwords: &Passwords, request: &mut Request) -> Result<Self, ApiError> {
        let path = request.uri().path().to_owned();
        let (_, path) = path.rsplit_once("/admin/").ok_or(ApiError::NotFound)?;
        let mut query = Query::of(request)?;
        let method = request.method().clone();
        let operation = match (path, method.as_str()) {
            ("users", "GET") => {
                let after = query.take("cursor").map(|text| cursor(&text)).transpose()?;
                Self::Users { after, limit: query.limit()? }
            }
            ("users", "POST") => Self::Add(addition(passwords, read_strict(request)?)?),
            ("invitations", "POST") => Self::Invite(invitation(read_strict(request)?)?),
            ("invitations", _) => return Err(ApiError::MethodNotAllowed("POST")),
            ("users", _) => return Err(ApiError::MethodNotAllowed("GET, POST")),
            ("user", "GET") => Self::User(query.username(passwords)?),
            ("user", "PATCH") => Self::Change(query.username(passwords)?, change(read_strict(request)?)?),
            ("user", "DELETE") => Self::Remove(query.username(passwords)?),
            ("user", _) => return Err(ApiError::MethodNotAllowed("GET, PATCH, DELETE")),
            ("user/password", "PUT") => {
                let username = query.username(passwords)?;
                let PasswordBody { password } = read_strict(request)?;
                Self::SetPassword(username, password)
            }
            ("user/password", _) => return Err(ApiError::MethodNotAllowed("PUT")),
            ("user/factors", "DELETE") => {
                let username = query.username(passwords)?;
                Self::ResetFactors(username, query.language()?)
            }
            ("user/factors", _) => return Err(ApiError::MethodNotAllowed("DELETE")),
            ("sessions", "GET") => Self::Sessions(query.whose(passwords)?),
            ("sessions", "DELETE") => Self::EndSessions(query.whose(passwords)?),
            ("session", "GET") => Self::Session(query.whose(passwords)?, query.session()?),
            ("session", "DELETE") => Self::EndSession(query.whose(passwords)?, query.session()?),
            ("clients", "GET") => Self::Clients,
            ("clients", "POST") => Self::CreateClient(client(read_strict(request)?)?),
            ("clients", _) => return Err(ApiError::MethodNotAllowed("GET, POST")),
            ("client/keys", "POST") => {
                let KeyBody { public_key } = read_strict(request)?;
                Self::RotateClient(query.client()?, public_key.map(jwk).transpose()?)
            }
            ("client/keys", _) => return Err(ApiError::MethodNotAllowed("POST")),
            ("client", "DELETE") => {
                let key = query.take("key").map(|text| {
                    CredentialId::parse(&text)
                        .ok_or(ApiError::InvalidRequest("The key is not key_ and 16 hexadecimal digits."))
                });
                Self::RevokeClient(query.client()?, key.transpose()?)
            }
            ("client", _) => return Err(ApiError::MethodNotAllowed("DELETE")),
            ("sessions" | "session", _) => return Err(ApiError::MethodNotAllowed("GET, DELETE")),
            _ => return Err(ApiError::NotFound),
        };
        query.end()?;
        Ok(operation)
    }
}

/// The parameters of the query string that were not taken yet.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let mut query: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            if query.iter().any(|(other, _)| *other == name) {
                return Err(ApiError::InvalidRequest("A parameter of the query string is repeated."));
            }
            query.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(query))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn limit(&mut self) -> Result<u32, ApiError> {
        let Some(text) = self.take("limit") else { return Ok(PAGE) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
        limit.ok_or(ApiError::InvalidRequest("The limit is not a number from 1 to 1000."))
    }

    fn username(&mut self, passwords: &Passwords) -> Result<Username, ApiError> {
        let typed = self.take("username").ok_or(ApiError::InvalidRequest("The username is missing."))?;
        username(passwords, &typed)
    }

    fn whose(&mut self, passwords: &Passwords) -> Result<Whose, ApiError> {
        match (self.take("user_id"), self.take("username")) {
            (Some(id), None) => UserId::parse(&id)
                .map(Whose::Id)
                .ok_or(ApiError::InvalidRequest("The user_id is not usr_ and 32 hexadecimal digits.")),
            (None, Some(typed)) => Ok(Whose::Name(username(passwords, &typed)?)),
            _ => Err(ApiError::InvalidRequest("The request needs either user_id or username.")),
        }
    }

    fn session(&mut self) -> Result<SessionId, ApiError> {
        let text = self.take("session_id").ok_or(ApiError::InvalidRequest("The session_id is missing."))?;
        SessionId::parse(&text)
            .ok_or(ApiError::InvalidRequest("The session_id is not ses_ and 32 hexadecimal digits."))
    }

    fn client(&mut self) -> Result<MachineId, ApiError> {
        let text = self.take("client_id").ok_or(ApiError::InvalidRequest("The client_id is missing."))?;
        MachineId::parse(&text)
            .ok_or(ApiError::InvalidRequest("The client_id is not client_ and 1 to 48 of a-z 0-9 -."))
    }

    fn language(&mut self) -> Result<Language, ApiError> {
        let Some(tag) = self.take("language") else { return Ok(Language::default()) };
        Language::parse(&tag)
            .ok_or(ApiError::InvalidRequest("The language is not a tag such as en or de-CH."))
    }

    fn end(self) -> Result<(), ApiError> {
        let known = self.0.is_empty();
        if known {
            Ok(())
        } else {
            Err(ApiError::InvalidRequest("A parameter of the query string is unknown."))
        }
    }
}

fn username(passwords: &Passwords, typed: &str) -> Result<Username, ApiError> {
    passwords
        .username(typed)
        .map_err(|_| ApiError::InvalidRequest("The username holds characters that no user name has."))
}

/// The cursor that follows a page, in the form of the API.
pub(crate) fn next_cursor(cursor: &Cursor) -> String {
    let mut bytes = vec![CURSOR_VERSION];
    bytes.extend(cursor.as_str().as_bytes());
    BASE64URL_NOPAD.encode(&bytes)
}

fn cursor(text: &str) -> Result<Cursor, ApiError> {
    let parse = || {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (version, key) = bytes.split_first()?;
        (*version == CURSOR_VERSION).then_some(())?;
        Cursor::parse(String::from_utf8(key.to_vec()).ok()?)
    };
    parse().ok_or(ApiError::InvalidRequest("The cursor is none that was given out here."))
}

fn addition(passwords: &Passwords, body: AddBody) -> Result<Addition, ApiError> {
    let username = passwords.new_username(&body.username);
    Ok(Addition {
        username: username.map_err(|_| {
            ApiError::InvalidRequest(
                "The username is not allowed for a new user; `daypass user add` shows the reason.",
            )
        })?,
        password: body.password,
        scope: body.scope.as_deref().map(scope).transpose()?.unwrap_or_default(),
        email: email(body.email.map(Some), body.email_verified)?.flatten(),
        claims: claims(body.claims)?.unwrap_or_default(),
    })
}

fn invitation(body: InviteBody) -> Result<Invitation, ApiError> {
    let client = ClientId::parse(&body.client_id);
    let language = body.language.as_deref().map(|tag| {
        Language::parse(tag).ok_or(ApiError::InvalidRequest("The language is not a tag such as en or de-CH."))
    });
    Ok(Invitation {
        email: address(&body.email)?,
        client: client.ok_or(ApiError::InvalidRequest("The client_id is malformed."))?,
        scope: body.scope.as_deref().map(scope).transpose()?.unwrap_or_default(),
        claims: claims(body.claims)?.unwrap_or_default(),
        language: language.transpose()?.unwrap_or_default(),
    })
}

fn client(body: ClientBody) -> Result<NewClient, ApiError> {
    let id = MachineId::parse(&format!("{}{}", MachineId::PREFIX, body.name));
    if body.access_token_seconds.is_some_and(|seconds| !Machine::LIFETIME.contains(&seconds)) {
        return Err(ApiError::InvalidRequest("The access_token_seconds are not a number from 60 to 600."));
    }
    Ok(NewClient {
        id: id.ok_or(ApiError::InvalidRequest("The name is not 1 to 48 of a-z 0-9 -."))?,
        scope: body.scope.as_deref().map(scope).transpose()?.unwrap_or_default(),
        audience: body.audience,
        access_token_seconds: body.access_token_seconds,
        introspect: body.introspect.unwrap_or(false),
        require_dpop: body.require_dpop.unwrap_or(false),
        single_use_assertions: body.single_use_assertions.unwrap_or(false),
        public_key: body.public_key.map(jwk).transpose()?,
    })
}

fn jwk(value: Value) -> Result<Jwk, ApiError> {
    daypass_admin::public_key(value).map_err(|_| {
        ApiError::InvalidRequest("The public_key is not the public JWK of an ES256, EdDSA or RS256 key.")
    })
}

fn address(text: &str) -> Result<EmailAddress, ApiError> {
    EmailAddress::parse(text)
        .map_err(|_| ApiError::InvalidRequest("The email is not an address that Daypass accepts."))
}

fn change(body: ChangeBody) -> Result<Change, ApiError> {
    let change = Change {
        status: body.status.map(|status| match status {
            Status::Enabled => UserStatus::Enabled,
            Status::Disabled => UserStatus::Disabled,
        }),
        scope: body.scope.as_deref().map(scope).transpose()?,
        email: email(body.email, body.email_verified)?,
        claims: claims(body.claims)?,
        mfa_required: body.mfa_required,
    };
    match change {
        Change { status: None, scope: None, email: None, claims: None, mfa_required: None } => {
            Err(ApiError::InvalidRequest("The body changes nothing."))
        }
        change => Ok(change),
    }
}

fn scope(text: &str) -> Result<Scope, ApiError> {
    daypass_admin::scope(text).map_err(|_| ApiError::InvalidScope)
}

fn claims(members: Option<Map<String, Value>>) -> Result<Option<Claims>, ApiError> {
    let claims = members.map(Claims::new).transpose();
    claims.map_err(|_| {
        ApiError::InvalidRequest("The claims are too long or too deep, or have a reserved or malformed name.")
    })
}

/// A new address, `Some(None)` to remove it, and `None` to leave it.
fn email(text: Option<Option<String>>, verified: Option<bool>) -> Result<Option<Option<Email>>, ApiError> {
    let text = match (text, verified) {
        (Some(Some(text)), _) => text,
        (email, None) => return Ok(email.map(|_| None)),
        (_, Some(_)) => return Err(ApiError::InvalidRequest("email_verified needs an email.")),
    };
    let address = address(&text)?;
    Ok(Some(Some(Email { address, verified: verified.unwrap_or(false), undeliverable: None })))
}
