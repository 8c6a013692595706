//! Programs in Go, with the modules of their `go.sum`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::prerequisites::GO;
use crate::process::run_quietly;
use crate::target_dir;

/// Builds the Go program in `project`, and returns its path `target/tools/NAME`. Go keeps modules and build results in
/// the user's caches.
///
/// # Errors
/// Go is missing or older than `go.mod` requires, a module differs from `go.sum`, or the build fails.
pub fn go_program(name: &str, project: &Path) -> Result<PathBuf> {
    GO.check()?;
    let program = target_dir().join("tools").join(name);
    run_quietly(
        "go",
        Command::new("go")
            // Override the user's settings: use the modules of go.sum, and download no other version of Go.
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .args(["build", "-buildvcs=false", "-trimpath", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(project),
    )?;
    Ok(program)
}
