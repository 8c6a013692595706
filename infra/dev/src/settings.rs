//! Settings of a stack.

use super::console::Console;
use super::store::StoreChoice;
use daypass_core::client::Origin;
use daypass_gateway::{Guard, Limits};
use daypass_tools::{FUNCTIONS, Trigger};
use daypass_verifier::jose::jwk::Algorithm;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The functions of a stack, by the names of their binaries: those that API Gateway calls, and the guarded example.
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    let called = FUNCTIONS.iter().filter(|function| function.trigger != Trigger::SecretsManager);
    called.map(|function| function.binary).chain(["whoami"])
}

/// Audience of a stack's access tokens. A name, not a URL, because the port can change.
pub const AUDIENCE: &str = "daypass-dev";

/// Host of the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// `cargo lambda watch`, which builds them.
    CargoLambda,
    /// The testkit's Lambda service over the binaries in this folder, without a build.
    Built(PathBuf),
}

/// Settings of a stack. [`Settings::new`] has the defaults of tests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of keys, logs and the database file. The stack creates it. One stack at a time can use it.
    pub folder: PathBuf,
    /// DynamoDB of the stack.
    pub store: StoreChoice,
    /// Port of the gateway on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Port of the demo page's second origin on 127.0.0.1; 0 for any free port. `None` means no page and no client for
    /// it.
    pub page_port: Option<u16>,
    /// Whether the gateway and the page use HTTPS, with a certificate of a local authority.
    pub https: bool,
    /// Limits of the gateway.
    pub limits: Limits,
    /// More origins of the demo page's client.
    pub origins: Vec<Origin>,
    /// Whether to delete the database file and the keys of earlier runs.
    pub fresh: bool,
    /// Algorithm of access tokens; `None` for that of the kept keys, or ES256.
    pub algorithm: Option<Algorithm>,
    /// Services that `--guard` protects.
    pub guards: Vec<Guard>,
    /// Variables of the functions. They override those of the stack, such as `AWS_ENDPOINT_URL_DYNAMODB` with a proxy
    /// that counts requests.
    pub variables: BTreeMap<String, String>,
    /// Host of the functions.
    pub runner: Runner,
    /// Processes, and so parallel requests, of each function.
    pub concurrency: u16,
    /// Whether to build the functions now and after each edit. Otherwise they must be built.
    pub reload: bool,
    /// Whether to write `environment.json`, in which `daypass` finds the stack.
    pub leave_word: bool,
    /// Destination of progress and of the functions' lines.
    pub console: Console,
    /// Cancels the start from another thread.
    pub cancel: Cancel,
}

impl Settings {
    /// Settings for tests: in memory, any free port, no page, quiet, four processes per function.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            store: StoreChoice::Memory,
            port: 0,
            page_port: None,
            https: false,
            limits: Limits::default(),
            origins: Vec::new(),
            fresh: false,
            algorithm: None,
            guards: Vec::new(),
            variables: BTreeMap::new(),
            runner: Runner::CargoLambda,
            concurrency: 4,
            reload: false,
            leave_word: false,
            console: Console::Quiet,
            cancel: Cancel::default(),
        }
    }

    /// Adds a variable of the functions.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// Cancels a start. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels the current or next start. [`Stack::start`](crate::Stack::start) then stops the started parts and fails.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
