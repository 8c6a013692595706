//! The documentation against the code: generated pages, and the names that documents mention.
//!
//! The crates with a command line compare their own commands: `documented_commands_exist` in daypass-cli, daypass-dev and
//! daypass-verify.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::config::all_tables;
use daypass_core::http::answer::status;
use daypass_core::http::error::ApiError;
use daypass_docs::{Document, documents, escaped, files, inline, root, snapshot};
use daypass_gateway::template::parse;
use daypass_verifier::config::{Number, Setting};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Text from one mark to another, wherever it occurs.
fn between<'a>(text: &'a str, start: &'a str, end: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(move |rest| rest.split(|c| end.contains(&c)).next().unwrap_or_default())
}

// ---- configuration -------------------------------------------------------------------------------------------------

struct Template(Value);

impl Template {
    fn read() -> Self {
        Self(parse(&read("template.yaml")).unwrap())
    }

    fn parameters(&self) -> &Map<String, Value> {
        self.0["Parameters"].as_object().unwrap()
    }

    /// The parameter that sets a variable, if one does.
    fn parameter_of(&self, variable: &str) -> Option<&str> {
        let functions = self.0["Resources"].as_object().unwrap().values();
        let values = functions.map(|one| &one["Properties"]["Environment"]["Variables"][variable]);
        values.filter_map(|value| self.referenced(value)).next()
    }

    /// Whether the stack sets a variable. Otherwise the setting is a member of the document.
    fn sets(&self, variable: &str) -> bool {
        let mut functions = self.0["Resources"].as_object().unwrap().values();
        functions.any(|one| !one["Properties"]["Environment"]["Variables"][variable].is_null())
    }

