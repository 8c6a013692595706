//! A function as Lambda runs it: its binary, over the tables of a service.

use daypass_dynamodb::{LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
use daypass_testkit::runtime_api::Function;
use daypass_testkit::{Answer, event, functions};
use daypass_tests::service::Service;
use serde_json::Value;
use tokio::process::Command;

/// A running function.
pub(crate) struct Process(Function);

impl Process {
    /// Starts the function over the tables of the service, through its recorder. `keys` is the file of its key set.
    pub(crate) async fn start(function: &str, service: &Service, keys: &std::path::Path) -> Self {
        Self::start_with(function, service, &[("DAYPASS_KEYS", keys.to_str().unwrap())]).await
    }

    /// As [`Process::start`], with variables for the source of its keys.
    pub(crate) async fn start_with(function: &str, service: &Service, keys: &[(&str, &str)]) -> Self {
        let binary = functions::built("failures").join(function);
        let mut command = Command::new(&binary);
        command.env_clear().envs(variables(service)).envs(keys.iter().copied());
        let started = Function::start(function, command).await;
        Self(started.unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display())))
    }

    /// Sends a request, as an HTTP API does.
    pub(crate) fn send(&self, function: &str, content_type: &str, body: &str) {
        self.0.send(event::http("POST", &format!("/{function}"), content_type, body).to_string());
    }

    /// Waits for the response of the function.
    pub(crate) async fn answer(&mut self) -> Answer {
        Answer::of_function(&self.0.answer().await.unwrap())
    }

    /// A function that ends the process with SIGKILL, from any thread.
    pub(crate) fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        self.0.killer()
    }

    /// Waits until the process was killed. Panics if it answered before. Returns its log.
    pub(crate) async fn died(self) -> Vec<Value> {
        self.0.died().await
    }

    /// Ends the process, and returns its log.
    pub(crate) async fn end(self) -> Vec<Value> {
        self.0.kill().await
    }
}

/// The environment of a function over the tables of a service, through its recorder, without the keys.
pub(crate) fn variables(service: &Service) -> [(&'static str, String); 13] {
    let tables = &service.bench.tables;
    [
        ("AWS_ENDPOINT_URL_DYNAMODB", service.bench.recorder.url()),
        ("AWS_REGION", LOCAL_REGION),
        ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY),
        ("DAYPASS_ISSUER", "https://id.example.com"),
        ("DAYPASS_AUDIENCE", "https://api.example.com"),
        ("DAYPASS_CLIENTS", r#"[{"client_id":"web"}]"#),
        ("DAYPASS_JWKS", &service.keys.jwks().to_json().unwrap()),
        ("DAYPASS_USERS_TABLE", &tables.users),
        ("DAYPASS_SESSIONS_TABLE", &tables.sessions),
        ("DAYPASS_ATTEMPTS_TABLE", &tables.attempts),
        ("DAYPASS_OUTBOX_TABLE", &service.bench.outbox),
        ("DAYPASS_MAIL_FROM", "Acme <no-reply@acme.example>"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}
