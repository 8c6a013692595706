//! The registered client applications: what each may ask for, how it holds its refresh tokens, and which pages are its own.

pub mod machine;

use daypass_verifier::base::ids::ClientId;
use daypass_verifier::base::issuer::secure_url;
use daypass_verifier::base::scope::Scope;
use serde::Deserialize;
use std::fmt;

/// A registered client application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Value of `client_id` (RFC 6749 §2.2).
    pub id: ClientId,
    /// What it may ask for; `None` for all that the user has.
    pub scope: Option<Scope>,
    /// How it holds its refresh tokens.
    pub transport: Transport,
    /// The origins of its pages, which may call from a browser.
    pub origins: Vec<Origin>,
    /// Who may create a user of this client.
    pub signup: SignUp,
    /// The team's page for sign-up, recovery and change of address: the links of mails begin with it.
    pub account_url: Option<AccountUrl>,
    /// Whether its users need a second factor.
    pub require_mfa: bool,
}

impl Client {
    /// The part of a scope that the client may ask for.
    #[must_use]
    pub fn narrow(&self, scope: &Scope) -> Scope {
        self.scope.as_ref().map_or_else(|| scope.clone(), |allowed| scope.intersection(allowed))
    }

    fn has(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own.includes(origin))
    }
}

/// The request names a client that is not registered, or not for this kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is not registered, or not for this")]
pub struct UnknownClient;

/// The registered clients, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    default: Client,
    others: Vec<Client>,
    /// The ids of those that send their tokens in bodies.
    pub body_clients: Vec<ClientId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    client_id: String,
    #[serde(default)]
    transport: Transport,
    #[serde(default)]
    origins: Vec<String>,
    scope: Option<String>,
    #[serde(default)]
    signup: SignUp,
    account_url: Option<String>,
    #[serde(default)]
    require_mfa: bool,
}

impl Clients {
    /// Most clients: their ids stand in the condition of each rotation, and an expression of DynamoDB takes 4 KB.
    pub const MAX: usize = 200;

    /// Reads the JSON array of `DAYPASS_CLIENTS`. The first one is meant by a login that names none.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let entries: Vec<ClientEntry> = serde_json::from_str(json).map_err(|error| {
            format!("is not a list like [{{\"client_id\":\"web\",\"transport\":\"body\"}}] ({error})")
        })?;
        if entries.len() > Self::MAX {
            return Err(format!("names more than {} clients", Self::MAX));
        }
        let mut clients: Vec<Client> = Vec::new();
        for entry in entries {
            let id = ClientId::parse(&entry.client_id).ok_or_else(|| {
                format!(
                    "client_id `{}` is not 1 to 64 of A-Z a-z 0-9 - . _ ~, or starts with usr_",
                    entry.client_id
                )
            })?;
            if clients.iter().any(|other| other.id == id) {
                return Err(format!("client_id `{id}` stands there twice"));
            }
            let scope = entry.scope.map(|scope| Scope::parse(&scope)).transpose();
            let scope = scope
                .map_err(|_| format!("the scope of `{id}` is malformed or over 256 bytes or 32 words"))?;
            if scope.as_ref().is_some_and(Scope::is_reserved) {
                return Err(format!(
                    "the scope of `{id}` has a word that begins with {}",
                    Scope::RESERVED.join(" or ")
                ));
            }
            let origins = entry.origins.iter().map(|origin| {
                Origin::parse(origin).map_err(|problem| format!("the origin `{origin}` of `{id}` {problem}"))
            });
            let origins = origins.collect::<Result<Vec<_>, _>>()?;
            if entry.transport == Transport::Cookie && origins.is_empty() {
                return Err(format!("`{id}` has the transport cookie and names no origins"));
            }
            if entry.transport == Transport::Cookie
                && let Some((origin, why)) =
                    origins.iter().find_map(|one| Some((one, one.without_cookies()?)))
            {
                return Err(format!("the origin `{origin}` of `{id}` {why}"));
            }
            let account_url = entry.account_url.map(|url| AccountUrl::parse(&url)).transpose();
            let account_url =
                account_url.map_err(|problem| format!("the account_url of `{id}` {problem}"))?;
            let (transport, signup) = (entry.transport, entry.signup);
            if signup != SignUp::Off && account_url.is_none() {
                return Err(format!("`{id}` allows sign-ups and has no account_url"));
            }
            let require_mfa = entry.require_mfa;
            clients.push(Client { id, scope, transport, origins, signup, account_url, require_mfa });
        }
        let body_clients = clients.iter().filter(|client| client.transport == Transport::Body);
        let body_clients = body_clients.map(|client| client.id.clone()).collect();
        let mut clients = clients.into_iter();
        let default = clients.next().ok_or("names no client")?;
        Ok(Self { default, others: clients.collect(), body_clients })
    }

    /// The id that a request names, if it names one.
    ///
    /// # Errors
    /// [`UnknownClient`] for one that is not registered, or none of those `allowed`.
    pub fn named(
        &self,
        id: Option<&str>,
        allowed: Option<&[ClientId]>,
    ) -> Result<Option<ClientId>, UnknownClient> {
        let Some(id) = id else { return Ok(None) };
        let client = self.find(Some(id)).ok_or(UnknownClient)?;
        if allowed.is_some_and(|allowed| !allowed.contains(&client.id)) {
            return Err(UnknownClient);
        }
        Ok(Some(client.id.clone()))
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// Whether any client has pages.
    #[must_use]
    pub fn have_origins(&self) -> bool {
        self.all().any(|client| !client.origins.is_empty())
    }

    /// Whether any client has pages of this origin.
    #[must_use]
    pub fn allow_origin(&self, origin: &str) -> bool {
        self.all().any(|client| client.has(origin))
    }

    /// The ids of the cookie clients that have pages of this origin.
    #[must_use]
    pub fn cookie_clients_for(&self, origin: &str) -> Vec<ClientId> {
        let cookie = |client: &&Client| client.transport == Transport::Cookie && client.has(origin);
        self.all().filter(cookie).map(|client| client.id.clone()).collect()
    }

    /// The client of that name, or the first one when the request names none.
    #[must_use]
    pub fn find(&self, id: Option<&str>) -> Option<&Client> {
        let Some(id) = id else { return Some(&self.default) };
        self.all().find(|client| client.id.as_str() == id)
    }
}

