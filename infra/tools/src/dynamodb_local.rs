//! DynamoDB Local, AWS's DynamoDB for developers: a Java program from Maven Central.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::maven::java_libraries;
use crate::{Server, answers_http, free_port, workspace_root};

/// Name of the installed tool, and of the list of its libraries.
pub(crate) const NAME: &str = "dynamodb-local";
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
        let libraries = install()?;
        let address = free_port()?;
        let mut command = Command::new("java");
        command
            // Only the C1 compiler: C2 costs more than it saves in the gate, where this process is short-lived. The figures of
            // `cargo verify --full --only import` are measured with it, too.
            .arg("-XX:TieredStopAtLevel=1")
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
    java_libraries(NAME, &project())
}

/// The folder of its `pom.xml`.
pub(crate) fn project() -> PathBuf {
    workspace_root().join("infra/tools/java")
}
