//! The integration tests of the workspace, in one binary.
//!
//! The modules here need no other program than Cargo. The modules of [`suites`] need a server, a browser or the built
//! functions, which `cargo verify` provides. Each of them is a step of it. CONTRIBUTING.md explains where to put a new
//! test.

mod accounts;
mod admin;
mod boundaries;
mod claims;
mod cookie;
mod deploy;
mod device;
mod docs;
mod dpop;
mod embedded;
mod events;
mod expiry;
mod factors;
mod flows;
mod imports;
mod machines;
mod migration;
mod model;
mod openapi;
mod oracle;
mod overdue;
mod passkeys;
mod password;
mod proxy;
mod reauthentication;
mod release;
mod replacement;
mod requests;
mod revocations;
mod scale;
mod sessions;
mod store_contract;
mod suites;
mod template;
mod throttle;
mod upgrades;
mod vault;
