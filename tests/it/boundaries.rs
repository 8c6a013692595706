//! The boundaries between the crates, read from Cargo's metadata.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail as the test does"
)]

mod imports;

use daypass_tools::FUNCTIONS;
use imports::Imports;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates of the workspace with the dependencies in their manifests, without those of tests.
fn named_by() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))
            .unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let normal =
                list(&package["dependencies"]).into_iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

/// The names of all packages in a build of the package for this machine, without those of tests and build scripts.
fn linked_into(package: &str) -> BTreeSet<String> {
    cargo(&[
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ])
    .lines()
    .filter_map(|line| line.split(' ').next())
    .map(str::to_owned)
    .collect()
}

fn is_aws(name: &str) -> bool {
    name.starts_with("aws-sdk")
        || name.starts_with("aws-smithy")
        || name == "aws-config"
        || name == "aws-runtime"
}

/// The packages of the workspace below a folder.
fn packages_below(folder: &str) -> BTreeSet<String> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))
            .unwrap();
    let below = root().join(folder);
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|package| Path::new(package["manifest_path"].as_str().unwrap()).starts_with(&below))
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_list_of_functions_has_every_package() {
    let listed: BTreeSet<String> = FUNCTIONS.iter().map(|function| function.package.to_owned()).collect();
    assert_eq!(packages_below("functions"), listed);
}

/// invariant: Core has no I/O: it links no AWS SDK, no runtime and no HTTP client.
#[test]
fn core_touches_nothing_outside() {
    // The verifier is among them.
    let linked = linked_into("daypass-core");
    let forbidden = |name: &&String| {
        is_aws(name)
            || name.starts_with("lambda")
            || ["tokio", "hyper", "reqwest", "tracing", "rand"].contains(&name.as_str())
    };
    assert_eq!(linked.iter().filter(forbidden).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// The test before checks crates, and this one the standard library.
///
/// invariant: Core takes time and randomness as parameters, except for the keys and nonces that AWS-LC draws.
#[test]
fn core_names_nothing_ambient() {
    let ambient = [
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "TcpStream",
        "UdpSocket",
        "Instant::now",
        "SystemTime",
    ];
    for file in
        ["shared/core/src", "shared/verify/src"].iter().flat_map(|folder| sources(&root().join(folder)))
    {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests are at the end of a file, or in another one.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for name in ambient {
            let found = code.lines().find(|line| line.contains(name) && !line.trim_start().starts_with("//"));
            assert_eq!(found, None, "{} names {name}", file.display());
        }
    }
}

/// The layers of the verifier's crate, the lowest first. A module names only what lies below it.
const VERIFIER: [&str; 7] = ["base", "jose", "routes", "revocation", "ports", "config", "testing"];

/// The layers of core, which stand on those of the verifier.
const CORE: [&str; 14] = [
    "secret", "keys", "account", "factor", "token", "client", "throttle", "session", "passkey", "ports",
    "config", "flow", "http", "testing",
];

#[test]
fn the_layers_flow_one_way() {
    for (source, layers) in [("shared/verify/src", VERIFIER.as_slice()), ("shared/core/src", CORE.as_slice())]
    {
        let imports = Imports::of(&root().join(source));
        assert_eq!(imports.upward(layers), Vec::<String>::new(), "{source}");
    }
}

/// A re-export would give a type two paths, and hide its layer.
#[test]
fn the_roots_of_the_layers_re_export_nothing() {
    for file in ["shared/verify/src/lib.rs", "shared/core/src/lib.rs"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(!text.lines().any(|line| line.contains("pub use")), "{file}");
    }
}

/// The authorizer runs before every request of an API, so it must not be able to make a token.
#[test]
fn the_verifier_and_the_authorizer_link_no_code_of_ours_that_signs() {
    let ours = |package: &str| -> Vec<String> {
        linked_into(package).into_iter().filter(|name| name.starts_with("daypass-")).collect()
    };
    assert_eq!(ours("daypass-verifier"), ["daypass-verifier"]);
    for package in
        ["daypass-authorizer", "daypass-authorizer-function", "daypass-feed-client", "daypass-runtime"]
    {
        assert!(!ours(package).contains(&"daypass-core".to_owned()), "{package}");
    }
    for file in sources(&root().join("shared/verify/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for signs in ["EncodingKey", "KeyPair", "crypto::sign", "hmac"] {
            assert!(!text.contains(signs), "{} names {signs}", file.display());
        }
    }
}

#[test]
fn no_crate_has_an_import_cycle_between_its_modules() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))
            .unwrap();
    let mut cycles = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let imports = Imports::of(&folder.join("src"));
        let name = package["name"].as_str().unwrap();
        cycles.extend(imports.cycles().into_iter().map(|module| format!("{name}: {module}")));
    }
    assert_eq!(cycles, Vec::<String>::new());
}

