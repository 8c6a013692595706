//! The development key set: a private file that is kept between runs, so that sessions outlive a restart.

use super::error::StackError;
use daypass_core::keys::{Document, KeyError, Status};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Loads the key set in the file at `path`, or creates it.
///
/// If it signs with another algorithm than `algorithm`, it gets a new signing key. Refresh tokens and passwords stay
/// valid.
pub(super) fn load_or_make(path: &Path, algorithm: Option<Algorithm>) -> Result<Document, StackError> {
    let document = match fs::read(path) {
        Ok(text) => {
            let document = Document::parse(&text).map_err(|error| unusable(path, &error))?;
            match algorithm {
                Some(algorithm) if signs_with(&document) != Some(algorithm) => {
                    with_new_signing_key(&document, algorithm).map_err(|error| unusable(path, &error))?
                }
                _ => return Ok(document),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            generate(algorithm.unwrap_or(Algorithm::Es256)).map_err(|error| unusable(path, &error))?
        }
        Err(error) => return Err(unusable(path, &error)),
    };
    let text = document.to_json().map_err(|error| unusable(path, &error))?;
    write_private(path, &text).map_err(|error| unusable(path, &error))?;
    Ok(document)
}

fn generate(algorithm: Algorithm) -> Result<Document, KeyError> {
    Document::generate(algorithm, &OsEntropy, SystemClock.now())
}

fn signs_with(document: &Document) -> Option<Algorithm> {
    document.summary().into_iter().find(|key| key.status == Status::Active && key.alg.is_some())?.alg
}

fn with_new_signing_key(document: &Document, algorithm: Algorithm) -> Result<Document, KeyError> {
    let mut changed = generate(algorithm)?.only("signing")?;
    changed.merge(document.only("refresh")?);
    changed.merge(document.only("peppers")?);
    Ok(changed)
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> StackError {
    StackError::new(
        format!("the development keys in {} cannot be used: {error}", path.display()),
        "start again with `cargo dev --fresh`, which also deletes the local users and sessions",
    )
}

/// Writes a private file atomically.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn kids(document: &Document) -> Vec<String> {
        document.summary().into_iter().map(|key| key.kid).collect()
    }

    #[test]
    fn keys_are_kept_and_another_algorithm_changes_the_signing_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let first = load_or_make(&path, None).unwrap();
        assert_eq!(signs_with(&first), Some(Algorithm::Es256));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kids(&load_or_make(&path, Some(Algorithm::Es256)).unwrap()), kids(&first));

        let second = load_or_make(&path, Some(Algorithm::EdDsa)).unwrap();
        assert_eq!(signs_with(&second), Some(Algorithm::EdDsa));
        assert_ne!(kids(&second)[0], kids(&first)[0]);
        assert_eq!(kids(&second)[1..], kids(&first)[1..]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kids(&load_or_make(&path, None).unwrap()), kids(&second));
    }

    #[test]
    fn a_file_that_is_no_key_set_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, "secret text").unwrap();
        let error = load_or_make(&path, None).unwrap_err().to_string();
        assert!(error.contains("--fresh") && !error.contains("secret text"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret text");
    }
}
