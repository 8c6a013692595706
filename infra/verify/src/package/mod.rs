//! `cargo package-release`: the files of a release, from the binaries that the gate builds and weighs.
//!
//! The folder `target/package/ARCH` gets a zip for each function, the command `daypass`, the templates, a bill of
//! materials for each program, and `SHA256SUMS`.

mod archive;
mod sbom;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use daypass_tools::{FUNCTIONS, Function, cargo_lambda, run, say, target_dir, workspace_root};
use sha2::{Digest, Sha256};

use crate::arm64;
use crate::elf::{Binary, LAMBDA_GLIBC, Processor, unzipped};
use crate::plan::archives;
use crate::steps::build_release;
use crate::templates::{self, TEMPLATES};

/// The package and the program of the command for operators.
const COMMAND: (&str, &str) = ("daypass-cli", "daypass");

/// Templates that operators deploy as they are: docs/operations/runbook.md and docs/operations/recovery.md.
const OF_OPERATORS: [&str; 2] = ["infra/security-events.yaml", "infra/recovery/kept.yaml"];

/// Make the files of a release, in target/package/ARCH
#[derive(Debug, Parser)]
#[command(name = "cargo package-release", bin_name = "cargo package-release", version)]
pub(crate) struct Arguments {
    /// Processors, separated by commas [default: this machine's]. An x86-64 machine builds for arm64 with a cross compiler
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    arch: Vec<Processor>,
}

