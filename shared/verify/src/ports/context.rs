//! What the code that answers a request is given of the world, and of the request.

use super::event::Event;
use super::journal::Journal;
use crate::base::entropy::Entropy;
use crate::base::time::Clock;
use std::net::IpAddr;

/// Time, randomness and the log, into which events of the type `E` go.
pub struct Context<E = Event> {
    /// The time.
    pub clock: Box<dyn Clock>,
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// The log.
    pub journal: Box<dyn Journal<E>>,
}

/// Who sent a request, as API Gateway's own context or a trusted proxy tells it: never from a header that the caller can write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The gateway's id of the request.
    pub request_id: String,
    /// The address that the connection came from.
    pub source_ip: Option<IpAddr>,
    /// What the device calls itself. Written by the caller: a hint for the user's own list of sessions, nothing more.
    pub user_agent: Option<String>,
}