    fn referenced<'a>(&'a self, value: &'a Value) -> Option<&'a str> {
        match value {
            // The issuer is a parameter, the domain or the URL of the API: SSM has the result.
            Value::Object(members)
                if members.get("Fn::GetAtt").is_some_and(|it| it == "IssuerParameter.Value") =>
            {
                Some("Issuer")
            }
            Value::Object(members) => match members.get("Ref") {
                Some(Value::String(name)) if self.parameters().contains_key(name) => Some(name),
                _ => members.values().find_map(|value| self.referenced(value)),
            },
            Value::Array(values) => values.iter().find_map(|value| self.referenced(value)),
            _ => None,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Default and range of a parameter.
fn limits(parameter: &Value) -> (String, String) {
    let default = match parameter.get("Default").map(text) {
        None => "required".to_owned(),
        Some(default) if default.is_empty() => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let values = match (&parameter["AllowedValues"], &parameter["MinValue"], &parameter["MaxLength"]) {
        (Value::Array(values), ..) => {
            values.iter().map(|value| format!("`{}`", text(value))).collect::<Vec<_>>().join(", ")
        }
        (_, Value::Number(least), _) => format!("{least} to {}", parameter["MaxValue"]),
        (_, _, Value::Number(most)) => format!("at most {most} characters"),
        _ => String::new(),
    };
    (default, values)
}

fn configuration() -> String {
    let template = Template::read();
    let mut page = "# Configuration\n\n\
        The functions read environment variables at start. The stack sets some from its template parameters. It passes all \
        other settings as members of a JSON object: the parameter `Settings` for the functions of the issuer, and \
        `AuthorizerSettings` for the authorizer.\n\
        Both arrive in the variable `DAYPASS_SETTINGS`. A member is the name of a variable without `DAYPASS_`, in lower case. \
        A number is a JSON number, the clients are an array, and everything else is a string.\n\n\
        ```json\n{\"clients\": [{\"client_id\": \"web\", \"scope\": \"orders:read\"}], \"idle_seconds\": 86400}\n```\n\n\
        `daypass config check FILE` checks a document as the functions do.\n\
        A deployment with an invalid document fails, and the running functions keep the old one.\n\
        A function that starts with an invalid setting ends at once. So does a function with an unknown member, or with a member that differs from its variable. \
        The event `init.failed` names every problem.\n\
        A deployment does not check the route table: an error in `Routes` ends the authorizer at its start.\n\
        An empty variable counts as unset.\n\n\
        This page is generated from the tables in `shared/core/src/config/mod.rs` and \
        `shared/verify/src/config/authorizer.rs`, and from `template.yaml`.\n\n\
        ## Settings\n\n\
        | Variable | Functions | Default | Range | Parameter or member | Meaning |\n|---|---|---|---|---|---|\n"
        .to_owned();
    let mut settings: BTreeMap<&str, (&Setting, Vec<String>)> = BTreeMap::new();
    for table in all_tables() {
        for setting in table.settings {
            let (_, functions) = settings.entry(setting.name()).or_insert((setting, Vec::new()));
            let function = format!("`{}`", table.function);
            // Two fields of a function can read one setting.
            if !functions.contains(&function) {
                functions.push(function);
            }
        }
    }
    for (name, (setting, functions)) in &settings {
        let parameter = template.parameter_of(name);
        let (default, range) = match (setting, parameter) {
            (Setting::Number(Number { default, range, unit, .. }), _) => {
                (format!("`{default}`"), format!("{} to {} {unit}", range.start(), range.end()))
            }
            (Setting::Text(text), _) if text.json => ("optional".to_owned(), String::new()),
            (Setting::Text(_), Some(parameter)) => limits(&template.parameters()[parameter]),
            (Setting::Text(_), None) if template.sets(name) => ("required".to_owned(), String::new()),
            (Setting::Text(_), None) => ("optional".to_owned(), String::new()),
        };
        let functions = functions.join(", ");
        let parameter = match parameter {
            // A list in the document, or a secret of the operator.
            Some(name) if matches!(setting, Setting::Text(text) if text.json) => {
                format!("`{}` or `{name}`", setting.member())
            }
            Some(name) => format!("`{name}`"),
            None if template.sets(name) => String::new(),
            None => format!("`{}`", setting.member()),
        };
        let meaning = escaped(setting.doc());
        writeln!(page, "| `{name}` | {functions} | {default} | {range} | {parameter} | {meaning} |").unwrap();
    }
    page.push_str(
        "\nThe command `daypass` reads `DAYPASS_SETTINGS`, `DAYPASS_KEYS`, `DAYPASS_STACK`, the `DAYPASS_…_TABLE` variables, `DAYPASS_ARGON2`, \
         `DAYPASS_IMPORTED_HASHES`, `DAYPASS_MIN_PASSWORD_CHARS` and the usual `AWS_…` variables.\n\n\
         ## Template parameters\n",
    );
    let groups = &template.0["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped = BTreeSet::new();
    for group in groups.as_array().unwrap() {
        let label = text(&group["Label"]["default"]);
        write!(page, "\n### {label}\n\n| Parameter | Default | Values | Meaning |\n|---|---|---|---|\n")
            .unwrap();
        for name in group["Parameters"].as_array().unwrap().iter().map(text) {
            let parameter = &template.parameters()[&name];
            let (default, values) = limits(parameter);
            let meaning = escaped(&text(&parameter["Description"]));
            writeln!(page, "| `{name}` | {default} | {values} | {meaning} |").unwrap();
            assert!(grouped.insert(name.clone()), "{name} is in two groups");
        }
    }
    let all: BTreeSet<String> = template.parameters().keys().cloned().collect();
    assert_eq!(grouped, all, "each parameter is in a group");
    page.push_str(
        "\n## Outputs\n\nThe stack exports each output as `STACK-NAME`.\n\n| Output | Meaning |\n|---|---|\n",
    );
    for (name, output) in template.0["Outputs"].as_object().unwrap() {
        writeln!(page, "| `{name}` | {} |", escaped(&text(&output["Description"]))).unwrap();
    }
    page
}

/// `UPDATE_SNAPSHOTS=1` writes the page. It has every variable, parameter and output.
#[test]
fn the_configuration_reference_is_up_to_date() {
    snapshot("docs/reference/configuration.md", &configuration());
}

// ---- invariants ----------------------------------------------------------------------------------------------------

/// Headings of the page, each with the places of its tests. The longest place that fits takes a test.
const AREAS: [(&str, &[&str]); 15] = [
    ("Boundaries", &["tests/it/boundaries.rs"]),
    (
        "Sessions and refresh",
        &[
            "shared/core/src/session",
            "tests/it/flows.rs",
            "tests/it/model.rs",
            "tests/it/overdue.rs",
            "tests/it/suites/ending/",
            "tests/src/",
        ],
    ),
    ("Failures", &["tests/it/suites/failures/", "tests/src/contract/faults.rs"]),
    (
        "Account endpoints",
        &[
            "shared/core/src/token/mail",
            "tests/it/accounts",
            "tests/it/password.rs",
            "tests/it/sessions.rs",
            "tests/src/contract/address.rs",
        ],
    ),
    ("Passkeys", &["shared/core/src/passkey/", "tests/it/passkeys.rs", "tests/src/contract/passkey.rs"]),
    ("Second factors", &["shared/core/src/factor", "shared/core/src/keys/factors", "tests/it/factors.rs"]),
    ("Admin API", &["infra/cli/tests/cli/admin.rs", "infra/rehearsal/admin.py", "tests/it/admin.rs"]),
    (
        "Passwords and rate limits",
        &[
            "shared/core/src/http/proxy.rs",
            "shared/passwords/",
            "tests/it/oracle.rs",
            "tests/it/proxy.rs",
            "tests/it/suites/timing/",
            "tests/it/throttle.rs",
            "tests/src/contract/login.rs",
        ],
    ),
    (
        "Access tokens",
        &["shared/core/src/token/access", "shared/verify/src/jose", "tests/it/suites/interop/"],
    ),
    (
        "Authorizer",
        &[
            "infra/bench/src/report.rs",
            "shared/authorizer/",
            "shared/verify/src/routes",
            "shared/https/",
            "tests/it/suites/rehearsal/caches.rs",
            "tests/it/suites/rehearsal/guards.rs",
        ],
    ),
    (
        "Revocation feed",
        &[
            "shared/feed-client/",
            "tests/it/revocations.rs",
            "tests/it/suites/rehearsal/called_back.rs",
            "tests/it/suites/rehearsal/window.rs",
            "tests/it/suites/revocation/",
            "tests/src/contract/ended.rs",
        ],
    ),
    (
        "Keys",
        &[
            "shared/core/src/keys",
            "shared/core/src/flow/rotate_keys",
            "shared/lambda/src/built.rs",
            "tests/it/suites/rehearsal/rotation.rs",
        ],
    ),
    (
        "Browsers",
        &[
            "functions/refresh/",
            "infra/browser/",
            "infra/gateway/",
            "shared/core/src/client/",
            "tests/browser/",
            "tests/it/cookie.rs",
        ],
    ),
    ("Import and upgrades", &["infra/cli/", "tests/it/upgrades.rs", "tests/src/contract/moving.rs"]),
    (
        "Deployment and documentation",
        &["functions/rotate-keys/", "infra/", "shared/lambda/", "shared/verify/src/config/", "tests/it/"],
    ),
];

/// The `invariant:` comments of a file, each with the name of what follows it.
fn invariants_of(file: &Document) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    let mut open = false;
    for line in file.text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            open = false;
            continue;
        }
        let comment =
            ["///", "//!", "//", "#"].iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim);
        match comment {
            Some(comment) if comment.starts_with("invariant: ") => {
                pending.push(comment.trim_start_matches("invariant: ").to_owned());
                open = true;
            }
            Some("") => open = false,
            Some(comment) if open => {
                let last = pending.last_mut().unwrap();
                last.push(' ');
                last.push_str(comment);
            }
            Some(_) => {}
            None => {
                open = false;
                let place = match name_of(line) {
                    _ if pending.is_empty() => continue,
                    Some(name) => format!("`{}`: `{name}`", file.path),
                    // The lines of an attribute.
                    None if file.path.ends_with(".rs") => continue,
                    None => format!("`{}`", file.path),
                };
                found.extend(pending.drain(..).map(|invariant| (invariant, place.clone())));
            }
        }
    }
    assert!(pending.is_empty(), "{}: an invariant at the end of the file", file.path);
    found
}

/// The name that a line declares: of a function, a constant or a test in quotes.
fn name_of(line: &str) -> Option<String> {
    let name =
        |rest: &str| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().map(str::to_owned);
    for keyword in ["fn ", "const ", "static ", "def "] {
        if let Some((before, rest)) = line.split_once(keyword)
            && before
                .split_whitespace()
                .all(|word| ["pub", "pub(crate)", "pub(super)", "async"].contains(&word))
        {
            return name(rest);
        }
    }
    let quoted = line.strip_prefix("test(").or(line.strip_prefix("scenario("))?;
    Some(quoted.trim_start_matches(['"', '\'', '`']).split(['"', '\'', '`']).next()?.to_owned())
}

fn invariants() -> String {
    let mut all: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
    for file in files(&["rs", "py", "mjs", "ts"]).iter().filter(|file| file.path != "tests/it/docs.rs") {
        for (invariant, test) in invariants_of(file) {
            let area = area_of(&file.path);
            let (first, tests) = all.entry(invariant).or_insert((area, BTreeSet::new()));
            *first = area.min(*first);
            tests.insert(test);
        }
    }
    let mut page = "# Invariants\n\nThese rules always hold. Each is stated by a comment `invariant:` on a test that holds it.\n\n\
        This page is generated from these comments.\n"
        .to_owned();
    for (area, (heading, _)) in AREAS.iter().enumerate() {
        write!(page, "\n## {heading}\n\n| Invariant | Held by |\n|---|---|\n").unwrap();
        for (invariant, (_, tests)) in all.iter().filter(|(_, (first, _))| *first == area) {
            let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
            writeln!(page, "| {} | {} |", escaped(invariant), tests.join(", ")).unwrap();
        }
    }
    page
}

/// The area of a file's tests.
fn area_of(path: &str) -> usize {
    let places = AREAS
        .iter()
        .enumerate()
        .flat_map(|(area, (_, places))| places.iter().map(move |place| (area, place)));
    let fits = places.filter(|(_, place)| path.starts_with(**place));
    fits.max_by_key(|(_, place)| place.len()).unwrap_or_else(|| panic!("AREAS has no place for {path}")).0
}

/// `UPDATE_SNAPSHOTS=1` writes the page.
#[test]
fn the_list_of_invariants_is_up_to_date() {
    snapshot("docs/internals/invariants.md", &invariants());
}

#[test]
fn invariants_are_read_with_the_test_that_follows() {
    let text = "/// About.\n///\n/// invariant: One thing\n/// holds.\n/// invariant: Another.\n#[test]\nfn both() {}\n\
        # invariant: In Python.\ndef check():\n";
    let file = Document { path: "x.rs".to_owned(), text: text.to_owned() };
    let expected = [("One thing holds.", "both"), ("Another.", "both"), ("In Python.", "check")]
        .map(|(invariant, name)| (invariant.to_owned(), format!("`x.rs`: `{name}`")));
    assert_eq!(invariants_of(&file), expected);
}

// ---- names ---------------------------------------------------------------------------------------------------------

/// Documents about the present: a changelog names what is gone.
fn present() -> Vec<Document> {
    documents().into_iter().filter(|document| document.path != "CHANGELOG.md").collect()
}

/// All errors with status and code. A variant that is missing here does not compile.
pub(crate) fn errors() -> BTreeSet<(u16, &'static str)> {
    use ApiError::{
        AlreadyExists, AnotherClientsGrant, BadCredentials, BodyTooLarge, ClientAuthentication,
        FactorRequired, InsufficientAuthentication, InsufficientScope, InvalidClient, InvalidGrant,
        InvalidProof, InvalidRequest, InvalidScope, InvalidToken, MailOff, MailRefused, MethodNotAllowed,
        NoOperator, NoToken, NonceNeeded, NotFound, NotThroughProxy, OriginNotAllowed, PasskeysOff,
        PasswordRefused, ServerError, SignUpNotAllowed, SlowDown, TemporarilyUnavailable, UnauthorizedClient,
        UnknownClient, UnsupportedGrantType, UnsupportedMediaType, WrongCode, WrongPasskey, WrongPassword,
    };
    let all = [
        InvalidRequest(""),
        NoToken(""),
        BodyTooLarge,
        UnsupportedMediaType(""),
        MethodNotAllowed(""),
        BadCredentials,
        InvalidGrant,
        AnotherClientsGrant,
        UnsupportedGrantType,
        UnknownClient,
        OriginNotAllowed,
        NotThroughProxy(""),
        ClientAuthentication,
        InvalidClient,
        UnauthorizedClient,
        InvalidScope,
        WrongPassword,
        PasswordRefused(""),
        MailRefused,
        SignUpNotAllowed,
        MailOff,
        PasskeysOff,
        WrongPasskey,
        WrongCode,
        InvalidProof(""),
        NonceNeeded,
        FactorRequired,
        InvalidToken,
        InsufficientScope,
        InsufficientAuthentication(Default::default()),
        NoOperator,
        NotFound,
        AlreadyExists(""),
        SlowDown(Duration::ZERO),
        TemporarilyUnavailable,
        ServerError,
    ];
    for error in all {
        match error {
            InvalidRequest(_)
            | NoToken(_)
            | BodyTooLarge
            | UnsupportedMediaType(_)
            | MethodNotAllowed(_)
            | BadCredentials
            | InvalidGrant
            | AnotherClientsGrant
            | UnsupportedGrantType
            | UnknownClient
            | OriginNotAllowed
            | NotThroughProxy(_)
            | ClientAuthentication
            | InvalidClient
            | UnauthorizedClient
            | InvalidScope
            | WrongPassword
            | WrongCode
            | InvalidProof(_)
            | NonceNeeded
            | WrongPasskey
            | PasskeysOff
            | FactorRequired
            | PasswordRefused(_)
            | MailRefused
            | SignUpNotAllowed
            | MailOff
            | InvalidToken
            | InsufficientScope
            | InsufficientAuthentication(_)
            | NoOperator
            | NotFound
            | AlreadyExists(_)
            | SlowDown(_)
            | TemporarilyUnavailable
            | ServerError => {}
        }
    }
    // The answer of the first step of a login, which is no failure.
    let second_step = (403, "mfa_required");
    all.iter().map(|error| (status(error).as_u16(), error.text().0)).chain([second_step]).collect()
}

#[test]
fn the_table_of_errors_has_every_error() {
    let page = read("docs/reference/errors.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`')))
    });
    let rows: Vec<(u16, &str)> = rows.collect();
    let documented: BTreeSet<(u16, &str)> = rows.iter().copied().collect();
    assert_eq!(documented.len(), rows.len(), "one row for each status and code");
    assert_eq!(documented, errors());
}

