//! Which authorizer a route has, and where the authorizer finds the identity of a caller.

use crate::request::Incoming;
use std::time::Duration;

/// Where an authorizer finds the caller's identity. When one is missing, the response is 401 and the authorizer is not called.
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
    /// Whether the function may answer `{"isAuthorized": true}`; otherwise only with an IAM policy.
    pub simple_responses: bool,
    /// All of these must be there, and results are cached under their values.
    pub identity: Vec<IdentitySource>,
    /// How long a result is cached; zero for not at all.
    pub ttl: Duration,
}

impl Authorizer {
    /// The values of all identity sources; `None` when one is missing or empty.
    pub(crate) fn identity_of(&self, request: &Incoming) -> Option<Vec<String>> {
        let value = |source: &IdentitySource| match source {
            IdentitySource::Header(name) => request.header(name),
            IdentitySource::Query(name) => request.query_parameter(name),
        };
        self.identity.iter().map(|source| value(source).filter(|value| !value.is_empty())).collect()
    }
}
