//! The rehearsal: Daypass deployed, and everything asked through API Gateway by HTTP alone.
//!
//! `cargo verify --only rehearsal` (or `cargo rehearse`) deploys `template.yaml` and the examples to a local AWS and runs
//! this suite there; with `DAYPASS_URL` set it deploys nothing and the suite asks that stage. It reads:
//!
//! - `DAYPASS_URL`: where API Gateway serves the endpoints, the output `ApiUrl` of the stack;
//! - `DAYPASS_USERNAME`, `DAYPASS_PASSWORD`: a user whose scope is `orders:read profile` and nothing else;
//! - `DAYPASS_APIS`: the guarded APIs, a line for each: its kind, the seconds of its cache, its URL. The output `Apis` of
//!   `infra/rehearsal/apis.yaml` and of `infra/examples/guarded-api` has these lines;
//! - `DAYPASS_REVOCATIONS_SECONDS`: the interval at which all of those authorizers follow the revocation feed. Without it,
//!   none of them may follow one;
//! - `DAYPASS_ROTATE`: a command, an argument on each line, that rotates the keys of the stage once, and
//!   `DAYPASS_PUBLISHED_SECONDS`: how long a key is published before it is used there. For the module `rotation`;
//! - `DAYPASS_EMULATED=true`: the stage is MiniStack. Only where that deviates from AWS is it asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of a test fail as the test does, and it tells what it measures"
)]

mod caches;
mod called_back;
mod endpoints;
mod guards;
mod native;
mod rotation;
mod stage;
mod window;
