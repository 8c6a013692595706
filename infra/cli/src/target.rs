//! Selection of the store and the key set.
//!
//! The order is: `--endpoint`; the AWS environment, if one of its variables or ours is set; the local stack of
//! `cargo dev`, inside its checkout; the AWS SDK's own search, such as a default profile or the role of the machine.

use crate::aws::{RENEW, remedy};
use crate::dev_stack::DevStack;
use crate::environment::{Environment, WAYS};
use crate::output::{Failure, Output, quoted};
use daypass_admin::{Admin, AdminError};
use daypass_aws::{UNUSABLE, is_loopback};
use daypass_core::config::Tables;
use daypass_core::keys::Document;
use daypass_core::ports::store::StoreError;
use daypass_dynamodb::{DynamoDb, TableNames};
use daypass_key_loader::LoadError;
use daypass_runtime::{OsEntropy, SystemClock};

/// Options that select a store.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// URL of a DynamoDB on this machine: DynamoDB Local or the embedded one. AWS_ENDPOINT_URL, AWS_PROFILE and
    /// AWS_REGION name any other
    #[arg(long, value_name = "URL", global = true, value_parser = loopback_url)]
    endpoint: Option<String>,
    /// Users table [default: daypass-users]
    #[arg(long, value_name = "NAME", global = true, env = "DAYPASS_USERS_TABLE", hide_env_values = true)]
    users_table: Option<String>,
    /// Sessions table [default: daypass-sessions]
    #[arg(long, value_name = "NAME", global = true, env = "DAYPASS_SESSIONS_TABLE", hide_env_values = true)]
    sessions_table: Option<String>,
    /// Attempts table [default: daypass-attempts]
    #[arg(long, value_name = "NAME", global = true, env = "DAYPASS_ATTEMPTS_TABLE", hide_env_values = true)]
    attempts_table: Option<String>,
    /// Table of the requests for mails [default: daypass-outbox]
    #[arg(long, value_name = "NAME", global = true, env = "DAYPASS_OUTBOX_TABLE", hide_env_values = true)]
    outbox_table: Option<String>,
}

