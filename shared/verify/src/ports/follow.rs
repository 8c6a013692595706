//! The port to the revocation list.

use crate::ports::context::{Caller, Context};
use crate::revocation::Lookup;
use std::future::{Future, ready};

/// A source that knows which sessions have ended.
pub trait Follow: Send + Sync {
    /// Prepares the source before the first request.
    fn prepare(&self, context: &Context) -> impl Future<Output = ()> + Send;

    /// Looks up the session of a verified token.
    fn lookup(&self, sid: &str, context: &Context, caller: &Caller) -> impl Future<Output = Lookup> + Send;
}

/// No revocation list: an access token is valid until it expires.
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
