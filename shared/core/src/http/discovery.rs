//! Discovery: the public documents for verifiers and OAuth clients.

use crate::http::answer::{Response, cacheable, not_found, refusal};
use crate::http::error::ApiError;
use crate::http::request::Request;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::jose::jwk::{Algorithm, Jwks, JwksError};
use serde::Serialize;
use std::collections::BTreeSet;

/// How long verifiers may keep the key set, in seconds. A key is published for hours before its first use, so this matters only
/// for a key that an emergency withdraws.
pub const JWKS_MAX_AGE: u32 = 300;

/// How long clients may keep the metadata, in seconds. It changes only with a deployment.
pub const METADATA_MAX_AGE: u32 = 3600;

/// The algorithms of client assertions.
const ASSERTION_ALGORITHMS: [&str; 3] =
    [Algorithm::Es256.as_str(), Algorithm::EdDsa.as_str(), Algorithm::Rs256.as_str()];

/// The well-known documents, serialised when the keys are read.
#[derive(Debug)]
pub struct Discovery {
    jwks: Vec<u8>,
    metadata: Vec<u8>,
    /// The path of the issuer, which RFC 8414 §3.1 appends to the name of the document.
    issuer_path: String,
}

/// Authorization server metadata (RFC 8414 §2). It serves as OpenID discovery as well, which the JWT authorizers of API Gateway
/// and token libraries read. It lists no authorization endpoint and no ID tokens, because Daypass has none.
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    jwks_uri: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    grant_types_supported: [&'a str; 2],
    token_endpoint_auth_methods_supported: [&'a str; 3],
    token_endpoint_auth_signing_alg_values_supported: [&'a str; 3],
    introspection_endpoint_auth_methods_supported: [&'a str; 2],
    introspection_endpoint_auth_signing_alg_values_supported: [&'a str; 3],
    revocation_endpoint_auth_methods_supported: [&'a str; 1],
    /// Required by both specifications; empty without an authorization endpoint.
    response_types_supported: [&'a str; 0],
    subject_types_supported: [&'a str; 1],
    /// Required by OpenID Connect Discovery §3: the algorithms of the keys at `jwks_uri`.
    id_token_signing_alg_values_supported: BTreeSet<&'a str>,
}

impl Discovery {
    /// Serialises the documents.
    ///
    /// # Errors
    /// [`JwksError`] when they cannot be written as JSON, which no configuration causes.
    pub fn new(issuer: &Issuer, jwks: &Jwks) -> Result<Self, JwksError> {
        let metadata = Metadata {
            issuer: issuer.as_str(),
            jwks_uri: issuer.endpoint("/.well-known/jwks.json"),
            token_endpoint: issuer.endpoint("/token"),
            revocation_endpoint: issuer.endpoint("/revoke"),
            introspection_endpoint: issuer.endpoint("/introspect"),
            grant_types_supported: ["refresh_token", "client_credentials"],
            // `none` is for the applications of users, and the others are for machine clients.
            token_endpoint_auth_methods_supported: ["none", "private_key_jwt", "client_secret_basic"],
            token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            introspection_endpoint_auth_methods_supported: ["private_key_jwt", "client_secret_basic"],
            introspection_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
            revocation_endpoint_auth_methods_supported: ["none"],
            response_types_supported: [],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: jwks
                .iter()
                .map(|jwk| Algorithm::as_str(jwk.algorithm()))
                .collect(),
        };
        Ok(Self {
            jwks: jwks.to_json()?.into_bytes(),
            metadata: serde_json::to_vec(&metadata).unwrap_or_default(),
            issuer_path: issuer.path().to_owned(),
        })
    }

    /// The response to a request for one of the documents. Host and forwarding headers are ignored.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        if !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
            return refusal(&ApiError::MethodNotAllowed("GET, HEAD"));
        }
        // The part before is a stage or the base path of a custom domain.
        let document = request.uri().path().split_once("/.well-known/").map(|(_, document)| document);
        let mut response = match document {
            Some("jwks.json") => cacheable(self.jwks.clone(), JWKS_MAX_AGE),
            Some("openid-configuration") => cacheable(self.metadata.clone(), METADATA_MAX_AGE),
            Some(document) if self.is_rfc8414(document) => cacheable(self.metadata.clone(), METADATA_MAX_AGE),
            _ => not_found(),
        };
        if request.method() == http::Method::HEAD {
            response.body_mut().clear();
        }
        response
    }

    fn is_rfc8414(&self, document: &str) -> bool {
        document
            .strip_prefix("oauth-authorization-server")
            .is_some_and(|rest| rest.is_empty() || rest == self.issuer_path)
    }
}
