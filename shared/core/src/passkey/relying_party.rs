//! The relying party: the domain that passkeys belong to, and the origins of the pages that may use them.

use aws_lc_rs::digest;
use daypass_verifier::base::digest::prefix;

/// The domain of the passkeys, and the origins of the pages and apps that may use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    id_hash: [u8; 32],
    origins: Vec<String>,
}

/// Most origins of a relying party.
const MAX_ORIGINS: usize = 20;

/// What an Android app has in place of an origin: the digest of its signing certificate.
const ANDROID: &str = "android:apk-key-hash:";

impl RelyingParty {
    /// The relying party of this domain. `origins` are separated by spaces; without one, it is the `https` origin of the domain.
    ///
    /// Browsers refuse an origin that does not belong to the domain, so an error of the configuration shows here first. Whether
    /// the domain is a public suffix, such as `co.uk`, is not known here.
    ///
    /// # Errors
    /// A text that describes the problem.
    pub fn parse(id: &str, origins: &str) -> Result<Self, String> {
        if !is_domain(id) {
            return Err(format!("is not a domain in lower case, such as example.com: {id}"));
        }
        let origins: Vec<String> = origins.split_whitespace().map(str::to_owned).collect();
        if origins.len() > MAX_ORIGINS {
            return Err(format!("has more than {MAX_ORIGINS} origins"));
        }
        if let Some(wrong) = origins.iter().find(|origin| !is_origin_of(origin, id)) {
            return Err(format!("{wrong} is not an origin of {id}, such as https://app.{id}"));
        }
        let origins = if origins.is_empty() { vec![format!("https://{id}")] } else { origins };
        let id_hash = prefix(digest::digest(&digest::SHA256, id.as_bytes()).as_ref());
        Ok(Self { id: id.to_owned(), id_hash, origins })
    }

    /// The domain, which is the relying party's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SHA-256 of the id.
    pub(super) const fn id_hash(&self) -> &[u8; 32] {
        &self.id_hash
    }

    /// Whether pages of this origin may use the passkeys. The texts are compared byte for byte: browsers write an origin in one
    /// form (section 5.8.1).
    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}

/// Whether this is a domain of at least two labels, or `localhost`, and no address.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, last)) = text.rsplit_once('.') else { return text == "localhost" };
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a page of this origin may use passkeys of the domain (section 5.1.3): over TLS, or on this machine.
fn is_origin_of(origin: &str, id: &str) -> bool {
    if let Some(digest) = origin.strip_prefix(ANDROID) {
        return digest.len() == 43 && digest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    }
    let (scheme, rest) = origin.split_once("://").unwrap_or_default();
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    // A port in its one form; an origin does not have the default port of its scheme.
    let default = if scheme == "https" { 443 } else { 80 };
    let has_port = |port: &str| {
        port.parse::<u16>().is_ok_and(|number| number != default && number > 0 && number.to_string() == port)
    };
    let of_id = host == id || host.strip_suffix(id).is_some_and(|sub| sub.ends_with('.'));
    let is_local = host == "localhost" || host.ends_with(".localhost");
    is_domain_or_local(host)
        && of_id
        && port.is_none_or(has_port)
        && (scheme == "https" || (scheme == "http" && is_local))
}

fn is_domain_or_local(host: &str) -> bool {
    host == "localhost" || is_domain(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, origins: &str, valid: bool) {
        assert_eq!(RelyingParty::parse(id, origins).is_ok(), valid, "{id} {origins}");
    }

    #[test]
    fn ids_are_domains() {
        for good in ["example.com", "id.example.co.uk", "localhost", "xn--bcher-kva.example", "1.example"] {
            check(good, "", true);
        }
        let long = format!("{}.com", "a".repeat(64));
        for bad in [
            "",
            "com",
            "Example.com",
            "example.com.",
            ".example.com",
            "-a.com",
            "a-.com",
            "192.0.2.1",
            "[::1]",
            "https://example.com",
            "example.com:443",
            "example.com/",
            "bücher.example",
            "a b.com",
            &long,
        ] {
            check(bad, "", false);
        }
    }

    #[test]
    fn origins_belong_to_the_id() {
        let android = format!("android:apk-key-hash:{}", "A".repeat(43));
        for good in [
            "https://example.com",
            "https://app.example.com",
            "https://example.com:8443",
            "https://a.example.com https://b.example.com",
            &android,
        ] {
            check("example.com", good, true);
        }
        for bad in [
            "http://example.com",
            "https://example.org",
            "https://badexample.com",
            "https://example.com/",
            "https://example.com:443",
            "https://example.com:0443",
            "https://example.com:",
            "https://EXAMPLE.com",
            "https://user@example.com",
            "https://com",
            "http://localhost:8080",
            "example.com",
            "null",
            "*",
            "android:apk-key-hash:AAAA",
        ] {
            check("example.com", bad, false);
        }
        check("localhost", "http://localhost:8080 https://localhost:8443", true);
        check("localhost", "http://127.0.0.1:8080", false);
        check("example.com", &"https://example.com ".repeat(21), false);
    }
}