/// The Rust files of a folder that are not tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if !path.ends_with("tests.rs") && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// invariant: One crate names the DynamoDB SDK, one the Secrets Manager SDK, and one the SES SDK.
#[test]
fn one_crate_names_each_sdk() {
    let named = named_by();
    let who = |sdk: &str| -> Vec<&str> {
        let names = |(_, dependencies): &(&String, &BTreeSet<String>)| dependencies.contains(sdk);
        named.iter().filter(names).map(|(name, _)| name.as_str()).collect()
    };
    // The floor is the baseline of the benchmarks.
    assert_eq!(who("aws-sdk-dynamodb"), ["daypass-dynamodb", "daypass-floor-aws", "daypass-tests"]);
    assert_eq!(who("aws-sdk-secretsmanager"), ["daypass-floor-aws", "daypass-key-loader"]);
    assert_eq!(who("aws-sdk-sesv2"), ["daypass-mail"]);
}

/// Only people sign in by `aws sso login` or `aws login`. A function is built alone, so features of `daypass` do not reach it.
///
/// invariant: Functions do not link the sign-in code of operators.
#[test]
fn functions_link_no_credential_source_of_operators() {
    let sources = ["aws-sdk-sso", "aws-sdk-ssooidc", "aws-sdk-signin", "p256"];
    for function in FUNCTIONS {
        let linked = linked_into(function.package);
        for source in sources {
            assert!(!linked.contains(source), "{}: {source}", function.package);
        }
    }
    let linked = linked_into("daypass-cli");
    assert!(sources.iter().all(|source| linked.contains(*source)));
}

