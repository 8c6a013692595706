//! Errors of routes, authorizers and guards.

/// An invalid route, authorizer or guard. The text names what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(pub(crate) String);