/// The origin of a page as browsers send it: scheme, host and, unless it is the scheme's own, port (RFC 6454 §6.2). Clients with
/// the transport body can also have pages of apps, such as `capacitor://localhost`, and of subdomains, such as
/// `https://*.preview.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Schemes whose pages have no origin of their own. Browsers send `null` for most of them.
const WITHOUT_ORIGIN: [&str; 8] = ["about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"];

impl Origin {
    /// Reads an origin. It must be spelled as browsers do, since it is compared as text: `https://`, a host in lower
    /// case, a port that is not 443, and nothing behind. `http://` only on this machine. The first label of the host can be `*`.
    /// An app has its own scheme.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "null" {
            return Err("is that of every page without an origin, such as one from a file");
        }
        let Some((scheme, host)) = text.split_once("://") else {
            return Err("does not start with https://");
        };
        let (name, port) = match host.rsplit_once(':') {
            // The colons of an IPv6 address stand within its brackets.
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        match scheme {
            "https" | "http" => check_web(scheme, name)?,
            _ => check_app(scheme, name)?,
        }
        let standard_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => "",
        };
        if let Some(port) = port
            && (port == standard_port || port.starts_with('0') || port.parse::<u16>().is_err())
        {
            return Err("has a port that browsers would not send");
        }
        Ok(Self(text.to_owned()))
    }

    /// Why a cookie client cannot have this origin; `None` if it can. A cookie goes with every request of the browser, so each
    /// page that may use it is named, and the page of an app is on no site.
    #[must_use]
    pub fn without_cookies(&self) -> Option<&'static str> {
        if self.wildcard().is_some() {
            return Some("has a wildcard, which only a client with the transport body can have");
        }
        if !self.0.starts_with("https://") && !self.0.starts_with("http://") {
            return Some("has the scheme of an app, which only a client with the transport body can have");
        }
        None
    }

    /// Whether it includes this value of the header `Origin`. A wildcard stands for one label.
    #[must_use]
    pub fn includes(&self, origin: &str) -> bool {
        let Some((scheme, domain)) = self.wildcard() else { return self.0 == origin };
        let label = origin.strip_prefix(scheme).and_then(|host| host.strip_suffix(domain));
        label.is_some_and(|label| !label.is_empty() && label.bytes().all(is_of_label))
    }

    /// The parts before and behind the wildcard.
    fn wildcard(&self) -> Option<(&str, &str)> {
        self.0.split_once('*')
    }

    /// The origin as browsers send it (RFC 6454 §7), or with the wildcard.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

/// Checks the host of a page on the web.
fn check_web(scheme: &str, name: &str) -> Result<(), &'static str> {
    let is_host = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte == b'.' || is_of_label(byte));
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let domain = name.strip_prefix("*.");
    let valid = match (address, domain) {
        (Some(address), _) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        // `*.com` would include the pages of strangers.
        (None, Some(domain)) if is_host(domain) && !domain.contains('.') && domain != "localhost" => {
            return Err("has a wildcard below a top-level domain");
        }
        (None, domain) => is_host(domain.unwrap_or(name)),
    };
    if !valid && name.contains('*') {
        return Err("has a wildcard that is not the whole first label: write https://*.example.com");
    }
    if !valid {
        return Err("has no host in lower case, or something behind it");
    }
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name) || name.ends_with(".localhost");
    if scheme == "http" && !local {
        return Err("is http:// and not on this machine");
    }
    Ok(())
}

/// Checks scheme and host of a page of an app or a browser extension. Browsers leave such a host as it is written.
fn check_app(scheme: &str, name: &str) -> Result<(), &'static str> {
    let of_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    if !scheme.starts_with(|first: char| first.is_ascii_lowercase()) || !scheme.bytes().all(of_scheme) {
        return Err("does not start with https://, nor with the scheme of an app in lower case");
    }
    if WITHOUT_ORIGIN.contains(&scheme) {
        return Err("has a scheme whose pages have no origin");
    }
    let of_host = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if name.is_empty() || !name.bytes().all(of_host) {
        return Err("has no host, or something behind it");
    }
    Ok(())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a client holds its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// In its own keeping, sent in bodies.
    #[default]
    Body,
    /// In a cookie, sent by the browser.
    Cookie,
}

/// Who may create a user of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Operators alone create users.
    #[default]
    Off,
    /// People whom an operator invited by mail.
    Invited,
    /// Everyone who reads mail to the address.
    Open,
}

/// The URL of a page of the team. The link of a mail is this URL, `#` and a token, so the token is in no request for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUrl(String);

impl AccountUrl {
    /// Longest URL in bytes. A line of a mail has at most 998 (RFC 5322 §2.1.1).
    const MAX_BYTES: usize = 200;

    /// Parses an https URL, or an http URL on this machine, without query, fragment and user.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        secure_url(text)?;
        let of_url = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:%[]@!$&()*+,;=".contains(&b);
        if text.len() > Self::MAX_BYTES || !text.bytes().all(of_url) {
            return Err(format!("has more than {} characters, or some that no URL has", Self::MAX_BYTES));
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