/// invariant: The authorizer links no AWS SDK.
#[test]
fn the_authorizer_links_no_aws_sdk() {
    let linked = linked_into("daypass-authorizer-function");
    assert_eq!(linked.iter().filter(|name| is_aws(name)).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// `sessions` learns its caller from the authorizer's context, and `revocations` answers every caller alike. Neither holds a secret.
///
/// `sessions` reads the list of clients from Secrets Manager; its role grants no key.
///
/// invariant: `sessions` and `revocations` link no password hasher, and `revocations` no key source.
#[test]
fn sessions_and_revocations_read_no_key_and_no_password() {
    for function in ["daypass-sessions", "daypass-revocations"] {
        let linked = linked_into(function);
        for hasher in ["daypass-passwords", "argon2"] {
            assert!(!linked.contains(hasher), "{function}: {hasher}");
        }
    }
    let linked = linked_into("daypass-revocations");
    assert!(!linked.contains("daypass-key-loader") && !linked.contains("aws-sdk-secretsmanager"));
}

/// A request for a mail does not wait for SES, and the function that sends mails reads no password.
///
/// invariant: Of the functions, only `mailer` links SES, and `mailer` links no password hasher.
#[test]
fn the_mailer_alone_sends_mails() {
    let sends = |function: &&daypass_tools::Function| linked_into(function.package).contains("aws-sdk-sesv2");
    let senders: Vec<&str> = FUNCTIONS.iter().filter(sends).map(|function| function.binary).collect();
    assert_eq!(senders, ["mailer"]);
    let linked = linked_into("daypass-mailer");
    assert!(!linked.contains("daypass-passwords") && !linked.contains("argon2"));
}

/// The packages that the authorizer links. Review a package before you add its line. `UPDATE_SNAPSHOTS=1` writes the list.
///
/// invariant: The authorizer links the crates of its snapshot and no others.
#[test]
fn the_authorizer_links_what_it_linked() {
    let file = root().join("tests/it/snapshots/authorizer-dependencies.txt");
    let linked: String =
        linked_into("daypass-authorizer-function").iter().map(|name| format!("{name}\n")).collect();
    #[expect(clippy::disallowed_methods, reason = "the switch that rewrites a snapshot")]
    if std::env::var("UPDATE_SNAPSHOTS").is_ok() {
        std::fs::write(&file, &linked).unwrap();
    }
    assert_eq!(linked, std::fs::read_to_string(&file).unwrap(), "UPDATE_SNAPSHOTS=1 accepts the change");
}

/// Two HTTP clients beside that of the Runtime API: `https`, and that of the AWS SDK, which `migration` shares.
///
/// invariant: `https` and `migration` are the crates of functions that speak TLS to hosts other than AWS.
#[test]
fn what_fetches_keys_is_apart() {
    let named = named_by();
    let who = |name: &str| -> Vec<&str> {
        let names = |(_, dependencies): &(&String, &BTreeSet<String>)| dependencies.contains(name);
        named.iter().filter(names).map(|(name, _)| name.as_str()).collect()
    };
    let https =
        ["daypass-authorizer", "daypass-axum", "daypass-feed-client", "daypass-floor", "daypass-rotate-keys"];
    assert_eq!(who("daypass-https"), https);
    assert_eq!(who("daypass-feed-client"), ["daypass-authorizer-function"]);
    assert_eq!(who("rustls-native-certs"), ["daypass-https"]);
    assert_eq!(who("daypass-migration"), ["daypass-login", "daypass-tests"]);
    let connect: Vec<&str> = who("aws-smithy-runtime-api");
    assert_eq!(connect, ["daypass-aws", "daypass-cli", "daypass-migration"]);
    let linked = linked_into("daypass-authorizer-function");
    for client in [
        "reqwest",
        "ureq",
        "curl",
        "hyper-tls",
        "hyper-rustls",
        "native-tls",
        "openssl",
        "ring",
        "webpki-roots",
    ] {
        assert!(!linked.contains(client), "{client}");
    }
}

/// invariant: `introspect` links no password hasher.
#[test]
fn introspection_checks_no_password() {
    let linked = linked_into("daypass-introspect");
    assert!(!linked.contains("daypass-passwords") && !linked.contains("argon2"));
}

/// Its route is public, so it must not be able to write a table or check a password.
///
/// invariant: `discovery` links no table and no password hasher.
#[test]
fn discovery_reads_public_keys_and_nothing_else() {
    let linked = linked_into("daypass-discovery");
    for other in ["daypass-dynamodb", "aws-sdk-dynamodb", "daypass-passwords", "argon2"] {
        assert!(!linked.contains(other), "{other}");
    }
}

/// Operators run `daypass` against AWS. The local stack and its dependencies belong to `cargo dev`.
///
/// invariant: `daypass` links nothing of the local stack.
#[test]
fn the_operators_command_links_no_local_stack() {
    let linked = linked_into("daypass-cli");
    for local in [
        "daypass-dev",
        "daypass-embedded",
        "daypass-gateway",
        "daypass-tools",
        "dynoxide-rs",
        "libsqlite3-sys",
        "axum",
    ] {
        assert!(!linked.contains(local), "{local}");
    }
}

#[test]
fn functions_do_not_know_each_other_and_shared_knows_no_function() {
    let (named, functions) = (named_by(), packages_below("functions"));
    for package in functions.iter().chain(&packages_below("shared")) {
        let found: Vec<&String> = named[package].intersection(&functions).collect();
        assert_eq!(found, Vec::<&String>::new(), "{package}");
    }
}

#[test]
fn nothing_that_runs_depends_on_what_deploys_or_tests_it() {
    let named = named_by();
    let tools = &packages_below("infra") | &packages_below("tests");
    for package in packages_below("functions").iter().chain(&packages_below("shared")) {
        let found: Vec<&String> = named[package].intersection(&tools).collect();
        assert_eq!(found, Vec::<&String>::new(), "{package}");
    }
}

/// Cargo unifies features over a build, so a feature cannot be a boundary.
///
/// invariant: Boundaries are crates: only the fuzz targets have a Cargo feature, for their link with libFuzzer.
#[test]
fn no_other_crate_of_ours_has_features() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))
            .unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let features = if package["name"] == "daypass-fuzz" {
            json!({ "targets": ["dep:libfuzzer-sys"] })
        } else {
            json!({})
        };
        assert_eq!(package["features"], features, "{}", package["name"]);
    }
}
