//! The DynamoDB of a stack with its tables and its demo user.

use super::console::Console;
use super::error::StackError;
use super::wait::wait_for;
use daypass_core::account::claims::Claims;
use daypass_core::config::Tables;
use daypass_core::factor::Factors;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::ports::store::{StoreError, User, UserStatus};
use daypass_core::secret::Password;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_passwords::Passwords;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::embedded::Embedded;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::Clock;
use http::Uri;
use std::net::IpAddr;
use std::path::Path;

/// Name of the demo user.
pub const DEMO_USER: &str = "demo";
/// Password of [`DEMO_USER`]. It is public.
pub const DEMO_PASSWORD: &str = "demo-day-pass-2026";
/// Scope of [`DEMO_USER`].
pub const DEMO_SCOPE: &str = "orders:read orders:write";

/// DynamoDB of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    /// Embedded, in memory.
    Memory,
    /// Embedded, in a file of the stack's folder.
    File,
    /// The DynamoDB at this URL on this machine, such as DynamoDB Local. It gets made-up credentials.
    Url(String),
    /// The DynamoDB at this URL, on any machine. It gets made-up credentials and the demo user with its public password.
    RemoteUrl(String),
}

/// A DynamoDB with its tables.
pub(super) struct DevStore {
    url: String,
    client: DynamoDb,
    /// Stops when dropped.
    _embedded: Option<Embedded>,
}

