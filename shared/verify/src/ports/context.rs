//! The surroundings of a request: ports and caller.

use super::event::Event;
use super::journal::Journal;
use crate::base::entropy::Entropy;
use crate::base::time::Clock;
use std::net::IpAddr;

/// Clock, randomness and the log for events of the type `E`.
pub struct Context<E = Event> {
    /// Source of the current time.
    pub clock: Box<dyn Clock>,
    /// Source of random bytes.
    pub entropy: Box<dyn Entropy>,
    /// Log of the function.
    pub journal: Box<dyn Journal<E>>,
}

/// The caller of a request, from the context that API Gateway writes or from a trusted proxy, and never from a header that
/// the caller can write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Id that API Gateway gave the request.
    pub request_id: String,
    /// Address of the connection.
    pub source_ip: Option<IpAddr>,
    /// The `User-Agent`, which the caller chooses. It is a hint in the user's list of sessions.
    pub user_agent: Option<String>,
}
