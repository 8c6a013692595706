use crate::bench::{Bench, Daypass, PASSWORD, daypass, wait_for};
use daypass_core::client::machine::MachineDocument;
use daypass_core::config::Tables;
use daypass_dynamodb::DynamoDb;
use daypass_testkit::embedded::Embedded;
use daypass_testkit::recorder::{Action, Recorder};
use daypass_testkit::secrets_manager::{ARN, SecretsManager};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WAYS: &str = "start the local stack with `cargo dev` in a checkout of Daypass, or name a DynamoDB on this machine \
                    with --endpoint URL or AWS_ENDPOINT_URL, or select an AWS account with AWS_PROFILE";

/// A port without a listener.
fn closed_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Makes a folder look like a checkout of Daypass.
fn make_checkout(folder: &Path) {
    fs::create_dir_all(folder.join("infra/cli")).unwrap();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), folder.join("infra/cli/Cargo.toml"))
        .unwrap();
}

/// Describes a local stack below `build`, as `cargo dev` does.
fn describe_stack(build: &Path, variables: &serde_json::Value) -> PathBuf {
    let folder = build.join("dev");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let path = folder.join("environment.json");
    fs::write(&path, variables.to_string()).unwrap();
    path
}

#[test]
fn options_stand_anywhere_after_the_noun() {
    let bench = Bench::new();
    bench.add("alice");
    let url = bench.url();
    let expected = bench.daypass(&["user", "show", "alice"]).ok();
    for args in [
        ["user", "--endpoint", &url, "show", "alice"],
        ["user", "show", "--endpoint", &url, "alice"],
        ["user", "show", "alice", "--endpoint", &url],
    ] {
        assert_eq!(daypass(bench.folder.path(), &args).ok(), expected);
    }
    let before = daypass(bench.folder.path(), &["--json", "user", "show", "alice", "--endpoint", &url]).ok();
    let after = daypass(bench.folder.path(), &["user", "show", "alice", "--endpoint", &url, "--json"]).ok();
    assert_eq!(before, after);
}

#[test]
fn the_aws_environment_names_the_store() {
    let bench = Bench::new();
    bench.add("alice");
    let show = || daypass(bench.folder.path(), &["user", "show", "alice"]);
    let identified = || {
        show()
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_REGION", "eu-west-1")
    };
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"] {
        assert!(show().env(name, bench.url()).ok().contains("alice"), "a local one wants no credentials");
        assert!(identified().env(name, bench.url()).ok().contains("alice"));
    }
    let nowhere = format!("http://127.0.0.1:{}", closed_port());
    let specific = show().env("AWS_ENDPOINT_URL", &nowhere).env("AWS_ENDPOINT_URL_DYNAMODB", bench.url());
    assert!(specific.ok().contains("alice"));
    identified().env("AWS_ENDPOINT_URL", &nowhere).fails(
        &format!("DynamoDB at {nowhere} does not answer (GetItem: no connection)"),
        "correct AWS_ENDPOINT_URL",
    );
    let mut with_profile = show().env("AWS_PROFILE", "work");
    with_profile.command.args(["--endpoint", &bench.url()]);
    let run = with_profile.run();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.err.starts_with("note: --endpoint uses made-up local credentials"), "{run:?}");
}

#[test]
fn tables_have_other_names_when_told() {
    let embedded = Embedded::start(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let names = ["u", "s", "a"].map(|prefix| format!("{prefix}-stage"));
    let [users, sessions, attempts] = names.clone();
    let tables = Tables { users, sessions, attempts };
    wait_for(DynamoDb::local(&embedded.url(), (&tables).into()).create_tables()).unwrap();
    let url = embedded.url();
    let list =
        |options: &[&str]| daypass(folder.path(), &[&["user", "list", "--endpoint", &url], options].concat());

    list(&[]).fails(
        &format!(
            "DynamoDB at {url} has no table daypass-users, daypass-sessions, daypass-attempts or daypass-outbox (Scan: \
             ResourceNotFoundException (HTTP 400); create the table, or correct its name or the region)"
        ),
        "name the tables with --users-table, --sessions-table, --attempts-table and --outbox-table",
    );
    let [users, sessions, attempts] = &names;
    list(&["--users-table", users, "--sessions-table", sessions, "--attempts-table", attempts]).json();
    list(&[]).env("DAYPASS_USERS_TABLE", users).json();
    list(&["--users-table", users]).env("DAYPASS_USERS_TABLE", "overruled").json();
    list(&["--users-table", users]).env("DAYPASS_SESSIONS_TABLE", "").json();
}

#[test]
fn endpoints_elsewhere_are_not_for_made_up_credentials() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["http://192.0.2.1:8000", "localhost:8000", "https://dynamodb.eu-west-1.amazonaws.com", ""] {
        daypass(folder.path(), &["user", "list", &format!("--endpoint={url}")])
            .misused("AWS_ENDPOINT_URL_DYNAMODB");
    }
}