impl DevStore {
    /// Starts the embedded DynamoDB with its data in `file`, or connects to the selected one, and creates the tables.
    pub(super) fn open(
        choice: &StoreChoice,
        file: &Path,
        tables: &Tables,
        outbox: &str,
    ) -> Result<Self, StackError> {
        let embedded = match choice {
            StoreChoice::Memory => Some(embedded(None)?),
            StoreChoice::File => Some(embedded(Some(file))?),
            StoreChoice::Url(_) | StoreChoice::RemoteUrl(_) => None,
        };
        let url = match (choice, &embedded) {
            (StoreChoice::Url(url), _) => checked(url, false)?,
            (StoreChoice::RemoteUrl(url), _) => checked(url, true)?,
            (_, Some(embedded)) => embedded.url(),
            // Both other choices start the embedded one.
            (_, None) => String::new(),
        };
        let client = DynamoDb::local(&url, TableNames::from(tables).with_outbox(outbox));
        wait_for(async { client.create_tables().await.map_err(|error| no_tables(&url, &error)) })?;
        Ok(Self { url, client, _embedded: embedded })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Adds the demo user, or resets its password if the key set lacks the pepper of its hash.
    pub(super) fn add_demo_user(&self, keys: &Document, console: Console) -> Result<(), StackError> {
        let unusable = |error: &dyn std::fmt::Display| {
            StackError::new(
                format!("the demo user cannot be added: {error}"),
                "start again with `cargo dev --fresh`, which deletes the local users and sessions",
            )
        };
        let peppers = Peppers::from_document(keys).map_err(|error| unusable(&error))?;
        let username = Passwords::standard().username(DEMO_USER).map_err(|error| unusable(&error))?;
        let password = demo_password().ok_or_else(|| unusable(&"its password is not usable"))?;
        let hash = || Passwords::standard().hash(&password, &peppers, &OsEntropy);
        wait_for(async {
            let now = SystemClock.now();
            let Some(found) = self.client.user(&username).await.map_err(|error| unusable(&error))? else {
                let user = User {
                    username,
                    id: UserId::generate(&OsEntropy),
                    password_hash: hash().map_err(|error| unusable(&error))?,
                    password_version: 1,
                    status: UserStatus::Enabled,
                    scope: Scope::parse(DEMO_SCOPE).map_err(|_| unusable(&"its scope is malformed"))?,
                    email: None,
                    claims: Claims::default(),
                    factors: Factors::default(),
                    created_at: now,
                    updated_at: now,
                };
                return self.client.add_user(&user).await.map(drop).map_err(|error| unusable(&error));
            };
            match Passwords::standard().check(&password, Some(&found.password_hash), &peppers) {
                PasswordCheck::Match { .. } => Ok(()),
                PasswordCheck::Mismatch => {
                    console.say("the user demo keeps its changed password");
                    Ok(())
                }
                PasswordCheck::Unusable(_) => {
                    console.say("the password of the user demo is reset: the pepper of its hash is missing");
                    let hash = hash().map_err(|error| unusable(&error))?;
                    self.client
                        .set_password(&username, &hash, now)
                        .await
                        .map(drop)
                        .map_err(|error| unusable(&error))
                }
            }
        })
    }
}

fn demo_password() -> Option<Password> {
    Password::new(DEMO_PASSWORD.to_owned())
}

fn embedded(file: Option<&Path>) -> Result<Embedded, StackError> {
    Embedded::start(file).map_err(|error| {
        let place = file.map_or("memory".to_owned(), |file| file.display().to_string());
        StackError::new(
            format!("the embedded DynamoDB cannot start in {place}: {error}"),
            "start again with `cargo dev --fresh`, or select another DynamoDB with --dynamodb URL",
        )
    })
}

/// Checks that a URL can be an endpoint of the AWS SDK, and that it is on this machine unless `remote` permits another.
/// Removes a slash at its end.
fn checked(url: &str, remote: bool) -> Result<String, StackError> {
    let wrong = || {
        StackError::new(
            format!("{url:?} is not the URL of a DynamoDB"),
            "write it like --dynamodb http://127.0.0.1:8000",
        )
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let is_endpoint = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    let host = uri.host().unwrap_or_default();
    if !is_endpoint || host.is_empty() {
        return Err(wrong());
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if !remote && host != "localhost" && !address.is_ok_and(|address| address.is_loopback()) {
        return Err(StackError::new(
            format!("the DynamoDB at {url} is not on this machine"),
            format!(
                "`cargo dev` adds the user {DEMO_USER} with a public password; --allow-remote-dynamodb permits it"
            ),
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn no_tables(url: &str, error: &StoreError) -> StackError {
    match error {
        StoreError::Unavailable(detail) => StackError::new(
            format!("DynamoDB at {url} cannot be reached: {detail}"),
            "start it, correct --dynamodb, or omit the option for the embedded one",
        ),
        StoreError::Broken(detail) => StackError::new(
            format!("DynamoDB at {url} cannot hold the tables: {detail}"),
            "correct --dynamodb, or omit it for the embedded one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_before_they_are_used() {
        assert_eq!(checked("http://localhost:8000/", false).unwrap(), "http://localhost:8000");
        for wrong in ["", "localhost:8000", "ftp://localhost", "http://", "http://localhost?x"] {
            assert!(checked(wrong, true).unwrap_err().to_string().contains("--dynamodb"), "{wrong}");
        }
    }

    /// invariant: `cargo dev` adds its demo user to a DynamoDB of this machine, unless an option permits another.
    #[test]
    fn a_dynamodb_elsewhere_needs_permission() {
        for local in ["http://127.0.0.1:8000", "http://[::1]:8000", "https://localhost"] {
            assert!(checked(local, false).is_ok(), "{local}");
        }
        for remote in ["http://192.0.2.1:8000", "http://dynamodb:8000", "http://localhost.example"] {
            let error = checked(remote, false).unwrap_err().to_string();
            assert!(error.contains("--allow-remote-dynamodb"), "{error}");
            assert_eq!(checked(remote, true).as_deref(), Ok(remote));
        }
    }

    #[test]
    fn the_demo_user_has_a_password_that_may_be_set() {
        let username = Passwords::standard().username(DEMO_USER).unwrap();
        Passwords::standard().accept(&demo_password().unwrap(), &username).unwrap();
        Scope::parse(DEMO_SCOPE).unwrap();
    }
}
