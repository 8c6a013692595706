//! DPoP proofs (RFC 9449): a request with a bound token shows that its sender has the key of the token.

use axum::extract::Request;
use axum::http::header::HeaderValue;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::{Proof, Proven, Thumbprint, WINDOW};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Checks proofs, and remembers those that this process has accepted.
pub(crate) struct Proofs {
    origins: Vec<String>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    ids: HashSet<[u8; 16]>,
    until: VecDeque<(Timestamp, [u8; 16])>,
}

impl Proofs {
    /// Checks proofs for requests to `origins`, the base URLs of this server as clients call it.
    pub(crate) fn new(origins: &str) -> Self {
        let origins = origins.split_whitespace().map(|origin| origin.trim_end_matches('/').to_owned());
        Self { origins: origins.collect(), used: Mutex::default() }
    }

    /// Whether the request has a new proof for this access token, by this key.
    pub(crate) fn accepts(&self, request: &Request, token: &str, key: Thumbprint, now: Timestamp) -> bool {
        let mut headers = request.headers().get_all("dpop").iter();
        let (Some(header), None) = (headers.next().map(HeaderValue::to_str), headers.next()) else {
            return false;
        };
        // Never from `Host`, which the client chooses.
        let path = request.uri().path();
        let urls: Vec<_> = self.origins.iter().map(|origin| format!("{origin}{path}")).collect();
        let proven = Proven { method: request.method().as_str(), urls: &urls, token: Some(token) };
        let proof = header.ok().and_then(|header| Proof::verify(header, &proven, now).ok());
        proof.is_some_and(|proof| proof.key == key && self.is_new(proof.id, now))
    }

    fn is_new(&self, id: [u8; 16], now: Timestamp) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, old)) = used.until.pop_front_if(|(until, _)| *until < now) {
            used.ids.remove(&old);
        }
        let is_new = used.ids.insert(id);
        if is_new {
            used.until.push_back((now + WINDOW * 2, id));
        }
        is_new
    }
}
