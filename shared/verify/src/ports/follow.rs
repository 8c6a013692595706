//! The port through which the authorizer asks whether a session has ended.

use crate::ports::context::{Caller, Context};
use crate::revocation::Lookup;
use std::future::{Future, ready};

/// What knows which sessions have ended.
pub trait Follow: Send + Sync {
    /// Learns what has to be known before the first answer.
    fn prepare(&self, context: &Context) -> impl Future<Output = ()> + Send;

    /// Whether the session of a good token has ended.
    fn lookup(&self, sid: &str, context: &Context, caller: &Caller) -> impl Future<Output = Lookup> + Send;
}

/// Nobody asks: an access token is good until it expires.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotFollowed;

impl Follow for NotFollowed {
    fn prepare(&self, _: &Context) -> impl Future<Output = ()> + Send {
        ready(())
    }

    #[inline]
    fn lookup(&self, _: &str, _: &Context, _: &Caller) -> impl Future<Output = Lookup> + Send {
        ready(Lookup::Live)
    }
}
