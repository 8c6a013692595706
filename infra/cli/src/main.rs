//! The `daypass` command: see the library for what it does.

use daypass_cli::{Environment, start};
use std::process::ExitCode;

fn main() -> ExitCode {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the environment of the process comes in"
    )]
    let lookup = |name: &str| std::env::var(name).ok();
    let folder = std::env::current_dir().unwrap_or_default();
    start(&Environment::new(&lookup, folder))
}
