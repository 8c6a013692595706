//! Programs in Rust outside the workspace, with the crates of their `Cargo.lock`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::{cargo, run_quietly};
use crate::target_dir;

/// Builds the Rust programs in `project`, and returns their folder below `target/tools/NAME`.
///
/// # Errors
/// The lock file is out of date, a crate cannot be fetched, or the build fails.
pub fn rust_programs(name: &str, project: &Path) -> Result<PathBuf> {
    let built = target_dir().join("tools").join(name);
    let mut build = cargo();
    build.args(["build", "--locked", "--target-dir"]).arg(&built).current_dir(project);
    run_quietly("cargo", &mut build)?;
    Ok(built.join("debug"))
}
