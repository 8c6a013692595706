//! DynamoDB Local, AWS's own DynamoDB for a laptop: a Java program from Maven Central.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::install::ensure;
use crate::process::{require, run_quietly};
use crate::{Server, answers_http, free_port};

const RECIPE: &str = "software.amazon.dynamodb:DynamoDBLocal:3.3.1";
/// Copies the jars; pinned like what it copies.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const MAIN_CLASS: &str = "software.amazon.dynamodb.services.local.main.ServerRunner";
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>daypass.tools</groupId>
  <artifactId>dynamodb-local</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>software.amazon.dynamodb</groupId>
      <artifactId>DynamoDBLocal</artifactId>
      <version>3.3.1</version>
    </dependency>
  </dependencies>
</project>
"#;

/// A running DynamoDB Local with its tables in memory, on a free port; stopped on drop.
///
/// It listens on every interface (the program has no option for the address), so nothing but test data belongs in it.
#[derive(Debug)]
pub struct DynamoDbLocal {
    url: String,
    _server: Server,
}

impl DynamoDbLocal {
    /// Installs DynamoDB Local when it is missing and starts it.
    ///
    /// # Errors
    /// When Java or Maven is missing, the installation fails, or it does not answer within a minute.
    pub fn start() -> Result<Self> {
        let folder = ensure("dynamodb-local", RECIPE, install)?;
        require_java()?;
        let address = free_port()?;
        let libraries = folder.join("lib");
        let mut command = Command::new("java");
        command
            .arg(format!("-Djava.library.path={}", libraries.display()))
            .arg("-cp")
            .arg(libraries.join("*"))
            .arg(MAIN_CLASS)
            // Without telemetry: a test run reports to nobody.
            .args(["-inMemory", "-disableTelemetry", "-port", &address.port().to_string()]);
        let ready = || answers_http(address, "/");
        let server = Server::start("DynamoDB Local", &command, Duration::from_secs(60), ready)?;
        Ok(Self { url: format!("http://{address}"), _server: server })
    }

    /// The endpoint for an AWS SDK, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn install(folder: &Path) -> Result<()> {
    require_java()?;
    require("mvn", "--version", "to install DynamoDB Local", "install Apache Maven 3")?;
    let pom = folder.join("pom.xml");
    fs::write(&pom, POM).with_context(|| format!("could not write {}", pom.display()))?;
    run_quietly(
        "mvn",
        Command::new("mvn")
            .args(["--batch-mode", "--no-transfer-progress", "--quiet", "--file"])
            .arg(&pom)
            .arg(COPY)
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", folder.join("lib").display())),
    )
}

fn require_java() -> Result<()> {
    require("java", "-version", "by DynamoDB Local", "install a Java runtime, version 17 or later")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_is_what_the_pom_installs() {
        for part in RECIPE.split(':') {
            assert!(POM.contains(&format!(">{part}<")), "{part}");
        }
    }
}
