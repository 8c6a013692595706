//! The issuer identifier, and the URLs that keys and revocations come from.

/// The issuer identifier: an https URL without query, fragment or trailing slash (RFC 8414 §2), compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    url: String,
    path_at: usize,
}

impl Issuer {
    /// Reads an issuer. `http` is taken for loopback hosts, so that it all runs on a laptop.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(url: &str) -> Result<Self, String> {
        secure_url(url)?;
        if url.ends_with('/') {
            return Err("must not end with a slash".to_owned());
        }
        let authority_at = url.find("://").map_or(0, |at| at + 3);
        let path_at =
            url.get(authority_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| authority_at + at);
        Ok(Self { url: url.to_owned(), path_at })
    }

    /// The identifier, exactly as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The path of the identifier: empty, or starting with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.get(self.path_at..).unwrap_or_default()
    }

    /// Whether it is a stack on this machine, as only `http` tells.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.url.starts_with("http://")
    }

    /// The URL of an endpoint below the issuer.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Reads a URL that is good for keys and names: https, or http on this machine, and nothing behind the path.
///
/// # Errors
/// With what is wrong: another scheme, no host, or http for a host that is not this machine.
pub fn secure_url(url: &str) -> Result<http::Uri, String> {
    let uri: http::Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("is not a URL with a host")?;
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    // The text and not the parsed scheme: an issuer is compared byte for byte, and `HTTP://` is another one.
    let secure = url.starts_with("https://") || (loopback && url.starts_with("http://"));
    if !secure {
        return Err("must start with https:// (http:// only for localhost)".to_owned());
    }
    if url.contains(['?', '#']) || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must have no query, fragment or user".to_owned());
    }
    Ok(uri)
}