#[test]
fn documented_cargo_commands_exist() {
    const CARGOS_OWN: [&str; 10] =
        ["auditable", "bench", "build", "deny", "lambda", "metadata", "nextest", "run", "test", "tree"];
    let config = read(".cargo/config.toml");
    let aliases: BTreeSet<&str> =
        config.lines().filter_map(|line| line.split_once(" = \"")).map(|(name, _)| name).collect();
    for command in daypass_docs::commands(&["cargo"]) {
        let Some(name) = command.words.get(1) else { continue };
        assert!(aliases.contains(name.as_str()) || CARGOS_OWN.contains(&name.as_str()), "{}", command.place);
    }
}

/// A file that a documented command writes holds keys or users, and is one `git add` away from the repository.
///
/// invariant: Git ignores each file that a documented command writes into the checkout.
#[test]
fn git_ignores_what_documented_commands_write() {
    let mut written = BTreeSet::new();
    for command in daypass_docs::commands(&["daypass"]) {
        // Lines such as `daypass user export --out FILE` show a form.
        let named = command.words.windows(2).filter(|pair| ["--out", "--errors"].contains(&pair[0].as_str()));
        written.extend(named.map(|pair| pair[1].clone()).filter(|file| file.contains('.')));
    }
    assert!(written.contains("new-peppers.json") && written.contains("users.jsonl"), "{written:?}");
    for file in written {
        let ignored =
            Command::new("git").args(["check-ignore", "--quiet", &file]).current_dir(root()).status();
        assert!(ignored.unwrap().success(), ".gitignore does not name {file}");
    }
}

