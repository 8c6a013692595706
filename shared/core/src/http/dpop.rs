//! DPoP at the endpoints that issue tokens (RFC 9449 §5): the key of a request, and the nonce for the next one.

use crate::flow::issue::TokenIssuer;
use crate::http::answer::Response;
use crate::http::error::ApiError;
use crate::http::request::Request;
use crate::token::nonce;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::{Proof, ProofFault, Proven, Thumbprint};
use http::HeaderValue;

/// The header of a proof (RFC 9449 §4.1).
const PROOF: &str = "dpop";

/// The header of a nonce (RFC 9449 §8).
const NONCE: &str = "dpop-nonce";

/// Checks the proofs of requests to one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Proofs<'a> {
    /// The keys of nonces, and the issuer that URLs begin with.
    pub issuer: &'a TokenIssuer,
    /// Further base URLs through which clients call the issuer.
    pub origins: &'a [String],
    /// The time of the request.
    pub now: Timestamp,
}

impl Proofs<'_> {
    /// The key of the request's proof; `None` without a proof.
    ///
    /// # Errors
    /// [`ApiError::InvalidProof`], and [`ApiError::NonceNeeded`] for a good proof without a valid nonce.
    pub(crate) fn key_of(&self, request: &Request) -> Result<Option<Thumbprint>, ApiError> {
        let mut values = request.headers().get_all(PROOF).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let proof = value.to_str().ok().filter(|_| values.next().is_none());
        let signer = &self.issuer.signer;
        let path = endpoint(request.uri().path());
        let origins = self.origins.iter().map(String::as_str);
        let urls: Vec<String> = std::iter::once(signer.issuer.as_str())
            .chain(origins)
            .map(|origin| format!("{origin}{path}"))
            .collect();
        let proven = Proven { method: request.method().as_str(), urls: &urls, token: None };
        let proof = proof
            .ok_or(ProofFault::ProofRepeated)
            .and_then(|proof| Proof::verify(proof, &proven, self.now))
            .map_err(|fault| ApiError::InvalidProof(text(fault)))?;
        let is_valid =
            |nonce: &String| nonce::is_valid(nonce, &self.issuer.refresh_keys, &signer.issuer, self.now);
        if proof.nonce.as_ref().is_some_and(is_valid) {
            Ok(Some(proof.key))
        } else {
            Err(ApiError::NonceNeeded)
        }
    }

    /// Adds the nonce for the next proof, if the request `has_proof`.
    #[must_use]
    pub fn with_nonce(&self, mut response: Response, has_proof: bool) -> Response {
        if has_proof {
            let nonce = nonce::current(&self.issuer.refresh_keys, &self.issuer.signer.issuer, self.now);
            if let Ok(nonce) = HeaderValue::from_str(&nonce) {
                response.headers_mut().insert(NONCE, nonce);
            }
        }
        response
    }
}

/// Whether the request has a proof, valid or not.
#[must_use]
pub fn has_proof(request: &Request) -> bool {
    request.headers().contains_key(PROOF)
}

/// The path of an endpoint without the segments before, which are a stage or the base path of a custom domain.
fn endpoint(path: &str) -> &str {
    const ENDPOINTS: [&str; 5] = ["/login/factor", "/login/passkey", "/login", "/refresh", "/token"];
    ENDPOINTS.into_iter().find(|endpoint| path.ends_with(endpoint)).unwrap_or(path)
}

/// What a client reads about its proof.
const fn text(fault: ProofFault) -> &'static str {
    match fault {
        ProofFault::ProofMissing => "The request has no DPoP proof, and it needs one.",
        ProofFault::ProofRepeated => "The request has more than one DPoP header, or one that is not text.",
        ProofFault::ProofMalformed => {
            "The DPoP proof is not a compact JWT with jti, htm, htu and iat, or is longer than 4096 characters."
        }
        ProofFault::ProofWrongType => "The typ of the DPoP proof is not dpop+jwt.",
        ProofFault::ProofWrongAlgorithm => {
            "The alg of the DPoP proof is not ES256, EdDSA, Ed25519 or RS256, or does not fit its jwk."
        }
        ProofFault::ProofWrongKeyType => {
            "The jwk of the DPoP proof is not a public P-256, Ed25519 or RSA key."
        }
        ProofFault::ProofPrivateKey => {
            "The jwk of the DPoP proof has a private key. Send the public key alone, and replace this key."
        }
        ProofFault::ProofBadSignature => "The signature of the DPoP proof is not by the key in its jwk.",
        ProofFault::ProofWrongMethod => "The htm of the DPoP proof is not the method of the request.",
        ProofFault::ProofWrongUrl => {
            "The htu of the DPoP proof is not the URL of this endpoint in the metadata of the issuer."
        }
        ProofFault::ProofTooOld => {
            "The iat of the DPoP proof is more than 10 s ago: check the clock of the client."
        }
        ProofFault::ProofFromTheFuture => {
            "The iat of the DPoP proof is more than 10 s in the future: check the clock of the client."
        }
        // No endpoint that issues tokens finds these faults.
        ProofFault::ProofNotInEvent
        | ProofFault::ProofOtherToken
        | ProofFault::ProofOtherKey
        | ProofFault::ProofReplayed => "The DPoP proof is not valid.",
    }
}
