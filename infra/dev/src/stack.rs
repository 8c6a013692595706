//! The local stack, started and stopped as one.

use super::build::build;
use super::demo::{Demo, LOCALHOST, local_origin};
use super::error::StackError;
use super::functions::{Functions, Plan, RELOADING_CARGO};
use super::gateway::{RunningGateway, listen, routes};
use super::https::Https;
use super::keys;
use super::mail::{self, PostOffice};
use super::reload::{Reload, Sources};
use super::settings::{AUDIENCE, Settings, functions};
use super::store::DevStore;
use daypass_core::config;
use daypass_core::config::{LoginConfig, Tables};
use daypass_core::keys::Document;
use daypass_dynamodb::{LOCAL_ACCESS_KEY_ID, LOCAL_REGION, LOCAL_SECRET_ACCESS_KEY};
use daypass_gateway::{Gateway, Routes};
use daypass_testkit::event_source::EventSource;
use daypass_tools::workspace_root;
use daypass_verifier::config::ConfigError;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Files in a stack's folder.
const KEYS: &str = "keys.json";
const MACHINES: &str = "machines.json";
const DATABASE: &str = "dynamodb.db";
const FUNCTION_LOG: &str = "functions.log";
const BUILD_LOG: &str = "build.log";
pub(super) const WORD: &str = "environment.json";
const LOCK: &str = "lock";

/// A running stack. Drop stops all parts and waits for their end.
///
/// The fields are dropped in order: dependents first.
pub struct Stack {
    _reload: Option<Reload>,
    gateway: RunningGateway,
    _mails: EventSource,
    functions: Functions,
    post: PostOffice,
    store: DevStore,
    url: String,
    plain_url: String,
    authority: Option<PathBuf>,
    pages: Option<[String; 2]>,
    routes: Routes,
    keys: Document,
    variables: BTreeMap<String, String>,
    folder: PathBuf,
    _word: Option<Word>,
    /// Lock of the folder. The last field, so it is released after all servers have ended.
    _lock: File,
}

