//! Java libraries from Maven Central: those of a `pom.xml`, held to a list of checksums.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::install::ensure;
use crate::paths::read;
use crate::prerequisites::{JAVA, MAVEN};
use crate::process::run_quietly;

/// Installs the libraries of `PROJECT/pom.xml` when they are missing, and returns their folder. They must be those of
/// `PROJECT/NAME.sha256`.
///
/// # Errors
/// Java or Maven is missing, a library cannot be downloaded, or it differs from the list.
pub fn java_libraries(name: &str, project: &Path) -> Result<PathBuf> {
    JAVA.check()?;
    let (pom, list) = (read(&project.join("pom.xml"))?, read(&list_file(name, project))?);
    let folder = ensure(name, &format!("{pom}{list}"), |folder| {
        let libraries = folder.join("lib");
        copy_libraries(project, &libraries)?;
        verify(&list, &checksums(&libraries)?)
            .with_context(|| format!("the libraries differ from {}", list_file(name, project).display()))
    })?;
    Ok(folder.join("lib"))
}

/// Writes the list of libraries to which `pom.xml` resolves.
pub(crate) fn lock(name: &str, project: &Path, scratch: &Path) -> Result<()> {
    copy_libraries(project, scratch)?;
    fs::write(list_file(name, project), checksums(scratch)?)
        .context("could not write the list of libraries")?;
    fs::remove_dir_all(scratch).with_context(|| format!("could not remove {}", scratch.display()))
}

/// SHA-256 of each library, in the format of `sha256sum`. Maven pins versions only.
fn list_file(name: &str, project: &Path) -> PathBuf {
    project.join(format!("{name}.sha256"))
}

fn copy_libraries(project: &Path, to: &Path) -> Result<()> {
    MAVEN.check()?;
    run_quietly(
        "mvn",
        Command::new("mvn")
            .args(["--batch-mode", "--no-transfer-progress", "--quiet", "--file"])
            .arg(project.join("pom.xml"))
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
        bail!("{}", differences.trim_start());
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
        assert_eq!(error.lines().count(), 4, "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
