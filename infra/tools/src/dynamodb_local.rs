//! DynamoDB Local, AWS's DynamoDB for developers: a Java program from Maven Central.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::install::ensure;
use crate::paths::read;
use crate::prerequisites::{JAVA, MAVEN};
use crate::process::run_quietly;
use crate::{Server, answers_http, free_port, workspace_root};

const MAIN_CLASS: &str = "software.amazon.dynamodb.services.local.main.ServerRunner";

/// A running DynamoDB Local with tables in memory, on a free port. Drop stops it.
///
/// It listens on every interface, because it has no option for the address. Store only test data in it.
#[derive(Debug)]
pub struct DynamoDbLocal {
    url: String,
    _server: Server,
}

impl DynamoDbLocal {
    /// Installs DynamoDB Local when it is missing and starts it.
    ///
    /// # Errors
    /// Java or Maven is missing, the installation fails, or the server does not answer within a minute.
    pub fn start() -> Result<Self> {
        JAVA.check()?;
        let libraries = install()?;
        let address = free_port()?;
        let mut command = Command::new("java");
        command
            .arg(format!("-Djava.library.path={}", libraries.display()))
            .arg("-cp")
            .arg(libraries.join("*"))
            .arg(MAIN_CLASS)
            .args(["-inMemory", "-disableTelemetry", "-port", &address.port().to_string()]);
        let ready = || answers_http(address, "/");
        let server = Server::start("DynamoDB Local", &command, Duration::from_secs(60), ready)?;
        Ok(Self { url: format!("http://{address}"), _server: server })
    }

    /// Endpoint URL for an AWS SDK, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Installs DynamoDB Local when it is missing, and returns the folder of its libraries.
pub(crate) fn install() -> Result<PathBuf> {
    let (pom, list) = (read(&project().join("pom.xml"))?, read(&list_file())?);
    let folder = ensure("dynamodb-local", &format!("{pom}{list}"), |folder| {
        let libraries = folder.join("lib");
        copy_libraries(&libraries)?;
        verify(&list, &checksums(&libraries)?)
    })?;
    Ok(folder.join("lib"))
}

/// Writes the list of libraries to which `pom.xml` resolves.
pub(crate) fn lock(scratch: &Path) -> Result<()> {
    copy_libraries(scratch)?;
    fs::write(list_file(), checksums(scratch)?).context("could not write the list of libraries")
}

fn project() -> PathBuf {
    workspace_root().join("infra/tools/java")
}

/// SHA-256 of each library, in the format of `sha256sum`. Maven pins versions only.
fn list_file() -> PathBuf {
    project().join("dynamodb-local.sha256")
}

fn copy_libraries(to: &Path) -> Result<()> {
    MAVEN.check()?;
    run_quietly(
        "mvn",
        Command::new("mvn")
            .args(["--batch-mode", "--no-transfer-progress", "--quiet", "--file"])
            .arg(project().join("pom.xml"))
            .arg("org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", to.display())),
    )
}

/// Files in `folder`, in the format of the list.
fn checksums(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        let hash = Sha256::digest(fs::read(entry.path())?);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push((entry.file_name(), hash));
    }
    lines.sort();
    Ok(lines.iter().map(|(file, hash)| format!("{hash}  {}\n", file.display())).collect())
}

/// Fails unless the files are exactly those of `list`.
fn verify(list: &str, found: &str) -> Result<()> {
    let [list, found] = [list, found].map(|text| text.lines().collect::<BTreeSet<_>>());
    let missing = list.difference(&found).map(|line| format!("\nexpected: {line}"));
    let unknown = found.difference(&list).map(|line| format!("\nfound:    {line}"));
    let differences: String = missing.chain(unknown).collect();
    if !differences.is_empty() {
        bail!("the libraries differ from {}{differences}", list_file().display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_an_extra_library_are_named() {
        let folder = crate::target_dir().join("tmp").join(format!("libraries-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.jar"), "abc").unwrap();
        // Test vector of FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&format!("{abc}  a.jar\n"), &checksums(&folder).unwrap()).unwrap();

        fs::write(folder.join("a.jar"), "abcd").unwrap();
        fs::write(folder.join("c.jar"), "").unwrap();
        let list = format!("{abc}  a.jar\n{abc}  b.jar\n");
        let error = verify(&list, &checksums(&folder).unwrap()).unwrap_err().to_string();
        for (kind, file) in [("expected", "a"), ("found", "a"), ("expected", "b"), ("found", "c")] {
            let named = |line: &str| line.starts_with(kind) && line.ends_with(&format!("  {file}.jar"));
            assert!(error.lines().any(named), "{kind} {file}: {error}");
        }
        assert_eq!(error.lines().count(), 5, "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
