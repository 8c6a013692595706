//! The issuer identifier, and URLs of keys and revocations.

/// The issuer identifier: an https URL without query, fragment or slash at its end (RFC 8414 §2). It is compared byte
/// for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    url: String,
    path_at: usize,
    local: bool,
}

impl Issuer {
    /// Parses an issuer. `http` is accepted for loopback hosts, for a stack on this machine.
    ///
    /// # Errors
    /// A text with the problem.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri = secure_url(url)?;
        if url.ends_with('/') {
            return Err("must not end with a slash".to_owned());
        }
        let authority_at = url.find("://").map_or(0, |at| at + 3);
        let path_at =
            url.get(authority_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| authority_at + at);
        Ok(Self { url: url.to_owned(), path_at, local: uri.host().is_some_and(is_loopback) })
    }

    /// The identifier, exactly as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The path of the identifier: empty, or with a slash at its start.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.get(self.path_at..).unwrap_or_default()
    }

    /// Whether the issuer is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The URL of an endpoint below the issuer.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Whether a host, as written in a URL, is this machine.
fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Parses a URL that is safe for keys: https, or http for this machine, without query, fragment and user.
///
/// # Errors
/// A text with the problem.
pub fn secure_url(url: &str) -> Result<http::Uri, String> {
    let uri: http::Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("is not a URL with a host")?;
    // The text and not the parsed scheme: an issuer is compared byte for byte, and `HTTP://` is another one.
    let secure = url.starts_with("https://") || (is_loopback(host) && url.starts_with("http://"));
    if !secure {
        return Err("must start with https:// (http:// only for localhost)".to_owned());
    }
    if url.contains(['?', '#']) || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must have no query, fragment or user".to_owned());
    }
    Ok(uri)
}
