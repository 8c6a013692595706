//! The rehearsal: Daypass is deployed, and the tests call it through API Gateway by HTTP alone.
//!
//! `cargo verify --only rehearsal` (or `cargo rehearse`) deploys `template.yaml` and the examples to an emulated AWS and
//! runs this suite there. With `DAYPASS_URL`, nothing is deployed, and the suite calls that stage. The suite reads these
//! variables:
//!
//! - `DAYPASS_URL`: URL of the endpoints, the output `ApiUrl` of the stack;
//! - `DAYPASS_USERNAME`, `DAYPASS_PASSWORD`: a user with exactly the scope `orders:read profile`;
//! - `DAYPASS_APIS`: the guarded APIs, one per line with kind, seconds of the cache, and URL. The output `Apis` of
//!   `infra/rehearsal/apis.yaml` and of `infra/examples/guarded-api` has these lines;
//! - `DAYPASS_REVOCATIONS_SECONDS`: the interval at which all of these authorizers poll the revocation feed. Without it,
//!   none of them may follow a feed;
//! - `DAYPASS_ROTATE`: a command that rotates the keys of the stage once, with one argument per line.
//! - `DAYPASS_CLIENT`, `DAYPASS_INTROSPECTING_CLIENT`: id and secret of a machine client, with a colon between them. The second
//!   may introspect.
//! - `DAYPASS_REVOKE_CLIENT`: a command that revokes the first of them, with one argument per line.
//!   `DAYPASS_PUBLISHED_SECONDS`: how long a key is published there before it is used. For the module `rotation`;
//! - `DAYPASS_STEP_UP_USERNAME`: another user with this password and scope, who enrols a second factor. For the module `step_up`;
//! - `DAYPASS_MAILS`: the URL of the mails that SES of MiniStack got. For the module `mails`;
//! - `DAYPASS_EMULATED=true`: the stage is MiniStack. Tests use this only where MiniStack differs from AWS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it measures"
)]

mod bound;
mod caches;
mod called_back;
mod endpoints;
mod guards;
mod machines;
mod mails;
mod native;
mod rotation;
mod stage;
mod step_up;
mod window;
