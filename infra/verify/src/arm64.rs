//! The functions for arm64, started under QEMU.
//!
//! It compiles everything a second time, so only the full depth runs it. On an arm64 machine, the step `release` builds
//! them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use daypass_tools::{FUNCTIONS, Function, cargo, run, say, target_dir, workspace_root};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::elf::{Binary, Processor};
use crate::nextest::Tests;
use crate::plan::Plan;

const TARGET: &str = Processor::Arm.target();
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// The processor for which cargo-lambda compiles functions of arm64.
const LAMBDA_CPU: &str = "neoverse-n1";
/// Every processor of arm64.
pub(crate) const EVERY_CPU: &str = "generic";
const QEMU: &str = "qemu-aarch64-static";
/// Debian's folder of arm64 libraries: QEMU uses its dynamic linker and glibc.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// How to install what is missing.
const INSTALL: &str = "\
On Debian, as root (rustc-web is its newer Rust, and stays out of the way of rustup's):

    dpkg --add-architecture arm64 && apt-get update
    apt-get install --no-install-recommends rustc-web cargo-web libstd-rust-web-dev:arm64 \\
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static

With rustup, `rustup target add aarch64-unknown-linux-gnu` stands in for the first line and for rustc-web, cargo-web and libstd-rust-web-dev.";

/// Builds the functions for arm64, inspects them, and calls each under QEMU.
///
/// # Errors
/// A tool is missing, or a function does not compile, does not fit Lambda or its budget, or answers wrongly.
pub(crate) fn arm64(plan: &Plan) -> Result<()> {
    require(QEMU)?;
    let loader = Path::new(SYSROOT).join("lib/ld-linux-aarch64.so.1");
    if !loader.exists() {
        bail!("{} is missing\n{INSTALL}", loader.display());
    }
    answers(plan, &build_functions()?)
}

/// Builds and inspects the functions for arm64, and returns their folder.
///
/// # Errors
/// A tool is missing, or a function does not compile, does not fit Lambda or its budget.
pub(crate) fn build_functions() -> Result<PathBuf> {
    let functions: Vec<&Function> = FUNCTIONS.iter().collect();
    for function in &functions {
        build(function.package, LAMBDA_CPU)?;
    }
    let folder = folder().join(TARGET).join("release");
    inspect(&functions, &folder)?;
    Ok(folder)
}

/// Builds a package alone for this processor, into the folder of [`build_functions`].
///
/// # Errors
/// A tool is missing, or the package does not compile.
pub(crate) fn build(package: &str, cpu: &str) -> Result<()> {
    if Processor::of_this_machine()? == Processor::Arm {
        bail!(
            "this machine is arm64 itself: `cargo verify --full --only release` builds and inspects these functions"
        );
    }
    let toolchain = Toolchain::find()?;
    require(LINKER)?;
    run("arm64", &mut toolchain.build(package, cpu))
}

fn require(program: &str) -> Result<()> {
    match Command::new(program).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => bail!("`{program}` is missing\n{INSTALL}"),
    }
}

/// Separate from the builds for this machine, which another compiler would discard.
fn folder() -> PathBuf {
    target_dir().join("arm64")
}

/// A compiler with the standard library of arm64.
#[derive(Debug)]
enum Toolchain {
    /// The compiler of this workspace with its target added.
    Rustup,
    Debian,
}

impl Toolchain {
    fn find() -> Result<Self> {
        if has_standard_library(&mut Command::new("rustc")) {
            return Ok(Self::Rustup);
        }
        if Path::new("/usr/bin/cargo").exists() && has_standard_library(&mut Command::new("/usr/bin/rustc")) {
            return Ok(Self::Debian);
        }
        bail!("no compiler has the standard library of arm64\n{INSTALL}")
    }

    fn build(&self, package: &str, cpu: &str) -> Command {
        let mut command = match self {
            Self::Rustup => cargo(),
            Self::Debian => {
                let mut command = Command::new("/usr/bin/cargo");
                // rustup's Cargo passes its own compiler to its children.
                command.current_dir(workspace_root()).env("RUSTC", "/usr/bin/rustc").env_remove("CARGO");
                command
            }
        };
        command
            .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
            .arg(folder())
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", format!("-C target-cpu={cpu}"))
            // For the C code of AWS-LC.
            .env("CC_aarch64_unknown_linux_gnu", LINKER);
        command.args(["--package", package]);
        command
    }
}

/// Whether this compiler can build for arm64.
fn has_standard_library(rustc: &mut Command) -> bool {
    let output =
        rustc.current_dir(workspace_root()).args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = output.ok().filter(|output| output.status.success());
    let folder = folder.and_then(|output| String::from_utf8(output.stdout).ok());
    let mut entries = folder.into_iter().filter_map(|folder| fs::read_dir(folder.trim()).ok()).flatten();
    entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Checks that each binary starts on Lambda and is within its budget.
fn inspect(functions: &[&Function], folder: &Path) -> Result<()> {
    say(&format!("  {:<16} {:>10} {:>10} {:>6}", "arm64", "zip bytes", "budget", "glibc"));
    for function in functions {
        let file = folder.join(function.binary);
        let bytes = fs::read(&file).with_context(|| format!("there is no {}", file.display()))?;
        let binary = Binary::read(&bytes).and_then(|binary| binary.accept(Processor::Arm).map(|()| binary));
        let binary = binary.with_context(|| format!("the binary of {}", function.binary))?;
        // The compressed binary is as large as its archive, except for a few hundred bytes of names.
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        deflated.write_all(&bytes)?;
        let size = u64::try_from(deflated.finish()?.len())?;
        let glibc = binary.glibc.map_or_else(|| "none".to_owned(), |glibc| glibc.to_string());
        say(&format!("  {:<16} {size:>10} {:>10} {glibc:>6}", function.binary, function.budget));
        if size >= function.budget {
            bail!("{} is over its size budget", function.binary);
        }
    }
    Ok(())
}

/// Calls the built functions: login, refresh, authorizer, revoke and the others.
fn answers(plan: &Plan, folder: &Path) -> Result<()> {
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.binary).collect();
    Tests::of(plan, "test(/^suites::arm64::/)")?
        .env("DAYPASS_TEST_FUNCTIONS", folder)
        .env("DAYPASS_TEST_STARTED", names.join(","))
        .env("DAYPASS_TEST_RUNNER", format!("{QEMU} -L {SYSROOT}"))
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_tools::command_line;

    #[test]
    fn the_build_names_compiler_linker_and_a_folder_of_its_own() {
        let command = Toolchain::Debian.build("daypass-login", LAMBDA_CPU);
        let line = command_line(&command);
        assert!(
            line.starts_with("/usr/bin/cargo build --release --locked --target aarch64-unknown-linux-gnu"),
            "{line}"
        );
        assert!(line.ends_with("--package daypass-login"), "{line}");
        assert!(folder().starts_with(target_dir()) && folder() != target_dir());
        let set: Vec<_> = command.get_envs().filter(|(name, _)| *name == "RUSTC").collect();
        assert_eq!(set.len(), 1);
        let mut values = command.get_envs().filter_map(|(_, value)| value);
        assert!(values.any(|value| value == "-C target-cpu=neoverse-n1"));
    }

    #[test]
    fn a_compiler_that_is_not_there_has_no_library() {
        assert!(!has_standard_library(&mut Command::new("/nowhere/rustc")));
    }
}
