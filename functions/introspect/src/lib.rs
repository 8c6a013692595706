//! `POST /introspect` (RFC 7662): a resource server asks whether an access token is active.

use daypass_core::flow::introspect::{Introspect, IntrospectRequest};
use daypass_core::http::answer::{Response, record, refuse, respond};
use daypass_core::http::request::{Request, caller_of};
use daypass_core::ports::store::{MachineStore, SessionStore};

/// Answers an introspection. No page of a browser calls this, so there is no CORS.
pub async fn handle<S>(introspect: &Introspect<S>, mut request: Request) -> Response
where
    S: SessionStore + MachineStore,
{
    let caller = caller_of(&request);
    match IntrospectRequest::parse(&mut request) {
        Ok(parsed) => respond(record(introspect.run(parsed).await, &introspect.context, &caller)),
        Err(error) => refuse(&introspect.context, error, &caller),
    }
}
