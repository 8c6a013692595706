//! What a flow records when it fails, and what the caller is told of that.

use crate::flow::error::ApiError;
use crate::keys::KeyError;
use crate::ports::context::{Context, Principal};
use crate::ports::event::Event;
use crate::ports::store::StoreError;
use daypass_verifier::ports::context::Caller;

/// What the flows record on failures.
pub(crate) trait Report {
    /// Fails closed: a route that was deployed without its authorizer would let everybody in.
    ///
    /// # Errors
    /// `invalid_token` when no authorizer has let the caller through.
    fn guarded(&self, principal: Option<Principal>, caller: &Caller) -> Result<Principal, ApiError>;

    /// Records that a request was refused before anything was looked up, and gives the error back.
    fn refused(&self, error: ApiError, caller: &Caller) -> ApiError;

    /// Records that the store failed, and returns what the caller is told of it.
    fn store_failed(&self, during: &'static str, error: &StoreError, caller: &Caller) -> ApiError;

    /// Records that no token could be signed, and returns what the caller is told of it.
    fn signing_failed(&self, error: &KeyError, caller: &Caller) -> ApiError;
}

impl Report for Context {
    fn guarded(&self, principal: Option<Principal>, caller: &Caller) -> Result<Principal, ApiError> {
        principal.ok_or_else(|| {
            let detail = "the request context names no user and session of ours: put the authorizer of Daypass in front \
                          of this route";
            let event = Event::Failure { during: "authorize", detail: detail.to_owned() };
            self.journal.record(&event, caller);
            ApiError::InvalidToken
        })
    }

    fn refused(&self, error: ApiError, caller: &Caller) -> ApiError {
        let (code, description) = error.text();
        self.journal.record(&Event::RequestRefused { error: code, description }, caller);
        error
    }

    fn store_failed(&self, during: &'static str, error: &StoreError, caller: &Caller) -> ApiError {
        self.journal.record(&Event::Failure { during, detail: error.to_string() }, caller);
        ApiError::from(error)
    }

    fn signing_failed(&self, error: &KeyError, caller: &Caller) -> ApiError {
        self.journal.record(&Event::Failure { during: "sign", detail: error.to_string() }, caller);
        ApiError::ServerError
    }
}