#[test]
fn stores_that_do_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let list = |url: &str| daypass(folder.path(), &["user", "list", "--endpoint", url]);
    let nowhere = format!("http://127.0.0.1:{}", closed_port());
    list(&nowhere)
        .fails(&format!("DynamoDB at {nowhere} does not answer (Scan: no connection)"), "correct --endpoint");

    // The kernel accepts the connection, and no process reads from it.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    list(&url)
        .fails(&format!("DynamoDB at {url} does not answer (Scan: no answer in time)"), "correct --endpoint");

    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", other.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    list(&url).fails(
        &format!("DynamoDB at {url} rejects the request (Scan: no error code (HTTP 404))"),
        "another program",
    );
    server.join().unwrap();
}

/// The profiles that `aws configure sso`, `credential_process` and `aws login` make.
#[test]
fn every_kind_of_profile_is_used() {
    let bench = Bench::new();
    bench.add("alice");
    let config = bench.folder.path().join("config");
    let profiles = r#"
[sso-session corp]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Administrator
region = eu-west-1
[profile old-sso]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Administrator
region = eu-west-1
[profile process]
region = eu-west-1
credential_process = /bin/echo '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"secret"}'
[profile failing]
region = eu-west-1
credential_process = /bin/sh -c 'echo "the token of the vault has expired" >&2; exit 1'
[profile signin]
region = eu-west-1
login_session = arn:aws:iam::123456789012:user/ada
[profile keys]
region = eu-west-1
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
[profile role-of-sso]
region = eu-west-1
role_arn = arn:aws:iam::123456789012:role/x
source_profile = sso
[profile role]
region = eu-west-1
role_arn = arn:aws:iam::123456789012:role/x
source_profile = ghost
"#;
    fs::write(&config, profiles).unwrap();
    let show = |profile: &str| {
        let daypass = daypass(bench.folder.path(), &["user", "show", "alice"]);
        let daypass = daypass.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", profile);
        daypass.env("AWS_ENDPOINT_URL_DYNAMODB", bench.url())
    };
    for profile in ["process", "keys"] {
        assert!(show(profile).ok().contains("alice"), "{profile}");
    }
    for (profile, cause) in [
        // There was no `aws sso login` and no `aws login`: the token is in no file.
        ("sso", "failed to load the cached SSO token"),
        ("old-sso", ".aws/sso/cache/"),
        ("role-of-sso", "failed to load the cached SSO token"),
        ("signin", ".aws/login/cache/"),
        ("failing", "the token of the vault has expired"),
    ] {
        let run = show(profile).run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{profile}: {run:?}");
        assert!(run.err.contains("the AWS credentials could not be loaded: "), "{profile}: {run:?}");
        assert!(run.err.contains(cause), "{profile}: {run:?}");
        assert!(
            run.err.contains("hint: sign in again with `aws sso login` or `aws login`"),
            "{profile}: {run:?}"
        );
    }
    for profile in ["role", "ghost"] {
        let run = show(profile).run();
        assert!(run.err.contains("set AWS_PROFILE to a profile with credentials"), "{profile}: {run:?}");
    }
}

/// A company's proxy cannot reach this machine.
#[test]
fn no_proxy_stands_before_this_machine() {
    let bench = Bench::new();
    bench.add("alice");
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    let (folder, url) = (bench.folder.path(), bench.url());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        for exceptions in ["", "internal.example.com"] {
            let with_proxy = |daypass: Daypass| daypass.env(name, &proxy).env("NO_PROXY", exceptions);
            let show =
                |args: &[&str]| with_proxy(daypass(folder, &[&["user", "show", "alice"], args].concat()));
            assert!(show(&["--endpoint", &url]).ok().contains("alice"), "{name}");
            assert!(show(&[]).env("AWS_ENDPOINT_URL", &url).ok().contains("alice"), "{name}");
            let identified = show(&[]).env("AWS_ENDPOINT_URL_DYNAMODB", &url).env("AWS_REGION", "eu-west-1");
            let identified = identified.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
            assert!(identified.ok().contains("alice"), "{name}");
        }
    }
    // A store elsewhere is behind the proxy.
    let elsewhere = daypass(folder, &["user", "list"]).env("AWS_ENDPOINT_URL", "http://192.0.2.1:8000");
    let elsewhere = elsewhere.env("AWS_REGION", "eu-west-1").env("AWS_ACCESS_KEY_ID", "k");
    let run = elsewhere.env("AWS_SECRET_ACCESS_KEY", "s").env("HTTP_PROXY", &proxy).run();
    assert!(
        run.err.contains("DynamoDB at http://192.0.2.1:8000 does not answer (Scan: no connection"),
        "{run:?}"
    );
}

