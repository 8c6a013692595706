//! `daypass doctor`, and `--stack` of the other commands, with a signed request for each fact.

use crate::bench::{Bench, Daypass, daypass};
use daypass_testkit::account::Account;
use serde_json::Value;

/// The command in the account, with credentials.
fn in_account(bench: &Bench, account: &Account, args: &[&str]) -> Daypass {
    daypass(bench.folder.path(), args)
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", account.url())
}

/// State, check and remedy of each finding that is not `ok`.
fn remarks(findings: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = findings.as_array().unwrap().iter().filter(|finding| finding["state"] != "ok");
    findings.map(|one| (text(&one["state"]), text(&one["check"]), text(&one["remedy"]))).collect()
}

fn examined(bench: &Bench, account: &Account) -> Vec<(String, String, String)> {
    let run = in_account(bench, account, &["doctor", "--stack", "daypass", "--json"]).run();
    let findings: Value = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let remarks = remarks(&findings);
    let failed = remarks.iter().any(|(state, ..)| state == "failed");
    assert_eq!(run.code, i32::from(failed), "{run:?}");
    remarks
}

#[test]
fn a_healthy_stack_passes_with_a_login() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    let arguments = ["doctor", "--stack", "daypass", "--login", "alice", "--password-stdin"];
    let findings = in_account(&bench, &account, &arguments).stdin("a day pass for the doctor\n").json();
    assert_eq!(remarks(&findings), []);
    let checks: Vec<&str> =
        findings.as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
    for check in [
        "stack",
        "concurrent executions",
        "issuer",
        "clock",
        "authorizer",
        "route table",
        "signing keys",
        "peppers",
        "table of users",
        "login",
    ] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    assert_eq!(account.requests().last().map(String::as_str), Some("/revoke"), "no session stays");

    let wrong = in_account(&bench, &account, &arguments).stdin("another\n").run();
    assert_eq!(wrong.code, 1);
    assert!(wrong.out.contains("status 400, invalid_grant"), "{wrong:?}");
}

