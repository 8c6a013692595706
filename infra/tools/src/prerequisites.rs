//! Programs that a developer installs. All other tools go into `target/tools`.

use std::process::Command;

use anyhow::{Result, bail};

pub(crate) const PYTHON: Program = Program {
    name: "python3",
    // Debian's Python lacks ensurepip until the package python3-venv is installed.
    version: &["-c", "import ensurepip, platform; print(platform.python_version())"],
    oldest: (3, 11),
    install: "install Python 3.11 or later with its venv module (Debian: apt-get install python3-venv)",
};
pub(crate) const JAVA: Program = Program {
    name: "java",
    version: &["--version"],
    oldest: (17, 0),
    install: "install a Java runtime, version 17 or later (Debian: apt-get install default-jre-headless)",
};
pub(crate) const MAVEN: Program = Program {
    name: "mvn",
    version: &["--version"],
    oldest: (3, 6),
    install: "install Apache Maven 3.6 or later (Debian: apt-get install maven)",
};
pub(crate) const NODE: Program = Program {
    name: "node",
    version: &["--version"],
    // Version 20 has the first test runner that can run files sequentially.
    oldest: (20, 0),
    install: "install Node.js 20 or later with npm",
};
pub(crate) const NPM: Program = Program { name: "npm", oldest: (9, 0), ..NODE };
pub(crate) const GO: Program = Program {
    name: "go",
    version: &["version"],
    // From 1.21 on, Go itself rejects a go.mod that names a later version.
    oldest: (1, 21),
    install: "install the version of Go that tests/interop/go/go.mod names, or a later one",
};
const CC: Program = Program {
    name: "cc",
    version: &["--version"],
    oldest: (0, 0),
    install: "install a C compiler (Debian: apt-get install gcc; macOS: xcode-select --install)",
};

/// The step `clippy` compiles libFuzzer.
const CXX: Program = Program {
    name: "c++",
    install: "install a C++ compiler (Debian: apt-get install g++; macOS: xcode-select --install)",
    ..CC
};

/// A program on the `PATH`.
pub(crate) struct Program {
    name: &'static str,
    /// Arguments that print the version.
    version: &'static [&'static str],
    /// Least major and minor version.
    oldest: (u32, u32),
    /// How to install it.
    install: &'static str,
}

impl Program {
    /// Checks that the program is present and recent. The error names the remedy.
    pub(crate) fn check(&self) -> Result<()> {
        let output = Command::new(self.name).args(self.version).output();
        let found = output.ok().filter(|output| output.status.success());
        match found.and_then(|output| version(&String::from_utf8_lossy(&output.stdout))) {
            None => bail!("`{}` is missing: {}", self.name, self.install),
            Some(found) if found < self.oldest => {
                bail!("`{}` {}.{} is too old: {}", self.name, found.0, found.1, self.install)
            }
            Some(_) => Ok(()),
        }
    }
}

/// Checks all programs that `cargo verify` needs, except Chromium ([`crate::chromium`]).
///
/// # Errors
/// Programs are missing or too old. The error has one line for each, with its remedy.
pub fn check_prerequisites() -> Result<()> {
    check_all(&[PYTHON, JAVA, MAVEN, NODE, NPM, GO, CC, CXX])
}

fn check_all(programs: &[Program]) -> Result<()> {
    let errors: Vec<String> =
        programs.iter().filter_map(|program| program.check().err()).map(|error| error.to_string()).collect();
    if !errors.is_empty() {
        bail!("{}", errors.join("\n"));
    }
    Ok(())
}

/// First version in the output of `--version`: its major and minor number.
fn version(output: &str) -> Option<(u32, u32)> {
    output.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches(char::is_alphabetic);
        let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_each_program_prints() {
        for (output, expected) in [
            ("3.11.7\n", Some((3, 11))),
            ("openjdk 17 2021-09-14\nOpenJDK Runtime Environment (build 17+35)\n", Some((17, 0))),
            ("openjdk 21.0.5 2024-10-15 LTS\n", Some((21, 0))),
            ("\u{1b}[1mApache Maven 3.8.7\u{1b}[m\nMaven home: /usr/share/maven\n", Some((3, 8))),
            ("v20.11.1\n", Some((20, 11))),
            ("go version go1.26rc1 linux/amd64\n", Some((1, 26))),
            ("cc (Debian 12.2.0-14) 12.2.0\n", Some((12, 2))),
            ("Apple clang version 16.0.0 (clang-1600.0.26.4)\n", Some((16, 0))),
            ("xcode-select: note: no developer tools were found\n", None),
            ("", None),
        ] {
            assert_eq!(version(output), expected, "{output}");
        }
    }

    #[test]
    fn one_error_lists_every_missing_and_every_old_program() {
        let missing = Program { name: "daypass-no-such-program", install: "install it", ..CC };
        let old = Program { oldest: (9999, 0), install: "update it", ..PYTHON };
        let error = check_all(&[missing, PYTHON, old]).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert_eq!(lines[0], "`daypass-no-such-program` is missing: install it");
        assert!(
            lines[1].starts_with("`python3` 3.") && lines[1].ends_with(" is too old: update it"),
            "{error}"
        );
    }
}