#[test]
fn the_loopback_of_ipv6_is_this_machine() {
    let bench = Bench::new();
    bench.add("alice");
    let Ok(listener) = TcpListener::bind(("::1", 0)) else {
        panic!("this machine has no IPv6 loopback");
    };
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = bench.url().trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
            let (mut back, mut forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut client, &mut server));
            std::thread::spawn(move || std::io::copy(&mut back, &mut forth));
        }
    });
    let show = || daypass(bench.folder.path(), &["user", "show", "alice"]);
    assert!(show().env("AWS_ENDPOINT_URL", &url).ok().contains("alice"));
    let mut named = show();
    named.command.args(["--endpoint", &url]);
    assert!(named.ok().contains("alice"));
}

/// An operator far from the region, or on a train. The limits of a function are 1 s for an attempt and 2 s for a request; for a secret, 1.4 s and 3 s.
#[test]
fn a_slow_network_is_waited_for() {
    let bench = Bench::new();
    bench.add("alice");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let slow = runtime.block_on(Recorder::start(&bench.url()));
    slow.always(Action::LateAnswer(Duration::from_millis(2_500)));
    let show = || daypass(bench.folder.path(), &["user", "show", "alice"]);
    let mut local = show();
    local.command.args(["--endpoint", slow.url()]);
    assert!(local.ok().contains("alice"));
    let remote = show().env("AWS_ENDPOINT_URL", slow.url()).env("AWS_REGION", "eu-west-1");
    assert!(remote.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s").ok().contains("alice"));

    let clients = MachineDocument::new().to_json().unwrap();
    let secrets = runtime.block_on(SecretsManager::start(clients)).unwrap();
    secrets.answer();
    secrets.set_delay(Duration::from_millis(2_500));
    let list = daypass(bench.folder.path(), &["--json", "client", "list"])
        .env("DAYPASS_MACHINES", ARN)
        .env("AWS_ENDPOINT_URL", secrets.url())
        .env("AWS_REGION", "eu-west-1");
    assert!(list.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s").ok().contains("clients"));
}

#[test]
fn nothing_chosen_names_the_ways() {
    let folder = tempfile::tempdir().unwrap();
    let run = daypass(folder.path(), &["user", "list"]).run();
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
    assert!(run.err.starts_with("error: no store is selected, and DynamoDB on AWS "), "{run:?}");
    assert!(run.err.contains(&format!("hint: {WAYS}")), "{run:?}");
}

#[test]
fn keys_are_missing() {
    let bench = Bench::new();
    let add = |keys: &str| {
        bench.daypass(&["user", "add", "alice", "--password-stdin"]).env("DAYPASS_KEYS", keys).stdin(PASSWORD)
    };
    add("").fails("no key set is named", "set DAYPASS_KEYS");
    daypass(bench.folder.path(), &["key", "generate", "--section", "refresh", "--out", "refresh.json"]).ok();
    add("refresh.json").fails("the key set has no active key in its section `peppers`", "DAYPASS_KEYS");
    add(&format!("{0} {0}", bench.keys()))
        .fails("the key set has 2 active keys in its section `peppers`, not one", "DAYPASS_KEYS");
    assert_eq!(bench.user("alice"), None);
}

#[test]
fn the_local_stack_is_cargo_dev() {
    let folder = tempfile::tempdir().unwrap();
    for options in [&["dev"][..], &["dev", "--help"], &["--json", "dev", "--port", "3900"]] {
        daypass(folder.path(), options).misused("run `cargo dev");
    }
    daypass(folder.path(), &["dev", "--port", "3900"])
        .misused("hint: run `cargo dev --port 3900` in a checkout");
}

#[test]
fn a_checkout_uses_its_own_stack() {
    let bench = Bench::new();
    bench.add("alice");
    let checkout = bench.folder.path();
    let inside = checkout.join("infra/cli");
    make_checkout(checkout);
    describe_stack(
        &checkout.join("target"),
        &json!({
            "AWS_ENDPOINT_URL_DYNAMODB": bench.url(),
            "DAYPASS_USERS_TABLE": "daypass-users",
            "DAYPASS_KEYS": bench.keys(),
        }),
    );
    let note = format!("note: using the local stack of `cargo dev` ({})\n", bench.url());
    for folder in [checkout, &inside] {
        let run = daypass(folder, &["user", "list"]).env("AWS_CA_BUNDLE", "ca.pem").run();
        assert_eq!((run.code, run.err.as_str()), (0, note.as_str()), "{run:?}");
        assert!(run.out.contains("alice"));
    }
    // Its keys too.
    let run = daypass(checkout, &["user", "add", "bob", "--password-stdin"]).stdin(PASSWORD).run();
    assert_eq!((run.code, run.err.as_str()), (0, note.as_str()), "{run:?}");
    assert!(bench.accepts(&bench.user("bob").unwrap(), PASSWORD));
    let run = daypass(&inside, &["key", "show"]).run();
    assert_eq!((run.code, run.err.as_str()), (0, note.as_str()), "{run:?}");
    assert_eq!(run.out, daypass(checkout, &["key", "show", bench.keys()]).ok());

    // Cargo can build outside the checkout.
    let other = tempfile::tempdir().unwrap();
    make_checkout(other.path());
    let run = daypass(other.path(), &["user", "list"]).env("CARGO_TARGET_DIR", checkout.join("target")).run();
    assert_eq!((run.code, run.err.as_str()), (0, note.as_str()), "{run:?}");

    // Variables choose first.
    for (name, value) in
        [("AWS_PROFILE", "work"), ("AWS_REGION", "eu-west-1"), ("DAYPASS_USERS_TABLE", "daypass-users")]
    {
        let run = daypass(checkout, &["user", "list"]).env(name, value).run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{name}: {run:?}");
        assert!(
            !run.err.contains("using the local stack") && run.err.contains("DynamoDB on AWS"),
            "{name}: {run:?}"
        );
    }
}

#[test]
fn a_stack_that_is_gone_is_not_replaced_by_aws() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", closed_port());
    let list = || daypass(folder.path(), &["user", "list"]);
    make_checkout(folder.path());
    let build = folder.path().join("target");
    let path = describe_stack(&build, &json!({ "AWS_ENDPOINT_URL_DYNAMODB": nowhere }));
    list().fails(&format!("the local stack of `cargo dev` does not answer at {nowhere}"), WAYS);

    describe_stack(&build, &json!({ "DAYPASS_KEYS": "keys.json" }));
    list().fails(&format!("{} names no DynamoDB", path.display()), "delete that file");
    fs::write(&path, "{").unwrap();
    list().fails(&format!("{} is not a JSON object of variables", path.display()), "delete that file");
}

/// A folder above the current one can belong to another user, such as `/tmp`.
#[test]
fn a_description_outside_a_checkout_is_ignored() {
    let bench = Bench::new();
    bench.add("alice");
    let shared = bench.folder.path();
    describe_stack(&shared.join("target"), &json!({ "AWS_ENDPOINT_URL_DYNAMODB": bench.url() }));
    let inside = shared.join("work");
    fs::create_dir(&inside).unwrap();
    for folder in [shared, &inside] {
        let run = daypass(folder, &["user", "list"]).run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        assert!(run.err.starts_with("error: no store is selected"), "{run:?}");
    }
}

#[test]
fn a_description_that_another_user_could_write_is_not_trusted() {
    let bench = Bench::new();
    bench.add("alice");
    let good = json!({ "AWS_ENDPOINT_URL_DYNAMODB": bench.url() });
    let check = |prepare: &dyn Fn(&Path), why: &str| {
        let checkout = tempfile::tempdir().unwrap();
        make_checkout(checkout.path());
        prepare(&checkout.path().join("target"));
        let path = checkout.path().join("target/dev/environment.json");
        daypass(checkout.path(), &["user", "list"])
            .fails(&format!("{} {why}", path.display()), "delete that file");
    };
    for mode in [0o755, 0o770, 0o701] {
        let open = |build: &Path| {
            let path = describe_stack(build, &good);
            fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(mode)).unwrap();
        };
        check(&open, &format!("is not trusted: its folder has the mode {mode:o} instead of 700"));
    }
    let link = "is not trusted: it or its folder is a symbolic link";
    let elsewhere = tempfile::tempdir().unwrap();
    let path = describe_stack(elsewhere.path(), &good);
    let folder_link = |build: &Path| {
        fs::create_dir(build).unwrap();
        symlink(elsewhere.path().join("dev"), build.join("dev")).unwrap();
    };
    check(&folder_link, link);
    let file_link = |build: &Path| {
        let own = describe_stack(build, &json!({}));
        fs::remove_file(&own).unwrap();
        symlink(&path, own).unwrap();
    };
    check(&file_link, link);
    for url in ["http://192.0.2.1:8000", "http://localhost.example:8000", "127.0.0.1:8000"] {
        let remote = |build: &Path| {
            describe_stack(build, &json!({ "AWS_ENDPOINT_URL": url }));
        };
        check(&remote, "names a DynamoDB that is not on this machine");
    }
}