/// invariant: `daypass doctor` finds each kind of trouble, and says what to do.
#[test]
fn each_trouble_is_found_with_its_remedy() {
    let bench = Bench::new();
    let found = |change: &dyn Fn(&mut daypass_testkit::account::Health)| {
        let account = Account::start().unwrap();
        account.change(|health| change(health));
        examined(&bench, &account)
    };
    let has = |remarks: &[(String, String, String)], state: &str, check: &str, remedy: &str| {
        let same =
            |one: &&(String, String, String)| one.0 == state && one.1 == check && one.2.contains(remedy);
        assert!(remarks.iter().any(|one| same(&one)), "{state} {check} {remedy}: {remarks:?}");
    };
    has(&found(&|health| health.executions = 10), "warning", "concurrent executions", "raise the quota");
    has(
        &found(&|health| health.issuer = Some("https://daypass.example".to_owned())),
        "failed",
        "issuer",
        "check the network, and read the log of the function discovery",
    );
    has(
        &found(&|health| health.discovery_fails = true),
        "failed",
        "issuer",
        "read the log of the function discovery",
    );
    has(&found(&|health| health.feed_behind = 60_000), "failed", "clock", "synchronise the clock");
    let set = |health: &mut daypass_testkit::account::Health, name: &str, value: &str| {
        health.authorizer.insert(name.to_owned(), value.to_owned());
    };
    for (name, value) in [
        ("DAYPASS_ROUTES", "GET /orders needs"),
        ("DAYPASS_ISSUER", "https://another.example.com"),
        ("DAYPASS_SETTINGS", "{\"jwks_interval_seconds\":1}"),
    ] {
        has(&found(&|health| set(health, name, value)), "failed", "authorizer", "deploy the stack again");
    }
    let broken = found(&|health| health.authorizer_state = "Failed".to_owned());
    has(&broken, "failed", "authorizer", "deploy the stack again");
    let unlisted = found(&|health| set(health, "DAYPASS_ROUTES", "* /sessions* any-token; default deny"));
    has(&unlisted, "warning", "route table", "docs/guides/scopes-and-routes.md");
    let listed = "* /sessions* any-token; * /password any-token; * /email any-token; * /reauthenticate* any-token; \
                  * /factors* needs profile; default deny";
    assert_eq!(found(&|health| set(health, "DAYPASS_ROUTES", listed)), []);
    // Lines that cover no paths below theirs, and one without a method.
    for start in ["/reauthenticate", "/sessions", "/factors"] {
        let exact = listed.replace(&format!("{start}*"), start);
        let warned = found(&|health| set(health, "DAYPASS_ROUTES", &exact));
        has(&warned, "warning", "route table", "docs/guides/scopes-and-routes.md");
    }
    let listing = listed.replace("* /sessions*", "GET /sessions*");
    let warned = found(&|health| set(health, "DAYPASS_ROUTES", &listing));
    has(&warned, "warning", "route table", "docs/guides/scopes-and-routes.md");
    has(
        &found(&|health| health.denied = vec![daypass_testkit::account::AUTHORIZER.to_owned()]),
        "unknown",
        "authorizer",
        "lambda:GetFunctionConfiguration",
    );
    has(
        &found(&|health| health.rotated_days_ago = 61),
        "warning",
        "peppers",
        "rotate-secret --secret-id arn:peppers",
    );
    for status in ["UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS"] {
        let remarks = found(&|health| status.clone_into(&mut health.status));
        has(&remarks, "failed", "stack", "PhysicalResourceId");
    }
    assert_eq!(found(&|health| health.status = "UPDATE_IN_PROGRESS".to_owned()), []);
    has(
        &found(&|health| health.denied = vec!["DescribeSecret".to_owned()]),
        "unknown",
        "signing keys",
        "secretsmanager:DescribeSecret",
    );
    let unsafe_tables = found(&|health| health.tables_are_safe = false);
    for table in ["users", "sessions", "attempts"] {
        has(&unsafe_tables, "failed", &format!("table of {table}"), "deploy the stack again");
    }
    let elsewhere = |outputs: &[&str]| {
        found(&|health| {
            for output in outputs {
                health.outputs.insert((*output).to_owned(), "http://127.0.0.1:1".to_owned());
            }
            health.outputs.insert("DomainTarget".to_owned(), "d-1.example.com".to_owned());
        })
    };
    has(&elsewhere(&["Issuer", "ApiUrl"]), "failed", "issuer", "point the domain to d-1.example.com");
    has(
        &elsewhere(&["Issuer"]),
        "failed",
        "issuer",
        "should answer at http://127.0.0.1:1, deploy with Issuer=\"\", which is http://127.0.0.1:",
    );
}

#[test]
fn a_run_without_permissions_is_not_healthy() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    account.change(|health| {
        health.denied =
            ["/2016-08-19/account-settings", "DescribeSecret", "DescribeTable"].map(str::to_owned).to_vec();
    });
    let run = in_account(&bench, &account, &["doctor", "--stack", "daypass"]).run();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.err.contains("no check of Lambda, Secrets Manager and DynamoDB was possible")
            && run.err.contains("hint: try again with the permissions"),
        "{run:?}"
    );
}

/// invariant: `--stack` and `daypass doctor` use the proxy of the environment.
#[test]
fn a_stack_elsewhere_is_behind_the_proxy() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    // The account takes the requests of a proxy too. The name exists nowhere.
    let elsewhere = account.url().replace("127.0.0.1", "aws.invalid");
    for args in [&["doctor", "--stack", "other"][..], &["user", "list", "--stack", "other"]] {
        in_account(&bench, &account, args)
            .env("AWS_ENDPOINT_URL", &elsewhere)
            .env("HTTP_PROXY", account.url())
            .fails(
                "CloudFormation does not describe the stack other: 400 Stack with id other does not exist",
                "cloudformation:DescribeStacks",
            );
    }
    let proxy = "http://127.0.0.1:1";
    in_account(&bench, &account, &["doctor", "--stack", "daypass"]).env("HTTP_PROXY", proxy).json();
}