impl Stack {
    /// Starts a stack, and returns when it is ready for requests.
    ///
    /// It blocks during the build. It can be called inside an asynchronous runtime.
    ///
    /// # Errors
    /// [`StackError`] with the failed part and the next step. The parts that had started are stopped.
    pub fn start(settings: &Settings) -> Result<Self, StackError> {
        let console = settings.console;
        let folder = settings.folder.clone();
        let lock = take(&folder)?;
        let (listener, address) = listen(settings.port, "--port")?;
        let demo = settings
            .page_port
            .map(|port| Demo::open(address.port(), port, settings.https, &settings.origins));
        let demo = demo.transpose()?;
        let routes = routes(&settings.guards, &demo.as_ref().map_or_else(Vec::new, Demo::origins))?;
        if settings.fresh {
            forget(&folder)?;
        }
        let keys = keys::load_or_make(&folder.join(KEYS), settings.algorithm)?;
        let https = settings.https.then(|| Https::load_or_make(&folder, console)).transpose()?;
        let mut fronts = Vec::new();
        let mut behind = |listener, address| {
            let Some(https) = &https else { return Ok((listener, address)) };
            let (inner, plain) = listen(0, "--port")?;
            fronts.push(https.front(listener, plain));
            Ok::<_, StackError>((inner, plain))
        };
        let (listener, plain) = behind(listener, address)?;
        let plain_url = format!("http://{plain}");
        let url = if settings.https { local_origin(address.port(), true) } else { plain_url.clone() };

        let tables = tables(&settings.variables);
        let outbox = settings.variables.get("DAYPASS_OUTBOX_TABLE").map_or(OUTBOX, String::as_str);
        let store = DevStore::open(&settings.store, &folder.join(DATABASE), &tables, outbox)?;
        store.add_demo_user(&keys, console)?;
        let post = PostOffice::open()?;
        let mut variables = variables([&url, &plain_url], &store, &keys, &tables, &folder)?;
        variables.insert("AWS_ENDPOINT_URL_SESV2".to_owned(), post.url().to_owned());
        variables.insert("DAYPASS_DPOP_ORIGINS".to_owned(), format!("{url} {plain_url}"));
        variables.extend(settings.variables.clone());
        let given = variables.remove("DAYPASS_DPOP_ORIGINS");
        let origins = dpop_origins(address.port(), settings.https, &plain_url, given);
        variables.insert("DAYPASS_DPOP_ORIGINS".to_owned(), origins);
        if let Some(demo) = &demo {
            let clients = demo.clients(variables.get("DAYPASS_CLIENTS").map(String::as_str))?;
            variables.insert("DAYPASS_CLIENTS".to_owned(), clients);
            if !variables.contains_key("DAYPASS_PASSKEY_RP_ID") {
                variables.insert("DAYPASS_PASSKEY_RP_ID".to_owned(), LOCALHOST.to_owned());
                variables.insert("DAYPASS_PASSKEY_ORIGINS".to_owned(), demo.passkey_origins());
            }
        }
        let config = checked(&variables)?;
        let pages = demo.as_ref().map(Demo::urls);
        let sites = demo.map(|demo| demo.sites(config.access_lifetime, &post.inbox())).transpose()?;

        // Read before the build, so that a later edit causes another build.
        let sources = settings.reload.then(|| Sources::of(workspace_root()));
        if settings.reload {
            console.say("building the functions ...");
            build(&[RELOADING_CARGO], console, &folder.join(BUILD_LOG), &settings.cancel)?;
        }
        console.say("starting the functions ...");
        let log = folder.join(FUNCTION_LOG);
        let plan = Plan {
            runner: &settings.runner,
            variables: &variables,
            concurrency: settings.concurrency,
            log: &log,
            console,
            probe: settings.limits.integration,
        };
        let functions = Functions::start(&plan)?;
        let (site, second) = sites.unzip();
        let second = second
            .map(|(listener, site)| Ok::<_, StackError>((behind(listener, address)?.0, site)))
            .transpose()?;
        let stuck = functions.stuck();
        let gateway = Gateway {
            site,
            stuck,
            limits: settings.limits,
            https: settings.https.then(|| address.port()),
            ..Gateway::new(routes.clone(), functions.url())
        };
        // Before the warm-up, because the authorizer polls the revocation feed through the gateway when it starts.
        let gateway = RunningGateway::start(listener, gateway, second, fronts)?;
        functions.warm_up(console, &settings.cancel)?;
        let mails = mail::follow(store.url(), outbox, &functions.url(), console)?;
        let word = settings.leave_word.then(|| Word::leave(&folder, &variables)).transpose()?;
        let reload =
            sources.map(|built| Reload::start(built, console, folder.join(BUILD_LOG))).transpose()?;
        Ok(Self {
            _reload: reload,
            gateway,
            _mails: mails,
            functions,
            post,
            store,
            url,
            plain_url,
            authority: https.map(|https| https.authority().to_owned()),
            pages,
            routes,
            keys,
            variables,
            folder,
            _word: word,
            _lock: lock,
        })
    }

    /// URL of the gateway and issuer, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the gateway without TLS, for programs that do not trust its certificate. Without HTTPS, it is [`Stack::url`].
    #[must_use]
    pub fn plain_url(&self) -> &str {
        &self.plain_url
    }

    /// File with the certificate authority of HTTPS.
    #[must_use]
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// URLs of the demo page on the gateway's origin and on the second origin; `None` without a page. They use
    /// `localhost`, the registered host of its client.
    #[must_use]
    pub fn page_urls(&self) -> Option<[&str; 2]> {
        self.pages.as_ref().map(|[own, second]| [own.as_str(), second.as_str()])
    }

    /// URL of the inbox; `None` without a demo page.
    #[must_use]
    pub fn inbox_url(&self) -> Option<String> {
        self.page_urls().map(|[own, _]| format!("{own}mail"))
    }

    /// URL of the local SES.
    #[must_use]
    pub fn ses_url(&self) -> &str {
        self.post.url()
    }

    /// Endpoint URL of the DynamoDB.
    #[must_use]
    pub fn dynamodb_url(&self) -> &str {
        self.store.url()
    }

