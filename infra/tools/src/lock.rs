//! `cargo tools lock`: writes the lock files from `*.in`, `package.json` and `pom.xml`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::node::npm;
use crate::paths::files;
use crate::process::run_quietly;
use crate::python::uv;
use crate::{dynamodb_local, maven, target_dir, workspace_root};

/// Writes all lock files. A locked version stays while its requirement permits it, unless `upgrade` is set.
///
/// The files name no registry, so each machine uses its own.
///
/// # Errors
/// A program is missing, or a requirement cannot be resolved.
pub fn lock(upgrade: bool) -> Result<()> {
    let root = workspace_root();
    let python = [
        "infra/examples/fastapi",
        "infra/examples/github-actions",
        "infra/tools/python",
        "tests/interop/python",
    ];
    for folder in python.map(|folder| root.join(folder)) {
        for requirements in files(&folder, "in")? {
            lock_python(&folder, &requirements, upgrade)?;
        }
    }
    let node = [
        "infra/browser",
        "infra/examples/cdk",
        "infra/examples/express",
        "infra/examples/serverless",
        "infra/tools/node",
        "tests/interop/node",
    ];
    for folder in node.map(|folder| root.join(folder)) {
        let subcommand = if upgrade { "update" } else { "install" };
        let arguments = ["--package-lock-only", "--omit-lockfile-registry-resolved"];
        run_quietly("npm", npm(subcommand, &folder).args(arguments))?;
    }
    let scratch = target_dir().join("tmp").join(format!("lock-{}", std::process::id()));
    maven::lock(dynamodb_local::NAME, &dynamodb_local::project(), &scratch)?;
    maven::lock("interop-java", &root.join("tests/interop/java"), &scratch)
}

fn lock_python(folder: &Path, requirements: &Path, upgrade: bool) -> Result<()> {
    let mut command = Command::new(uv()?);
    command
        // File names without folders, because the lock file repeats them.
        .current_dir(folder)
        .args(["pip", "compile", "--quiet", "--universal", "--python-version", "3.11"])
        .args(["--fork-strategy", "fewest", "--generate-hashes", "--no-header", "--no-emit-index-url"])
        .args(upgrade.then_some("--upgrade"))
        .arg("--output-file")
        .args(requirements.with_extension("txt").file_name())
        .args(requirements.file_name());
    run_quietly("uv", &mut command)
}