/// invariant: A stack that the default profile reaches is a selected store.
#[test]
fn a_stack_of_the_default_profile_is_selected() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    let folder = bench.folder.path();
    std::fs::create_dir(folder.join(".aws")).unwrap();
    let profile = "[default]\nregion = eu-west-1\naws_access_key_id = key\naws_secret_access_key = secret\n\
                   endpoint_url = http://127.0.0.1:1\n";
    std::fs::write(folder.join(".aws/config"), profile).unwrap();
    let list = daypass(folder, &["user", "list"]).env("DAYPASS_STACK", "daypass");
    list.env("AWS_ENDPOINT_URL_CLOUDFORMATION", account.url()).fails(
        "DynamoDB on AWS does not answer (Scan: no connection)",
        "check the network, AWS_PROFILE and AWS_REGION",
    );
}

#[test]
fn commands_that_read_no_stack_ignore_its_variable() {
    let bench = Bench::new();
    let in_stack = |stack: &str, args: &[&str]| {
        daypass(bench.folder.path(), args).env("DAYPASS_STACK", stack).stdin("a secret of another system")
    };
    in_stack("daypass", &["key", "generate", "--out", "new.json"]).ok();
    in_stack("daypass", &["key", "adopt", "new.json", "--out", "adopted.json"]).ok();
    in_stack("daypass", &["key", "show", "adopted.json"]).ok();
    in_stack("daypass", &["key", "show"]).fails("no AWS region is selected", "set AWS_REGION");
    let url = bench.url();
    in_stack("", &["user", "list", "--endpoint", &url]).json();
    in_stack("", &["doctor"]).misused("no stack is named");
    in_stack("", &["user", "list", "--stack", ""]).fails("no AWS region is selected", "set AWS_REGION");
}

#[test]
fn a_stack_that_cannot_be_described_is_an_error_that_says_why() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    in_account(&bench, &account, &["doctor", "--stack", "other"]).fails(
        "CloudFormation does not describe the stack other: 400 Stack with id other does not exist",
        "cloudformation:DescribeStacks",
    );
    in_account(&bench, &account, &["doctor"]).misused("no stack is named");
    account.change(|health| health.outputs.clear());
    in_account(&bench, &account, &["doctor", "--stack", "daypass"]).fails(
        "daypass is no Daypass stack, or it was never deployed completely: UPDATE_COMPLETE",
        "template.yaml",
    );
}

/// invariant: `--stack NAME` is enough for each command: tables and keys come from the outputs.
#[test]
fn a_stack_names_tables_and_keys() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    account.change(|health| {
        for name in ["SigningKeysSecretArn", "RefreshKeysSecretArn", "PeppersSecretArn"] {
            health.outputs.insert(name.to_owned(), bench.keys().to_owned());
        }
    });
    let url = bench.url();
    let run = |args: &[&str]| {
        let mut run = in_account(&bench, &account, args).env("AWS_ENDPOINT_URL_DYNAMODB", &url);
        run.command.args(["--stack", "daypass"]);
        run
    };
    run(&["user", "add", "alice", "--password-stdin"]).stdin("correct horse battery staple").ok();
    assert!(bench.user("alice").is_some());
    assert!(
        run(&["user", "show", "alice"]).env("DAYPASS_STACK", "other").ok().contains("alice"),
        "an option wins"
    );
    assert_eq!(run(&["session", "list", "alice"]).run().code, 0);
    assert!(run(&["key", "show"]).ok().contains("signing"));
    // Variables of another stack would mix two stacks.
    run(&["user", "list"])
        .env("DAYPASS_USERS_TABLE", "other")
        .misused("--stack and DAYPASS_USERS_TABLE both name tables or keys");
    run(&["user", "list", "--endpoint", &url]).misused("--stack names the store and its tables");
}