    /// URL of Lambda's Invoke API.
    #[must_use]
    pub fn functions_url(&self) -> String {
        self.functions.url()
    }

    /// Process id of `cargo lambda watch`; `None` with built functions.
    #[must_use]
    pub fn watch_id(&self) -> Option<u32> {
        self.functions.watch_id()
    }

    /// File with all output of the functions and of `cargo lambda watch`.
    #[must_use]
    pub fn function_log(&self) -> PathBuf {
        self.folder.join(FUNCTION_LOG)
    }

    /// The key set with its secrets.
    #[must_use]
    pub fn keys(&self) -> &Document {
        &self.keys
    }

    /// Variables of the functions.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Routes of the gateway.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Checks that all parts run.
    ///
    /// # Errors
    /// [`StackError`] with the part that has ended, and its last output.
    pub fn check(&mut self) -> Result<(), StackError> {
        if !self.gateway.is_running() {
            return Err(StackError::new("the local API Gateway has ended", "start again"));
        }
        self.functions.check()
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("url", &self.url).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Creates the folder and locks it. Two stacks with one database file and one key file would destroy each other's data.
fn take(folder: &Path) -> Result<File, StackError> {
    let failed = |error: std::io::Error| unusable(folder, &error);
    // Private, because it contains keys, password hashes and logs.
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)?;
    let lock = File::create(folder.join(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(failed(error)),
        Err(TryLockError::WouldBlock) => Err(StackError::new(
            format!("`cargo dev` already runs in this checkout: it locks {}", folder.display()),
            "use that stack, or stop it first",
        )),
    }
}

fn forget(folder: &Path) -> Result<(), StackError> {
    let database = [DATABASE.to_owned(), format!("{DATABASE}-wal"), format!("{DATABASE}-shm")];
    for file in database.iter().map(String::as_str).chain([KEYS, MACHINES]) {
        match fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(folder, &error)),
            _ => {}
        }
    }
    Ok(())
}

fn unusable(folder: &Path, error: &std::io::Error) -> StackError {
    StackError::new(
        format!("the folder {} cannot be used: {error}", folder.display()),
        "correct its owner and permissions",
    )
}

/// The outbox, unless a variable names another table.
const OUTBOX: &str = "daypass-outbox";
/// The sender of mails.
const MAIL_FROM: &str = "Daypass <no-reply@daypass.example>";

/// Table names: the defaults of `daypass`, or those of variables.
fn tables(variables: &BTreeMap<String, String>) -> Tables {
    let name =
        |variable: &str, usual: &str| variables.get(variable).cloned().unwrap_or_else(|| usual.to_owned());
    Tables {
        users: name("DAYPASS_USERS_TABLE", "daypass-users"),
        sessions: name("DAYPASS_SESSIONS_TABLE", "daypass-sessions"),
        attempts: name("DAYPASS_ATTEMPTS_TABLE", "daypass-attempts"),
    }
}

/// The URLs of the gateway in proofs, followed by the `given` ones.
fn dpop_origins(port: u16, https: bool, plain_url: &str, given: Option<String>) -> String {
    let name = local_origin(port, https);
    let address = name.replacen("localhost", "127.0.0.1", 1);
    [name, address, plain_url.to_owned()].into_iter().chain(given).collect::<Vec<_>>().join(" ")
}