/// Runs the command of these arguments.
pub(crate) fn start(arguments: &Arguments) -> ExitCode {
    match package(&arguments.arch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn package(chosen: &[Processor]) -> Result<()> {
    let own = Processor::of_this_machine()?;
    let chosen = if chosen.is_empty() { &[own] } else { chosen };
    for processor in chosen {
        can_build(own, *processor)?;
    }
    for processor in chosen {
        let programs = if *processor == own { native()? } else { cross()? };
        let folder = target_dir().join("package").join(processor.to_string());
        write_release(&folder, *processor, &programs)?;
        say(&format!("{} has the release for {processor}", folder.display()));
    }
    Ok(())
}

/// # Errors
/// A machine of the processor `own` does not build for this one.
fn can_build(own: Processor, processor: Processor) -> Result<()> {
    ensure!(
        own == processor || processor == Processor::Arm,
        "an {own} machine builds for {own} alone: run `cargo package-release --arch {processor}` on an {processor} machine"
    );
    Ok(())
}

/// A built program: its package, its name and its bytes.
struct Program {
    package: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
}

/// Builds the functions with `cargo lambda build`, as the step `release` does. That compiles for the processors of
/// Lambda; the command runs on the machines of operators, and is built for every processor of the kind. Both link for the glibc
/// that a release promises, and not for that of this machine.
fn native() -> Result<Vec<Program>> {
    let functions: Vec<&Function> = FUNCTIONS.iter().collect();
    build_release(&functions)?;
    let target = Processor::of_this_machine()?.target();
    // A separate folder, because cargo-lambda builds with other flags.
    let folder = target_dir().join("zigbuild");
    let mut build = cargo_lambda()?.zigbuild()?;
    build.args([
        "--release",
        "--locked",
        "--package",
        COMMAND.0,
        "--target",
        &format!("{target}.{LAMBDA_GLIBC}"),
    ]);
    run("package", build.arg("--target-dir").arg(&folder))?;
    let mut programs = Vec::new();
    for function in functions {
        let archive = read(&archives().join(function.binary).join("bootstrap.zip"))?;
        let bytes = unzipped(&archive).with_context(|| format!("the archive of {}", function.binary))?;
        programs.push(Program { package: function.package, name: function.binary, bytes });
    }
    let bytes = read(&folder.join(target).join("release").join(COMMAND.1))?;
    programs.push(Program { package: COMMAND.0, name: COMMAND.1, bytes });
    Ok(programs)
}

/// Builds with the cross compiler of the step `arm64`.
fn cross() -> Result<Vec<Program>> {
    let folder = arm64::build_functions()?;
    arm64::build(COMMAND.0, arm64::EVERY_CPU)?;
    let built = FUNCTIONS.iter().map(|function| (function.package, function.binary)).chain([COMMAND]);
    built.map(|(package, name)| Ok(Program { package, name, bytes: read(&folder.join(name))? })).collect()
}

/// Writes the files of one processor into `folder`, which is emptied first.
fn write_release(folder: &Path, processor: Processor, programs: &[Program]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    let boms = bills(processor)?;
    for program in programs {
        Binary::read(&program.bytes)
            .and_then(|binary| binary.accept(processor))
            .with_context(|| format!("the binary of {}", program.name))?;
        let is_command = program.name == COMMAND.1;
        let (name, content) = match is_command {
            true => (format!("{}-{processor}", program.name), program.bytes.clone()),
            false => (format!("{}-{processor}.zip", program.name), archive::bootstrap(&program.bytes)?),
        };
        let file = folder.join(name);
        write(&file, &content)?;
        if is_command {
            make_executable(&file)?;
        }
        let bom = boms.of(program.package, program.name, processor, &content)?;
        write(&folder.join(format!("{}-{processor}.cdx.json", program.name)), bom.as_bytes())?;
    }
    for (name, source) in TEMPLATES {
        for (name, text) in templates::packaged(&workspace_root().join(source), name, processor)? {
            write(&folder.join(name), text.as_bytes())?;
        }
    }
    for source in OF_OPERATORS {
        let source = workspace_root().join(source);
        write(&folder.join(source.file_name().unwrap_or_default()), &read(&source)?)?;
    }
    write(&folder.join("SHA256SUMS"), sums(folder)?.as_bytes())
}

/// Bills of materials of the programs. Each is built alone.
fn bills(processor: Processor) -> Result<sbom::Bills> {
    let packages: Vec<&str> = FUNCTIONS.iter().map(|function| function.package).chain([COMMAND.0]).collect();
    sbom::Bills::read(&packages, processor)
}

/// Checksums of all files in a folder, as `sha256sum --check` reads them.
fn sums(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {name}", hexadecimal(&Sha256::digest(read(&file)?)));
    }
    Ok(text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("there is no {}", file.display()))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).with_context(|| format!("could not write {}", file.display()))
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm64_machine_builds_for_itself_alone() {
        let can = |own, processor| can_build(own, processor).map_err(|error| error.to_string());
        for own in [Processor::X86, Processor::Arm] {
            assert_eq!(can(own, Processor::Arm), Ok(()));
        }
        assert_eq!(can(Processor::X86, Processor::X86), Ok(()));
        assert!(can(Processor::Arm, Processor::X86).unwrap_err().contains("on an x86_64 machine"));
    }

    /// invariant: A release has the templates that the pages for operators name.
    #[test]
    fn the_pages_for_operators_name_templates_of_the_release() {
        let root = workspace_root();
        let nested = templates::packaged(&root.join("template.yaml"), "daypass", Processor::Arm).unwrap();
        let nested = nested.into_iter().map(|(name, _)| format!("infra/{name}"));
        let released: Vec<String> = nested.chain(OF_OPERATORS.map(str::to_owned)).collect();
        for page in ["runbook.md", "recovery.md"] {
            let text = fs::read_to_string(root.join("docs/operations").join(page)).unwrap();
            let words = text.split(|c: char| c.is_whitespace() || c == '`');
            let paths = words.map(|word| word.trim_start_matches("file://"));
            let paths: Vec<_> =
                paths.filter(|path| path.starts_with("infra/") && path.ends_with(".yaml")).collect();
            assert!(!paths.is_empty(), "{page}");
            for path in paths {
                assert!(released.iter().any(|one| one == path), "{page}: {path}");
            }
        }
        assert!(OF_OPERATORS.iter().all(|source| root.join(source).exists()));
    }
}