/// Every user of a machine reads the arguments of its processes.
///
/// invariant: No documented command has a secret among its arguments.
#[test]
fn documented_commands_take_secrets_from_files() {
    let mut found = 0;
    for document in present() {
        for value in document.text.split("--secret-string ").skip(1) {
            assert!(value.starts_with("file://"), "{}: a secret among the arguments", document.path);
            found += 1;
        }
    }
    assert!(found >= 2, "{found} commands write a secret");
}

/// Whether a name is that of an environment variable of ours.
fn is_variable(name: &str) -> bool {
    name.starts_with("DAYPASS_") && name.len() > 8 && !name.ends_with('_')
}

fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|name| is_variable(name))
}

/// In both directions: the configuration page has every variable that a function reads.
#[test]
fn documented_variables_exist() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for file in files(&["rs", "py", "mjs", "yaml"]) {
        // A name in quotes is read or set; one in a comment may be gone.
        known.extend(
            between(&file.text, "\"DAYPASS_", &['"', '=', ' ']).map(|name| format!("DAYPASS_{name}")),
        );
        known.extend(
            between(&file.text, "\n          DAYPASS_", &[':', '\n']).map(|name| format!("DAYPASS_{name}")),
        );
    }
    for document in present() {
        for name in names_in(&document.text) {
            assert!(known.contains(name), "{}: no code reads {name}", document.path);
        }
    }
}

