//! A DynamoDB with tables, a key set, and the command for both.

use daypass_core::config::{self, Tables};
use daypass_core::flow::login::Login;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::context::Context;
use daypass_core::ports::event::Event;
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::ports::store::User;
use daypass_core::secret::Password;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_passwords::Passwords;
use daypass_runtime::OsEntropy;
use daypass_testkit::embedded::Embedded;
use daypass_verifier::base::time::Clock;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::journal::Journal;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The command with arguments, a clean environment, and standard input.
pub(crate) struct Daypass {
    pub(crate) command: Command,
    input: String,
}

/// Result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `daypass` with these arguments, in `folder`, which is also its home.
pub(crate) fn daypass(folder: &Path, args: &[&str]) -> Daypass {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daypass"));
    command.args(args).current_dir(folder).env_clear().env("HOME", folder);
    // No request to the network for a role of this machine.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    Daypass { command, input: String::new() }
}

impl Daypass {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    pub(crate) fn run(mut self) -> Run {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built binary starts");
        // A command may close its standard input unread.
        let _ = child.stdin.take().unwrap().write_all(self.input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().expect("the command ends by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the command, which must succeed with an empty standard error.
    pub(crate) fn ok(self) -> String {
        let run = self.run();
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{run:?}");
        run.out
    }

    /// Runs the command, which must succeed with one JSON document.
    pub(crate) fn json(mut self) -> Value {
        self.command.arg("--json");
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Runs the command, which must fail with this error and a hint that contains these words.
    pub(crate) fn fails(self, error: &str, hint: &str) {
        let run = self.run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        let lines: Vec<&str> = run.err.lines().collect();
        let [error_line, hint_line] = lines.as_slice() else { panic!("an error and a hint: {run:?}") };
        assert_eq!(*error_line, format!("error: {error}"), "{run:?}");
        assert!(hint_line.starts_with("hint: ") && hint_line.contains(hint), "{hint:?}: {run:?}");
    }

    /// Runs the command, which clap must reject with these words.
    pub(crate) fn misused(self, words: &str) {
        let run = self.run();
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{run:?}");
        assert!(run.err.starts_with("error: ") && run.err.contains(words), "{words:?}: {run:?}");
    }
}

/// A DynamoDB with tables, and a key set. Drop removes both.
pub(crate) struct Bench {
    embedded: Embedded,
    pub(crate) store: DynamoDb,
    pub(crate) tables: Tables,
    pub(crate) folder: TempDir,
    pub(crate) keys: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.json");
        daypass(folder.path(), &["key", "generate", "--out", "keys.json"]).run();
        let embedded = Embedded::start(None).unwrap();
        let tables = Tables {
            users: "daypass-users".to_owned(),
            sessions: "daypass-sessions".to_owned(),
            attempts: "daypass-attempts".to_owned(),
        };
        let store = DynamoDb::local(&embedded.url(), TableNames::from(&tables).with_outbox("daypass-outbox"));
        wait_for(store.create_tables()).unwrap();
        Self { embedded, store, tables, folder, keys }
    }

    pub(crate) fn url(&self) -> String {
        self.embedded.url()
    }

    pub(crate) fn keys(&self) -> &str {
        self.keys.to_str().unwrap()
    }

    /// The command with the store and the keys.
    pub(crate) fn daypass(&self, args: &[&str]) -> Daypass {
        let mut daypass = daypass(self.folder.path(), args).env("DAYPASS_KEYS", &self.keys);
        daypass.command.args(["--endpoint", &self.url()]);
        daypass
    }

    /// Adds a user with [`PASSWORD`].
    pub(crate) fn add(&self, name: &str) -> User {
        self.daypass(&["user", "add", name, "--password-stdin"]).stdin(PASSWORD).ok();
        self.user(name).unwrap()
    }

    /// The stored user.
    pub(crate) fn user(&self, name: &str) -> Option<User> {
        let username = Passwords::standard().username(name).unwrap();
        wait_for(self.store.user(&username)).unwrap()
    }

    /// Whether `login` accepts this password.
    pub(crate) fn accepts(&self, user: &User, password: &str) -> bool {
        let document = Document::parse(&std::fs::read(&self.keys).unwrap()).unwrap();
        let password = Password::new(password.to_owned()).unwrap();
        let peppers = Peppers::from_document(&document).unwrap();
        let check = Passwords::standard().check(&password, Some(&user.password_hash), &peppers);
        matches!(check, PasswordCheck::Match { .. })
    }
}

/// Blocks on a request of the store.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

struct Silent;

impl Journal<Event> for Silent {
    fn record(&self, _: &Event, _: &Caller) {}
}

/// The function `login` over a store, with a file of keys.
pub(crate) fn login(
    store: &DynamoDb,
    keys: &Path,
    tables: &Tables,
    clock: Box<dyn Clock>,
) -> Login<DynamoDb> {
    let keys = Document::parse(&std::fs::read(keys).unwrap()).unwrap();
    let config = config::login(|name| {
        let value = match name {
            "DAYPASS_ISSUER" => "https://id.example.com",
            "DAYPASS_AUDIENCE" => "https://api.example.com",
            "DAYPASS_KEYS" => "keys.json",
            "DAYPASS_USERS_TABLE" => &tables.users,
            "DAYPASS_SESSIONS_TABLE" => &tables.sessions,
            "DAYPASS_ATTEMPTS_TABLE" => &tables.attempts,
            _ => return None,
        };
        Some(value.to_owned())
    });
    let context = Context { clock, entropy: Box::new(OsEntropy), journal: Box::new(Silent) };
    Login::new(config.unwrap(), &keys, store.clone(), Box::new(Passwords::standard()), context).unwrap()
}

/// Status and body of a response of the function `login`.
pub(crate) async fn post(login: &Login<DynamoDb>, path: &str, body: &Value) -> (u16, Value) {
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(body.to_string().into_bytes()).unwrap();
    let response = daypass_login::handle(login, request).await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}
