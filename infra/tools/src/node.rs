//! What tests in Node.js need: itself, packages from npm, and for those in a real browser a Chromium of this machine, which
//! Playwright drives.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::install::ensure;
use crate::paths::{files, read};
use crate::prerequisites::{NODE, NPM};
use crate::process::run_quietly;
use crate::workspace_root;

/// The names of Chromium on the `PATH`.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Installs Playwright when it is missing, and returns the folder that has it in its `node_modules`. The package contains
/// no browser.
///
/// # Errors
/// When Node.js or npm is missing or too old, or the installation fails.
pub fn playwright() -> Result<PathBuf> {
    packages()
}

/// Installs aws-jwt-verify when it is missing, and returns the folder that has it in its `node_modules`.
///
/// # Errors
/// As [`playwright`].
pub fn aws_jwt_verify() -> Result<PathBuf> {
    packages()
}

/// Installs the TypeScript compiler when it is missing, and returns its script, which Node.js runs.
///
/// # Errors
/// As [`playwright`].
pub fn tsc() -> Result<PathBuf> {
    Ok(packages()?.join("node_modules/typescript/bin/tsc"))
}

/// All packages from npm that are tools.
pub(crate) fn packages() -> Result<PathBuf> {
    npm_packages("node", &workspace_root().join("infra/tools/node"))
}

/// Installs the packages that the `package-lock.json` in `project` pins, and returns the folder that has them in its
/// `node_modules`: `target/tools/NAME`. Node.js looks for packages beside the program that imports them. The function
/// therefore copies the programs of the project to that folder.
///
/// # Errors
/// As [`playwright`].
pub fn npm_packages(name: &str, project: &Path) -> Result<PathBuf> {
    let (manifest, lock) = (project.join("package.json"), project.join("package-lock.json"));
    let folder = ensure(name, &format!("{}{}", read(&manifest)?, read(&lock)?), |folder| {
        NODE.check()?;
        NPM.check()?;
        copy(&manifest, folder)?;
        copy(&lock, folder)?;
        run_quietly("npm", &mut npm("ci", folder))
    })?;
    for program in files(project, "mjs")? {
        copy(&program, &folder)?;
    }
    Ok(folder)
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, to).with_context(|| format!("could not copy {}", file.display()))?;
    Ok(())
}

/// npm in that folder. Scripts of packages do not run: they could download what no lock file pins.
pub(crate) fn npm(subcommand: &str, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args([subcommand, "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
    command
}

/// `node`, without the user's `NODE_OPTIONS`.
///
/// # Errors
/// When it is missing or too old.
pub fn node() -> Result<Command> {
    NODE.check()?;
    let mut command = Command::new("node");
    command.env_remove("NODE_OPTIONS");
    Ok(command)
}

/// The Chromium to test with: the variable `CHROMIUM`, or the first of its usual names in the `PATH`.
///
/// # Errors
/// When there is none; the error says how to install one.
pub fn chromium() -> Result<PathBuf> {
    find_chromium(env::var_os("CHROMIUM"), &env::var_os("PATH").unwrap_or_default())
}

fn find_chromium(chosen: Option<OsString>, search_path: &OsStr) -> Result<PathBuf> {
    if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
        let path = PathBuf::from(chosen);
        if !path.is_file() {
            bail!("CHROMIUM names {}, which is no program: correct it", path.display());
        }
        return Ok(path);
    }
    let candidates =
        NAMES.iter().flat_map(|name| env::split_paths(search_path).map(move |dir| dir.join(name)));
    candidates.into_iter().find(|path: &PathBuf| Path::is_file(path)).ok_or_else(|| {
        anyhow!(
            "no Chromium was found: install one (`apt-get install chromium`, or Google Chrome), or name it in the \
             variable CHROMIUM"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chromium_is_the_chosen_one_or_the_first_in_the_path() {
        let folder = crate::target_dir().join("tmp").join(format!("chromium-{}", std::process::id()));
        let (first, second) = (folder.join("1"), folder.join("2"));
        for (dir, name) in [(&first, "google-chrome"), (&second, "chromium"), (&second, "mine")] {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join(name), "").unwrap();
        }
        let path = env::join_paths([&first, &second]).unwrap();
        assert_eq!(find_chromium(None, &path).unwrap(), second.join("chromium"));
        assert_eq!(find_chromium(Some(OsString::new()), &path).unwrap(), second.join("chromium"));
        assert_eq!(find_chromium(None, first.as_os_str()).unwrap(), first.join("google-chrome"));
        let mine = second.join("mine");
        assert_eq!(find_chromium(Some(mine.clone().into()), OsStr::new("")).unwrap(), mine);
        let none = find_chromium(None, folder.as_os_str()).unwrap_err().to_string();
        assert!(none.contains("apt-get install chromium") && !none.contains('\n'), "{none}");
        let wrong = find_chromium(Some(folder.clone().into()), &path).unwrap_err().to_string();
        assert!(wrong.starts_with("CHROMIUM names "), "{wrong}");
        fs::remove_dir_all(folder).unwrap();
    }
}