/// Names such as `KeysRevision=2` and "the parameter `Routes`" are those of a template.
#[test]
fn documented_parameters_exist() {
    // Attributes of cookies, and properties of DynamoDB.
    const OTHERS: [&str; 4] = ["Path", "PointInTimeRecoveryEnabled", "SameSite", "StreamEnabled"];
    let mut known: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    let templates = [
        "template.yaml",
        "infra/security-events.yaml",
        "infra/authorizer.yaml",
        "infra/examples/guarded-api/template.yaml",
        "infra/rehearsal/apis.yaml",
    ];
    for template in templates {
        known.extend(parse(&read(template)).unwrap()["Parameters"].as_object().unwrap().keys().cloned());
    }
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_uppercase())
            && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_alphanumeric())
    };
    let mut found = 0;
    for document in present() {
        let assigned = document.text.split(|c: char| c.is_whitespace() || "`;|(".contains(c));
        let assigned = assigned.filter_map(|word| word.split_once('='));
        // Padding of base64 is no assignment.
        let assigned = assigned.filter(|(_, value)| !value.starts_with('=')).map(|(name, _)| name);
        let named = between(&document.text, "parameter `", &['`']);
        for name in assigned.chain(named).filter(|name| is_name(name)) {
            assert!(known.contains(name), "{}: no template has the parameter {name}", document.path);
            found += 1;
        }
    }
    assert!(found > 20, "{found} parameters are named");
}

