//! The registered client applications: what each may ask for, how it holds its refresh tokens, and which pages are its own.

use daypass_verifier::base::ids::ClientId;
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
}

impl Client {
    /// The part of a scope that the client may ask for.
    #[must_use]
    pub fn narrow(&self, scope: &Scope) -> Scope {
        self.scope.as_ref().map_or_else(|| scope.clone(), |allowed| scope.intersection(allowed))
    }

    fn has(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own.as_str() == origin)
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
                return Err(format!("the scope of `{id}` has a word that begins with {}", Scope::RESERVED));
            }
            let origins = entry.origins.iter().map(|origin| {
                Origin::parse(origin).map_err(|problem| format!("the origin `{origin}` of `{id}` {problem}"))
            });
            let origins = origins.collect::<Result<Vec<_>, _>>()?;
            if entry.transport == Transport::Cookie && origins.is_empty() {
                return Err(format!("`{id}` has the transport cookie and names no origins"));
            }
            clients.push(Client { id, scope, transport: entry.transport, origins });
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

/// The origin of a page as browsers send it: scheme, host and, unless it is the scheme's own, port (RFC 6454 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin. It must be spelled as browsers do, since it is compared as text: `https://`, a host in lower
    /// case, a port that is not 443, and nothing behind. `http://` only on this machine.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, local_only, standard_port) =
            match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
                (Some(host), _) => (host, false, "443"),
                (None, Some(host)) => (host, true, "80"),
                (None, None) => return Err("does not start with https://"),
            };
        let (name, port) = match host.rsplit_once(':') {
            // The colons of an IPv6 address stand within its brackets.
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let valid = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(plain),
        };
        if !valid {
            return Err("has no host in lower case, or something behind it");
        }
        if let Some(port) = port
            && (port == standard_port || port.starts_with('0') || port.parse::<u16>().is_err())
        {
            return Err("has a port that browsers would not send");
        }
        if local_only && !["localhost", "127.0.0.1", "[::1]"].contains(&name) && !name.ends_with(".localhost")
        {
            return Err("is http:// and not on this machine");
        }
        Ok(Self(text.to_owned()))
    }

    /// The origin as browsers send it (RFC 6454 §7).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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

#[cfg(test)]
mod tests;
