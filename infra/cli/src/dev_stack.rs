//! The running local stack of `cargo dev`, as it describes itself in the checkout.
//!
//! The description selects a store and a key set. It is read only inside a checkout of Daypass, only from a private folder of
//! the current user, and only with a URL on this machine. Otherwise, a file that another user plants in a shared folder could
//! redirect an operator.

use crate::environment::{Environment, WAYS};
use crate::output::Failure;
use daypass_aws::is_loopback;
use http::Uri;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Description of a running stack below Cargo's build folder: one JSON object of environment variables.
pub const DEV_FILE: &str = "dev/environment.json";

/// Limit of the connection attempt to a stack on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A local stack that answers.
#[derive(Debug)]
pub(crate) struct DevStack {
    variables: BTreeMap<String, String>,
    /// URL of its DynamoDB.
    pub(crate) url: String,
}

impl DevStack {
    /// Finds the stack of the checkout around the current folder; `None` if no stack describes itself there.
    ///
    /// # Errors
    /// The description is not trusted, or the stack does not answer. A command must not run on AWS instead.
    pub(crate) async fn find(environment: &Environment<'_>) -> Result<Option<Self>, Failure> {
        let Some(path) = build_folder(environment).map(|folder| folder.join(DEV_FILE)) else {
            return Ok(None);
        };
        let unusable = |why: &str| {
            Failure::new(format!("{} {why}", path.display()), format!("delete that file, then {WAYS}"))
        };
        let Some(text) = read_private(&path).map_err(|why| unusable(&why))? else { return Ok(None) };
        let Ok(variables) = serde_json::from_str::<BTreeMap<String, String>>(&text) else {
            return Err(unusable("is not a JSON object of variables"));
        };
        let url = variables.get("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| variables.get("AWS_ENDPOINT_URL"));
        let Some(url) = url.cloned() else { return Err(unusable("names no DynamoDB")) };
        if !is_loopback(&url) {
            return Err(unusable("names a DynamoDB that is not on this machine"));
        }
        if !answers(&url).await {
            return Err(Failure::new(
                format!("the local stack of `cargo dev` does not answer at {url}"),
                WAYS,
            ));
        }
        Ok(Some(Self { variables, url }))
    }

    pub(crate) fn announcement(&self) -> String {
        format!("using the local stack of `cargo dev` ({})", self.url)
    }

    /// The value of a variable of its functions.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// Cargo's build folder of the checkout around the current folder.
fn build_folder(environment: &Environment<'_>) -> Option<PathBuf> {
    let is_checkout = |folder: &&Path| {
        let manifest = fs::read_to_string(folder.join("infra/cli/Cargo.toml"));
        manifest.is_ok_and(|text| text.lines().any(|line| line == "name = \"daypass-cli\""))
    };
    let checkout = environment.folder.ancestors().find(is_checkout)?;
    let named = environment.get("CARGO_TARGET_DIR").map(|folder| environment.folder.join(folder));
    Some(named.unwrap_or_else(|| checkout.join("target")))
}

/// Reads a file that only the current user can have written; `None` if it does not exist.
///
/// # Errors
/// Why another user could have written it.
#[cfg(unix)]
fn read_private(path: &Path) -> Result<Option<String>, String> {
    read_private_of(path, rustix::process::geteuid().as_raw())
}

#[cfg(unix)]
fn read_private_of(path: &Path, user: u32) -> Result<Option<String>, String> {
    use std::io;
    use std::os::unix::fs::MetadataExt;
    let present = |result: io::Result<fs::Metadata>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(|error| format!("cannot be read: {error}")),
    };
    // The folder first: if it is private, no other user can exchange the file after its check.
    let Some(folder) = present(fs::symlink_metadata(path.parent().unwrap_or(path)))? else { return Ok(None) };
    let Some(file) = present(fs::symlink_metadata(path))? else { return Ok(None) };
    if !folder.is_dir() || !file.is_file() {
        return Err("is not trusted: it or its folder is a symbolic link".to_owned());
    }
    if folder.uid() != user || file.uid() != user {
        return Err("is not trusted: it or its folder belongs to another user".to_owned());
    }
    let mode = folder.mode() & 0o777;
    if mode != 0o700 {
        return Err(format!("is not trusted: its folder has the mode {mode:o} instead of 700"));
    }
    fs::read_to_string(path).map(Some).map_err(|error| format!("cannot be read: {error}"))
}

/// `cargo dev` runs on Unix only.
#[cfg(not(unix))]
fn read_private(_: &Path) -> Result<Option<String>, String> {
    Ok(None)
}

async fn answers(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    matches!(timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await, Ok(Ok(_)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// invariant: `daypass` uses a local stack only if its description is private to the current user.
    #[test]
    fn a_file_of_another_user_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("environment.json");
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(read_private_of(&path, user), Ok(None));
        fs::write(&path, "{}").unwrap();
        assert_eq!(read_private_of(&path, user), Ok(Some("{}".to_owned())));
        let error = read_private_of(&path, user + 1).unwrap_err();
        assert!(error.contains("belongs to another user"), "{error}");
    }
}
