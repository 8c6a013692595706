//! What a stack is made of, and how it is to be.

use super::console::Console;
use super::store::StoreChoice;
use daypass_core::client::Origin;
use daypass_gateway::Guard;
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

/// The audience of a stack's access tokens. A name, not a URL: it stays when the port changes.
pub const AUDIENCE: &str = "daypass-dev";

/// Who runs the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// `cargo lambda watch`, which builds them.
    CargoLambda,
    /// The local Lambda service of the testkit, over the binaries in this folder. Nothing is built.
    Built(PathBuf),
}

/// How a stack is to be. [`Settings::new`] is for tests; change what should differ.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder for keys, logs and the database file. It is made when it is missing; one stack at a time can use it.
    pub folder: PathBuf,
    /// Which DynamoDB.
    pub store: StoreChoice,
    /// Port of the gateway on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Port of the demo page's second origin on 127.0.0.1, 0 for any free one; `None` for no page and no client of it.
    pub page_port: Option<u16>,
    /// More origins of the demo page's client: a page of the developer's own.
    pub origins: Vec<Origin>,
    /// Forget the database file and the keys of earlier runs.
    pub fresh: bool,
    /// What access tokens are signed with; `None` for what the kept keys are made for, ES256 at first.
    pub algorithm: Option<Algorithm>,
    /// Services behind the authorizer.
    pub guards: Vec<Guard>,
    /// Variables of the functions, over those that the stack sets itself: `DAYPASS_GRACE_SECONDS`, say, or another
    /// `AWS_ENDPOINT_URL_DYNAMODB` that counts the requests.
    pub variables: BTreeMap<String, String>,
    /// Who runs the functions.
    pub runner: Runner,
    /// How many processes each function may have, which is how many requests it works on at the same time.
    pub concurrency: u16,
    /// Whether to build the functions, and again after each edit of a source file. Without it, they are built already.
    pub reload: bool,
    /// Whether to leave `environment.json` in the folder, in which `daypass user list` and the like find the stack.
    pub leave_word: bool,
    /// Where progress and the functions' lines go.
    pub console: Console,
    /// Stops the start from another thread.
    pub cancel: Cancel,
}

impl Settings {
    /// A stack for tests: all in memory, any free port, no page, quiet, four processes for each function.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            store: StoreChoice::Memory,
            port: 0,
            page_port: None,
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

    /// As [`Settings::new`], with a variable of the functions.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// Ends a start that is under way. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the start, now or when it begins; [`Stack::start`](crate::Stack::start) then stops what it had started and fails.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
