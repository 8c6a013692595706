//! Authorizers and their identity sources.

use crate::request::Incoming;
use std::time::Duration;

/// Source of the caller's identity. If one is missing, the response is 401 and the authorizer is not invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// The header of this name (`$request.header.NAME`).
    Header(String),
    /// The query parameter of this name (`$request.querystring.NAME`).
    Query(String),
}

/// A Lambda authorizer, payload format 2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorizer {
    /// The name of the function.
    pub function: String,
    /// Whether the function may answer `{"isAuthorized": true}` instead of an IAM policy.
    pub simple_responses: bool,
    /// Required identity sources. Their values are the cache key.
    pub identity: Vec<IdentitySource>,
    /// Cache time of a result; zero disables the cache.
    pub ttl: Duration,
}

impl Authorizer {
    /// Values of all identity sources; `None` if one is missing or empty.
    pub(crate) fn identity_of(&self, request: &Incoming) -> Option<Vec<String>> {
        let value = |source: &IdentitySource| match source {
            IdentitySource::Header(name) => request.header(name),
            IdentitySource::Query(name) => request.query_parameter(name),
        };
        self.identity.iter().map(|source| value(source).filter(|value| !value.is_empty())).collect()
    }
}
