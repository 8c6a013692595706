//! Programs in Go, built with the modules that their `go.sum` pins.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::run_quietly;
use crate::target_dir;

/// What the `go.mod` of `tests/interop/go` asks for.
const OLDEST_GO: u32 = 25;
const GET_GO: &str = "install Go 1.25 or later";

/// Builds the Go program in `project`, and returns it: `target/tools/NAME`. Go itself knows what is built already, and keeps
/// modules in the caches of the user, as Cargo does.
///
/// # Errors
/// When Go is missing or too old, a module cannot be fetched or is another than `go.sum` says, or it does not compile.
pub fn go_program(name: &str, project: &Path) -> Result<PathBuf> {
    let output = Command::new("go")
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .output()
        .with_context(|| format!("`go` is needed to build {name}: {GET_GO}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if minor(&version).is_none_or(|minor| minor < OLDEST_GO) {
        bail!("`go` is {version:?}, which is too old to build {name}: {GET_GO}");
    }
    let program = target_dir().join("tools").join(name);
    run_quietly(
        "go",
        Command::new("go")
            // Whatever a developer has set for other projects: the modules of go.sum, and no other version of Go is fetched.
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

/// The 25 of `go version go1.25.3 linux/amd64`.
fn minor(version: &str) -> Option<u32> {
    let number = version.strip_prefix("go version go1.")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(minor("go version go1.25.3 linux/amd64"), Some(25));
        assert_eq!(minor("go version go1.26rc1 linux/amd64"), Some(26));
        assert_eq!(minor("go version go1.26 darwin/arm64"), Some(26));
        assert_eq!(minor("go version devel go1.27"), None);
        assert_eq!(minor(""), None);
    }

    #[test]
    fn the_oldest_go_is_what_the_module_asks_for() {
        let module = crate::workspace_root().join("tests/interop/go/go.mod");
        let module = crate::paths::read(&module).unwrap();
        assert!(module.contains(&format!("\ngo 1.{OLDEST_GO}.0\n")), "{module}");
        assert!(GET_GO.contains(&format!("1.{OLDEST_GO} ")));
    }
}
