//! The size budget of the deployed functions: a cold start reads the whole archive.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use daypass_tools::Function;

use crate::elf::{Binary, Processor, unzipped};

/// Measures the archives `FOLDER/BINARY/bootstrap.zip`, and returns the table of sizes.
///
/// # Errors
/// An archive is missing or reaches its budget. The error has the same table.
pub(crate) fn weigh(functions: &[&Function], folder: &Path) -> Result<String> {
    let mut weighed = Vec::new();
    for function in functions {
        let archive = folder.join(function.binary).join("bootstrap.zip");
        let metadata =
            fs::metadata(&archive).with_context(|| format!("there is no {}", archive.display()))?;
        weighed.push((*function, metadata.len()));
    }
    let table = table(&weighed);
    if weighed.iter().any(|(function, bytes)| *bytes >= function.budget) {
        bail!("a function is over its size budget\n{table}");
    }
    Ok(table)
}

/// Inspects the binaries in the archives `FOLDER/BINARY/bootstrap.zip`, and returns their requirements.
///
/// # Errors
/// A binary is for another processor, needs a newer glibc than Lambda's, or has symbols or jitter entropy.
///
/// invariant: A release binary is for its processor, needs glibc 2.34 at most, and has no symbols.
/// invariant: A release binary does not link the jitter entropy of AWS-LC.
pub(crate) fn inspect(functions: &[&Function], folder: &Path) -> Result<String> {
    let processor = Processor::of_this_machine()?;
    let mut newest = None;
    for function in functions {
        let archive = folder.join(function.binary).join("bootstrap.zip");
        let bytes = fs::read(&archive).with_context(|| format!("there is no {}", archive.display()))?;
        let checked = unzipped(&bytes).and_then(|binary| Binary::read(&binary)).and_then(|binary| {
            binary.accept(processor)?;
            Ok(binary.glibc)
        });
        newest = newest.max(checked.with_context(|| format!("the binary of {}", function.binary))?);
    }
    let glibc = newest.map_or_else(|| "no glibc".to_owned(), |glibc| format!("glibc {glibc} or newer"));
    Ok(format!("  all are for {processor}, and need {glibc}"))
}

fn table(weighed: &[(&Function, u64)]) -> String {
    let mut text = format!("  {:<16} {:>10} {:>10}", "zip", "bytes", "budget");
    for (function, bytes) in weighed {
        let remark = if *bytes >= function.budget { "  TOO LARGE" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {:<16} {bytes:>10} {:>10}{remark}", function.binary, function.budget);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use daypass_tools::FUNCTIONS;

    fn all() -> Vec<&'static Function> {
        FUNCTIONS.iter().collect()
    }

    fn scratch(test: &str, authorizer_bytes: usize) -> PathBuf {
        let name = format!("verify-{test}-{}", std::process::id());
        let folder = daypass_tools::target_dir().join("tmp").join(name);
        for function in &FUNCTIONS {
            fs::create_dir_all(folder.join(function.binary)).unwrap();
            let bytes = if function.binary == "authorizer" { authorizer_bytes } else { 10 };
            fs::write(folder.join(function.binary).join("bootstrap.zip"), vec![0; bytes]).unwrap();
        }
        folder
    }

    #[test]
    fn the_budget_is_a_limit_that_is_not_reached() {
        let folder = scratch("under", 2_249_999);
        assert!(weigh(&all(), &folder).unwrap().contains("  authorizer          2249999    2250000"));
        fs::remove_dir_all(folder).unwrap();

        let folder = scratch("over", 2_250_000);
        let error = weigh(&all(), &folder).unwrap_err().to_string();
        assert!(error.contains("authorizer          2250000    2250000  TOO LARGE"), "{error}");
        assert_eq!(error.matches("TOO LARGE").count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_archive_is_a_failure() {
        let folder = scratch("missing", 10);
        fs::remove_file(folder.join("revoke/bootstrap.zip")).unwrap();
        assert!(weigh(&all(), &folder).unwrap_err().to_string().contains("revoke"));
        fs::remove_dir_all(folder).unwrap();
    }
}