/// Files, folders and tests that documents and comments name.
#[test]
fn documented_places_exist() {
    const FOLDERS: [&str; 6] = [".github/", "docs/", "functions/", "infra/", "shared/", "tests/"];
    let code = files(&["rs"]);
    let declared = |name: &str| {
        let declares = |word: &str| code.iter().any(|file| file.text.contains(&format!("{word} {name}")));
        ["fn", "mod", "struct", "enum", "const", "trait"].into_iter().any(declares)
    };
    for document in present() {
        for span in inline(&document) {
            let path = span.split(':').next().unwrap_or_default();
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let placeholder = path.contains("NAME");
            if plain && !placeholder && FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                assert!(root().join(path).exists(), "{}: there is no {path}", document.path);
            }
            if let Some((module, name)) = span.rsplit_once("::")
                && module.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == ':')
                && !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            {
                assert!(declared(name), "{}: there is no {span}", document.path);
            }
        }
    }
    for file in files(&["rs", "py", "mjs", "js", "ts", "yaml", "yml", "toml", "md"]) {
        for page in
            between(&file.text, "docs/", &[' ', '`', ')', '"', '\'', ',', ':', ';', '\n', '#', '*', '<'])
        {
            let page = page.trim_end_matches('.');
            if page.ends_with(".md") && !page.contains('{') && file.path != "tests/it/docs.rs" {
                // Relative to the root, or to the folder of the file.
                let folder = root().join(&file.path);
                let beside = folder.parent().unwrap().join("docs").join(page);
                assert!(
                    root().join("docs").join(page).is_file() || beside.is_file(),
                    "{}: there is no docs/{page}",
                    file.path
                );
            }
        }
    }
}

/// Every page is in the navigation of the book; the book's strict build holds the other direction.
#[test]
fn every_page_is_in_the_navigation() {
    let book = read("zensical.toml");
    for document in documents() {
        if let Some(page) = document.path.strip_prefix("docs/") {
            assert!(book.contains(&format!("\"{page}\"")), "zensical.toml does not name {page}");
        }
    }
}