/// Variables of the functions. All functions get all variables, because `cargo lambda watch` has one environment.
fn variables(
    [url, plain_url]: [&str; 2],
    store: &DevStore,
    keys: &Document,
    tables: &Tables,
    folder: &Path,
) -> Result<BTreeMap<String, String>, StackError> {
    let key_file = folder.join(KEYS).display().to_string();
    if key_file.contains(char::is_whitespace) {
        return Err(StackError::new(
            format!("the path {key_file} contains a space, which separates the sources of DAYPASS_KEYS"),
            "move the checkout, or set CARGO_TARGET_DIR to a folder without one",
        ));
    }
    let jwks = keys.jwks().to_json().map_err(|error| {
        StackError::new(
            format!("the public keys cannot be written: {error}"),
            "start again with `cargo dev --fresh`",
        )
    })?;
    let variables = [
        ("AWS_ACCESS_KEY_ID", LOCAL_ACCESS_KEY_ID),
        ("AWS_ENDPOINT_URL_DYNAMODB", store.url()),
        ("AWS_REGION", LOCAL_REGION),
        ("AWS_SECRET_ACCESS_KEY", LOCAL_SECRET_ACCESS_KEY),
        ("DAYPASS_ATTEMPTS_TABLE", &tables.attempts),
        ("DAYPASS_AUDIENCE", AUDIENCE),
        ("DAYPASS_ISSUER", url),
        ("DAYPASS_JWKS", &jwks),
        ("DAYPASS_KEYS", &key_file),
        // So that a new machine client works at once.
        ("DAYPASS_KEYS_MAX_AGE_SECONDS", "5"),
        ("DAYPASS_MACHINES", &folder.join(MACHINES).display().to_string()),
        ("DAYPASS_MAIL_FROM", MAIL_FROM),
        ("DAYPASS_OUTBOX_TABLE", OUTBOX),
        ("DAYPASS_REVOCATIONS_URL", &format!("{plain_url}/revocations")),
        ("DAYPASS_SESSIONS_TABLE", &tables.sessions),
        ("DAYPASS_USERS_TABLE", &tables.users),
    ];
    Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
}

/// Checks the variables as the functions do, before they start.
fn checked(variables: &BTreeMap<String, String>) -> Result<LoginConfig, StackError> {
    let wrong =
        |error: ConfigError| StackError::new(error.to_string(), "correct the option of this variable");
    let lookup = |name: &str| variables.get(name).cloned();
    for table in config::all_tables().filter(|table| functions().any(|function| function == table.function)) {
        (table.check)(&lookup).map_err(wrong)?;
    }
    config::login(lookup).map_err(wrong)
}

/// The file in which `daypass` finds a running stack. Drop removes it.
struct Word(PathBuf);

impl Word {
    fn leave(folder: &Path, variables: &BTreeMap<String, String>) -> Result<Self, StackError> {
        let path = folder.join(WORD);
        let text = serde_json::to_string_pretty(variables).map_err(std::io::Error::other);
        text.and_then(|text| fs::write(&path, text)).map_err(|error| unusable(folder, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        // With a file that stays, the commands report a stack that does not answer.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_may_name_each_url_of_the_gateway_and_given_ones() {
        assert_eq!(
            dpop_origins(3000, false, "http://127.0.0.1:3000", Some("http://localhost:9".to_owned())),
            "http://localhost:3000 http://127.0.0.1:3000 http://127.0.0.1:3000 http://localhost:9"
        );
        assert_eq!(
            dpop_origins(443, true, "http://127.0.0.1:5000", None),
            "https://localhost https://127.0.0.1 http://127.0.0.1:5000"
        );
    }

    #[test]
    fn variables_that_no_function_would_take_are_told_before_anything_is_built() {
        let keys = keys::load_or_make(&tempfile::tempdir().unwrap().path().join(KEYS), None).unwrap();
        let jwks = keys.jwks().to_json().unwrap();
        let good = [
            ("DAYPASS_ATTEMPTS_TABLE", "daypass-attempts"),
            ("DAYPASS_AUDIENCE", AUDIENCE),
            ("DAYPASS_ISSUER", "http://127.0.0.1:3000"),
            ("DAYPASS_JWKS", &jwks),
            ("DAYPASS_KEYS", "keys.json"),
            ("DAYPASS_OUTBOX_TABLE", OUTBOX),
            ("DAYPASS_SESSIONS_TABLE", "daypass-sessions"),
            ("DAYPASS_USERS_TABLE", "daypass-users"),
        ];
        let good: BTreeMap<_, _> =
            good.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        checked(&good).unwrap();
        for name in ["DAYPASS_ACCESS_TOKEN_SECONDS", "DAYPASS_CLIENTS", "DAYPASS_GRACE_SECONDS"] {
            let mut wrong = good.clone();
            wrong.insert(name.to_owned(), "soon".to_owned());
            let error = checked(&wrong).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
