//! What tests in Node.js need: itself, packages from npm, and for those in a real browser a Chromium of this machine, which
//! Playwright drives.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::install::ensure;
use crate::paths::read;
use crate::process::{require, run_quietly};

/// The library alone: it brings no browser along, and nothing else.
const PLAYWRIGHT: &str = "playwright-core@1.65.1";
/// What most authorizers in Node.js verify tokens with.
const AWS_JWT_VERIFY: &str = "aws-jwt-verify@5.2.1";
/// The last line that is one package of JavaScript; later ones bring a program for each kind of machine.
const TYPESCRIPT: &str = "typescript@5.9.3";
/// The first Node.js whose test runner runs files one after the other when told to.
const OLDEST_NODE: u32 = 20;
const GET_NODE: &str = "install Node.js 20 or later with npm";
/// By which names Chromium is looked for in the `PATH`.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Installs Playwright when it is missing, and returns the folder that has it in its `node_modules`.
///
/// # Errors
/// When npm is missing or the installation fails; the error says which, and npm's own words.
pub fn playwright() -> Result<PathBuf> {
    from_npm("playwright", PLAYWRIGHT)
}

/// Installs aws-jwt-verify when it is missing, and returns the folder that has it in its `node_modules`.
///
/// # Errors
/// As [`playwright`].
pub fn aws_jwt_verify() -> Result<PathBuf> {
    from_npm("aws-jwt-verify", AWS_JWT_VERIFY)
}

/// Installs the TypeScript compiler when it is missing, and returns its script, which Node.js runs.
///
/// # Errors
/// As [`playwright`].
pub fn tsc() -> Result<PathBuf> {
    Ok(from_npm("typescript", TYPESCRIPT)?.join("node_modules/typescript/bin/tsc"))
}

fn from_npm(name: &str, package: &str) -> Result<PathBuf> {
    ensure(name, package, |folder| {
        require("npm", "--version", &format!("to install {name}"), GET_NODE)?;
        run_quietly("npm", npm("install", folder).args(["--no-save", package]))
    })
}

/// Installs the packages that the `package-lock.json` in `project` pins, and returns the folder that has them in its
/// `node_modules`: `target/tools/NAME`, where the programs of the project are copied to. Node.js looks for packages beside the
/// program that imports them, and a checkout has nothing installed in it.
///
/// # Errors
/// When Node.js or npm is missing or too old, or the installation fails.
pub fn npm_packages(name: &str, project: &Path) -> Result<PathBuf> {
    node()?;
    let manifests = ["package.json", "package-lock.json"].map(|file| read(&project.join(file)));
    let [manifest, lock] = manifests;
    let (manifest, lock) = (manifest?, lock?);
    let folder = ensure(name, &format!("the packages of {name}\n{manifest}{lock}"), |folder| {
        require("npm", "--version", &format!("to install {name}"), GET_NODE)?;
        for (file, text) in [("package.json", &manifest), ("package-lock.json", &lock)] {
            fs::write(folder.join(file), text).with_context(|| format!("could not write {file}"))?;
        }
        run_quietly("npm", &mut npm("ci", folder))
    })?;
    for entry in fs::read_dir(project).with_context(|| format!("could not read {}", project.display()))? {
        let program = entry?.path();
        if let Some(file) = program.file_name().filter(|_| program.extension().is_some_and(|it| it == "mjs"))
        {
            fs::copy(&program, folder.join(file))
                .with_context(|| format!("could not copy {}", program.display()))?;
        }
    }
    Ok(folder)
}

/// npm in that folder: no script of a package runs, and nothing (no browser, say) is downloaded by one.
fn npm(subcommand: &str, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args([subcommand, "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
    command
}

/// `node`, with all variables that choose a browser or change its own behaviour taken away.
///
/// # Errors
/// When it is missing or too old.
pub fn node() -> Result<Command> {
    let needed = || format!("`node` is missing: {GET_NODE}");
    let output = Command::new("node").arg("--version").output().with_context(needed)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if major(&version).is_none_or(|major| major < OLDEST_NODE) {
        bail!("`node` is {version}, which is too old: {GET_NODE}");
    }
    let mut command = Command::new("node");
    command.env_remove("NODE_OPTIONS");
    Ok(command)
}

/// The 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
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
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }

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