/// Parses the URL of a DynamoDB on this machine. Made-up credentials work only there.
fn loopback_url(text: &str) -> Result<String, String> {
    if is_loopback(text) {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("not http://localhost:PORT or another URL of this machine; name a DynamoDB elsewhere with \
         AWS_ENDPOINT_URL_DYNAMODB, AWS_REGION and AWS credentials"
        .to_owned())
}

/// The selected store.
pub(crate) struct Target {
    pub(crate) store: DynamoDb,
    tables: Names,
    choice: Choice,
}

/// The tables of an operator.
struct Names {
    tables: Tables,
    outbox: String,
}

impl From<&Names> for TableNames {
    fn from(names: &Names) -> Self {
        Self::from(&names.tables).with_outbox(&names.outbox)
    }
}

/// Origin of the selection.
#[derive(Debug)]
enum Choice {
    Endpoint(String),
    /// Variables, with the endpoint if a variable names it.
    Variables(Option<String>),
    /// The local stack of `cargo dev`.
    Dev(DevStack),
    /// No selection: the AWS SDK searches for a default profile or the role of the machine.
    Nothing,
}

/// Selects the store, without a request to it.
pub(crate) async fn open(
    args: StoreArgs,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<Target, Failure> {
    let given =
        [&args.endpoint, &args.users_table, &args.sessions_table, &args.attempts_table, &args.outbox_table];
    if environment.has_stack() && given.iter().any(|option| option.is_some()) {
        return Err(Failure::usage(
            "--stack names the store and its tables",
            "omit --endpoint and the options that end in -table",
        ));
    }
    if let Some(url) = &args.endpoint {
        if environment.has_identity() {
            output.note(
                "--endpoint uses made-up local credentials and a made-up region, not the AWS_* variables \
                 that are set; use AWS_ENDPOINT_URL_DYNAMODB instead to keep them",
            );
        }
        return Ok(Target::local(url, args.tables(|_| None), Choice::Endpoint(url.clone())));
    }
    if environment.has_choice() {
        let tables = args.tables(|name| environment.get(name));
        // With AWS_PROFILE set and a running stack, the intention is unclear. The variables decide, and a note says so.
        if let Ok(Some(dev)) = DevStack::find(environment).await {
            output.note(&format!(
                "AWS_* or DAYPASS_* variables select the store, not the local stack of `cargo dev` ({}); --endpoint with its URL selects that stack",
                dev.url
            ));
        }
        let url =
            environment.get("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| environment.get("AWS_ENDPOINT_URL"));
        return Ok(match (url, environment.has_identity()) {
            // DynamoDB Local checks no credentials, but the SDK needs some.
            (Some(url), false) if is_loopback(&url) => {
                Target::local(&url, tables, Choice::Variables(Some(url.clone())))
            }
            // The stack is on AWS, by the default profile or the role of the machine.
            (None, false) if environment.has_stack() => {
                Target::connect(tables, Choice::Variables(None)).await
            }
            // Only DAYPASS_* variables: they name tables or keys, and no store.
            (None, false) => Target::connect(tables, Choice::Nothing).await,
            (url, _) => Target::connect(tables, Choice::Variables(url)).await,
        });
    }
    if let Some(dev) = DevStack::find(environment).await? {
        output.note(&dev.announcement());
        let tables = args.tables(|name| dev.variable(name));
        return Ok(Target::local(&dev.url.clone(), tables, Choice::Dev(dev)));
    }
    Ok(Target::connect(args.tables(|_| None), Choice::Nothing).await)
}

impl StoreArgs {
    /// Table names: the options, then the variables of a stack, then the defaults.
    fn tables(&self, stack: impl Fn(&str) -> Option<String>) -> Names {
        let name = |given: &Option<String>, variable: &str, usual: &str| {
            let given = given.clone().filter(|name| !name.trim().is_empty());
            given.or_else(|| stack(variable)).unwrap_or_else(|| usual.to_owned())
        };
        let tables = Tables {
            users: name(&self.users_table, "DAYPASS_USERS_TABLE", "daypass-users"),
            sessions: name(&self.sessions_table, "DAYPASS_SESSIONS_TABLE", "daypass-sessions"),
            attempts: name(&self.attempts_table, "DAYPASS_ATTEMPTS_TABLE", "daypass-attempts"),
        };
        Names { tables, outbox: name(&self.outbox_table, "DAYPASS_OUTBOX_TABLE", "daypass-outbox") }
    }
}

impl Target {
    fn local(url: &str, tables: Names, choice: Choice) -> Self {
        Self { store: DynamoDb::local_for_operator(url, (&tables).into()), tables, choice }
    }

    async fn connect(tables: Names, choice: Choice) -> Self {
        let aws = daypass_aws::load().await;
        Self { store: DynamoDb::for_operator(&aws, (&tables).into()), tables, choice }
    }

    /// The operations on the store.
    pub(crate) fn admin(&self) -> Admin<'_> {
        Admin { store: &self.store, clock: &SystemClock, entropy: &OsEntropy }
    }

    /// The error of an operation for the operator, with the next step.
    pub(crate) fn refused(&self, error: &AdminError) -> Failure {
        let hint = match error {
            AdminError::Store(error) => return self.failure(error),
            AdminError::UnknownUser(name) => format!(
                "`daypass user list` lists the users; `daypass user add {}` adds this one",
                quoted(name.as_str())
            ),
            AdminError::UserExists(name) => format!(
                "choose another name, or set a new password with `daypass user set-password {}`",
                quoted(name.as_str())
            ),
            AdminError::AddressTaken => {
                "choose another address, or remove it from the other user with `daypass user set-email NAME --none`"
                    .to_owned()
            }
            AdminError::TooLarge(_) => {
                "shorten the claims or the scope: each session contains all three".to_owned()
            }
            AdminError::UnknownSession(_) => {
                "`daypass session list USER` shows the sessions; DynamoDB deletes expired ones".to_owned()
            }
            AdminError::Password(_) => {
                "choose a longer and less common one, such as a few unrelated words".to_owned()
            }
            AdminError::Hash(_) => "check the key set with `daypass key show`".to_owned(),
        };
        Failure::new(error.to_string(), hint)
    }

    /// Loads the key set of the store: that of `DAYPASS_KEYS`, or that of the local stack.
    pub(crate) async fn keys(&self, environment: &Environment<'_>) -> Result<Document, Failure> {
        let named = match &self.choice {
            Choice::Dev(dev) => dev.variable("DAYPASS_KEYS"),
            Choice::Endpoint(_) | Choice::Variables(_) | Choice::Nothing => environment.get("DAYPASS_KEYS"),
        };
        load(&sources(named)).await
    }

    /// The source of the machine clients: that of `DAYPASS_MACHINES`, or that of the local stack.
    pub(crate) fn machines(&self, environment: &Environment<'_>) -> Result<String, Failure> {
        let named = match &self.choice {
            Choice::Dev(dev) => dev.variable("DAYPASS_MACHINES"),
            Choice::Endpoint(_) | Choice::Variables(_) | Choice::Nothing => {
                environment.get("DAYPASS_MACHINES")
            }
        };
        named.ok_or_else(|| {
            Failure::new(
                "no document of machine clients is named",
                "name a stack with --stack, which must be up to date, or set DAYPASS_MACHINES to the ARN of its secret or to a file",
            )
        })
    }

    /// The error of the store for the operator, with the next step.
    pub(crate) fn failure(&self, error: &StoreError) -> Failure {
        match error {
            StoreError::Unavailable(detail) if detail.contains(UNUSABLE) => {
                Failure::new(format!("{} was not asked ({detail})", self.place()), RENEW)
            }
            StoreError::Unavailable(detail) => Failure::new(
                format!("{} does not answer ({detail})", self.place()),
                remedy(detail).unwrap_or_else(|| self.when_silent()),
            ),
            StoreError::Broken(detail) if detail.contains("ResourceNotFoundException") => {
                let Names { tables: Tables { users, sessions, attempts }, outbox } = &self.tables;
                Failure::new(
                    format!(
                        "{} has no table {users}, {sessions}, {attempts} or {outbox} ({detail})",
                        self.place()
                    ),
                    "name the tables with --users-table, --sessions-table, --attempts-table and --outbox-table, or the deployed stack with \
                     --stack; `cargo dev` creates them on this machine, and template.yaml creates them on AWS",
                )
            }
            StoreError::Broken(detail) => {
                let hint = match (&self.choice, remedy(detail)) {
                    (Choice::Nothing, _) if detail.contains("no AWS credentials") => WAYS,
                    (_, Some(remedy)) => remedy,
                    (Choice::Nothing, None) => WAYS,
                    (Choice::Endpoint(_) | Choice::Dev(_), None) => {
                        "check the URL: another program may use its port now"
                    }
                    (Choice::Variables(_), None) => {
                        "check AWS_PROFILE or AWS_ACCESS_KEY_ID, AWS_REGION, and your permissions on the tables; \
                         `aws sts get-caller-identity` shows who you are"
                    }
                };
                Failure::new(format!("{} rejects the request ({detail})", self.place()), hint)
            }
        }
    }

    fn place(&self) -> String {
        match &self.choice {
            Choice::Endpoint(url) | Choice::Dev(DevStack { url, .. }) | Choice::Variables(Some(url)) => {
                format!("DynamoDB at {url}")
            }
            Choice::Variables(None) => "DynamoDB on AWS".to_owned(),
            Choice::Nothing => "no store is selected, and DynamoDB on AWS".to_owned(),
        }
    }

    fn when_silent(&self) -> &'static str {
        match &self.choice {
            Choice::Endpoint(_) => "start it, or correct --endpoint",
            Choice::Dev(_) => "start `cargo dev` again",
            Choice::Variables(Some(_)) => "start it, or correct AWS_ENDPOINT_URL",
            Choice::Variables(None) => "try again; check the network, AWS_PROFILE and AWS_REGION",
            Choice::Nothing => WAYS,
        }
    }
}

/// Loads the key set from `given`, else from `DAYPASS_KEYS`, else from the local stack. For commands without a store.
pub(crate) async fn keys(
    given: &[String],
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<Document, Failure> {
    if !given.is_empty() {
        return load(given).await;
    }
    if environment.has_choice() {
        return load(&sources(environment.get("DAYPASS_KEYS"))).await;
    }
    let dev = DevStack::find(environment).await?;
    if let Some(dev) = &dev {
        output.note(&dev.announcement());
    }
    load(&sources(dev.and_then(|dev| dev.variable("DAYPASS_KEYS")))).await
}

/// Sources in a value of `DAYPASS_KEYS`.
fn sources(named: Option<String>) -> Vec<String> {
    named.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Loads a key set from its sources.
pub(crate) async fn load(sources: &[String]) -> Result<Document, Failure> {
    let make = |path: &str| format!("`daypass key generate --out {}`", quoted(path));
    let aws = daypass_aws::load().await;
    daypass_key_loader::load_for_operator(sources, &aws).await.map_err(|error| match &error {
        LoadError::File(path, _) => {
            Failure::new(error.to_string(), format!("correct the path, or generate a key set with {}", make(path)))
        }
        LoadError::Secret(_, detail) => Failure::new(
            error.to_string(),
            remedy(detail).unwrap_or("check AWS_PROFILE, AWS_REGION and the permission secretsmanager:GetSecretValue"),
        ),
        LoadError::Unavailable(_, detail) => Failure::new(
            error.to_string(),
            remedy(detail).unwrap_or(
                "try again; if it fails again, check the network, AWS_PROFILE and AWS_REGION; `aws sso login` or `aws login` \
                 renews a session",
            ),
        ),
        LoadError::Malformed(..) => {
            Failure::new(error.to_string(), "use the unchanged file of `daypass key generate`")
        }
        LoadError::NoSource => Failure::new(
            "no key set is named",
            format!(
                "set DAYPASS_KEYS to the file or the Secrets Manager ARN of the functions, name a deployed stack with --stack, or \
                 generate a key set with {}",
                make("keys.json")
            ),
        ),
    })
}
