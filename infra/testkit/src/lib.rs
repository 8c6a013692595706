//! Stand-ins for AWS in tests and `cargo dev`: an embedded DynamoDB, a Lambda service over built binaries, the Runtime
//! API of one function, a Secrets Manager, a Cognito user pool, an SES, and an account with a stack. A proxy records and
//! breaks requests to DynamoDB.
//!
//! No function links this crate. It depends on no crate of Daypass, so any crate can use it in tests.

pub mod account;
mod answer;
pub mod cognito;
pub mod depth;
pub mod embedded;
pub mod event;
pub mod event_source;
pub mod functions;
pub mod hold;
pub mod lambda;
pub mod patience;
pub mod proxy;
pub mod recorder;
pub mod runtime_api;
pub mod secrets_manager;
pub mod ses;
pub mod stream;
pub mod tls;
pub mod trips;

pub use answer::Answer;
