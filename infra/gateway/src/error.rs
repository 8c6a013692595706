//! What is wrong with a route, an authorizer or a guard.

use std::fmt;

/// A route or an authorizer that cannot be used. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError(pub(crate) String);

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RouteError {}
