//! Names that documents mention: errors, commands, files, variables, parameters, places.

use super::{between, read};
use daypass_core::http::answer::status;
use daypass_core::http::error::ApiError;
use daypass_docs::{Document, documents, files, inline, root};
use daypass_gateway::template::parse;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

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
            if page.ends_with(".md") && !page.contains('{') {
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
