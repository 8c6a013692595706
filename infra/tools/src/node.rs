//! Node.js, packages from npm, and Chromium for Playwright.

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

/// Names of Chromium on the `PATH`.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Installs Playwright if it is missing, and returns the folder with its `node_modules`. The package contains no
/// browser.
///
/// # Errors
/// Node.js or npm is missing or too old, or the installation fails.
pub fn playwright() -> Result<PathBuf> {
    packages()
}

/// Installs aws-jwt-verify if it is missing, and returns the folder with its `node_modules`.
///
/// # Errors
/// As [`playwright`].
pub fn aws_jwt_verify() -> Result<PathBuf> {
    packages()
}

/// Installs the simulator of IAM policies if it is missing, and returns the folder with its `node_modules`.
///
/// # Errors
/// As [`playwright`].
pub fn iam_simulate() -> Result<PathBuf> {
    packages()
}

/// Installs the TypeScript compiler if it is missing, and returns its script for Node.js.
///
/// # Errors
/// As [`playwright`].
pub fn tsc() -> Result<PathBuf> {
    Ok(packages()?.join("node_modules/typescript/bin/tsc"))
}

/// All tools from npm.
pub(crate) fn packages() -> Result<PathBuf> {
    npm_packages("node", &workspace_root().join("infra/tools/node"))
}

/// Installs the packages of `package-lock.json` in `project`, and returns the folder with their `node_modules`:
/// `target/tools/NAME`. Node.js searches packages beside the importing program, so the function copies the programs of
/// the project to that folder.
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

/// npm in that folder. Scripts of packages do not run, because they could download unpinned files.
pub(crate) fn npm(subcommand: &str, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args([subcommand, "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
    command
}

/// `node`, without the user's `NODE_OPTIONS`.
///
/// # Errors
/// It is missing or too old.
pub fn node() -> Result<Command> {
    NODE.check()?;
    let mut command = Command::new("node");
    command.env_remove("NODE_OPTIONS");
    Ok(command)
}

/// Chromium for tests: the variable `CHROMIUM`, or the first known name on the `PATH`.
///
/// # Errors
/// Chromium is missing. The error explains how to install it.
pub fn chromium() -> Result<PathBuf> {
    find_chromium(env::var_os("CHROMIUM"), &env::var_os("PATH").unwrap_or_default())
}

/// Debian's `chromium-headless-shell`, if it is on the `PATH` and the variable `CHROMIUM` chooses no browser. It has Chromium's engine
/// and no interface.
#[must_use]
pub fn headless_shell() -> Option<PathBuf> {
    if env::var_os("CHROMIUM").is_some_and(|chosen| !chosen.is_empty()) {
        return None;
    }
    find_program(&["chromium-headless-shell"], &env::var_os("PATH").unwrap_or_default())
}

fn find_program(names: &[&str], search_path: &OsStr) -> Option<PathBuf> {
    let mut candidates =
        names.iter().flat_map(|name| env::split_paths(search_path).map(move |dir| dir.join(name)));
    candidates.find(|path| path.is_file())
}

fn find_chromium(chosen: Option<OsString>, search_path: &OsStr) -> Result<PathBuf> {
    if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
        let path = PathBuf::from(chosen);
        if !path.is_file() {
            bail!("CHROMIUM names {}, which is not a program: correct it", path.display());
        }
        return Ok(path);
    }
    find_program(&NAMES, search_path).ok_or_else(|| {
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
