//! The command and the Admin API give the same results.

use crate::bench::{Bench, PASSWORD, wait_for};
use crate::session;
use aws_config::BehaviorVersion;
use daypass_admin::ClientDocument;
use daypass_admin_function::{AdminApi, handle};
use daypass_aws::SdkConfig;
use daypass_core::http::request::Request;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::context::Operator;
use daypass_key_loader::SecretsManager;
use daypass_passwords::Passwords;
use serde_json::{Value, json};

/// A configuration that reads no environment and is not used, because the clients are in a file.
fn aws() -> SdkConfig {
    SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build()
}

/// The answer of the Admin API over the tables of the command.
fn api(bench: &Bench, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let keys = Document::parse(&std::fs::read(&bench.keys).unwrap()).unwrap();
    let api = AdminApi {
        store: bench.store.clone(),
        clients: ClientDocument {
            source: bench.folder.path().join("machines.json").display().to_string(),
            vault: SecretsManager::connect(&aws()),
        },
        peppers: Peppers::from_document(&keys).unwrap(),
        passwords: Passwords::standard(),
        context: daypass_runtime::context(),
    };
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let mut request: Request =
        request.body(body.map_or_else(Vec::new, |body| body.to_string().into_bytes())).unwrap();
    request.extensions_mut().insert(Operator { arn: "arn:aws:iam::123456789012:user/ada".to_owned() });
    let answer = wait_for(handle(&api, request));
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

/// A user without what differs between two users: the name, the id and the times.
fn alike(user: &Value) -> Value {
    let mut user = user.clone();
    for own in ["username", "user_id", "created_at", "updated_at"] {
        assert!(user.as_object_mut().unwrap().remove(own).is_some(), "{own}");
    }
    user
}

/// invariant: The Admin API and `daypass` make the same change of a user.
#[test]
fn both_make_the_same_changes() {
    let bench = Bench::new();
    let claims = json!({ "tenant": "acme" });
    let by_api = |method, path, body| {
        let (status, answer) = api(&bench, method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    };
    let add = ["user", "add", "cli", "--password-stdin", "--scope", "a b", "--claims", &claims.to_string()];
    let cli = bench.daypass(&add).stdin(PASSWORD).json();
    let new = json!({ "username": "api", "password": PASSWORD, "scope": "a b", "claims": claims });
    let answer = by_api("POST", "/admin/users", Some(new));
    assert_eq!(alike(&answer["user"]), alike(&cli["user"]));
    let (cli_user, api_user) = (bench.user("cli").unwrap(), bench.user("api").unwrap());
    assert!(bench.accepts(&cli_user, PASSWORD) && bench.accepts(&api_user, PASSWORD));
    for (user, byte) in [(&cli_user, 1), (&api_user, 2)] {
        session::open(&bench, user, byte, 10, 1000);
    }

    let path = "/admin/user?username=api";
    let changes: [(&[&str], Value); 6] = [
        (&["set-scope", "cli", "orders:read"], json!({ "scope": "orders:read" })),
        (&["set-claims", "cli", r#"{"tenant":"b"}"#], json!({ "claims": { "tenant": "b" } })),
        (
            &["set-email", "cli", "cli@example.com", "--verified"],
            json!({ "email": "api@example.com", "email_verified": true }),
        ),
        (&["set-email", "cli", "--none"], json!({ "email": null })),
        (&["disable", "cli"], json!({ "status": "disabled" })),
        (&["enable", "cli"], json!({ "status": "enabled" })),
    ];
    for (args, body) in changes {
        let cli = bench.daypass(&[&["user"], args].concat()).json();
        let answer = by_api("PATCH", path, Some(body));
        let neutral = |user: &Value| alike(user).to_string().replace("cli@", "api@");
        assert_eq!(neutral(&answer["user"]), neutral(&cli["user"]), "{args:?}");
        for count in ["sessions_narrowed", "sessions_ended", "sessions_updated"] {
            if let Some(cli) = cli.get(count) {
                assert_eq!(&answer[count], cli, "{args:?}");
            }
        }
    }
    assert_eq!(by_api("GET", path, None), bench.daypass(&["user", "show", "api"]).json());
    assert_eq!(
        by_api("GET", "/admin/users", None)["users"],
        bench.daypass(&["user", "list"]).json()["users"]
    );
    let listed = by_api("GET", "/admin/sessions?username=api", None);
    let cli = bench.daypass(&["session", "list", "api"]).json();
    assert_eq!((&listed["sessions"], &listed["sessions"][0]["state"]), (&cli["sessions"], &json!("ended")));
    let id = listed["sessions"][0]["session_id"].as_str().unwrap();
    let one = format!("/admin/session?username=api&session_id={id}");
    assert_eq!(by_api("GET", &one, None), bench.daypass(&["session", "show", "api", id]).json());
    assert_eq!(by_api("DELETE", &one, None), bench.daypass(&["session", "revoke", "api", id]).json());
    let all = by_api("DELETE", "/admin/sessions?username=api", None);
    assert_eq!(all, bench.daypass(&["session", "revoke", "api", "--all"]).json());
    let removed = by_api("DELETE", path, None);
    assert_eq!(
        alike(&removed["user"]),
        alike(&bench.daypass(&["user", "remove", "cli", "--yes"]).json()["user"])
    );
    assert_eq!(api(&bench, "GET", path, None).0, 404);
}

/// A client or key without what differs between two of them: ids and times.
fn alike_client(client: &Value) -> Value {
    let mut client = client.clone();
    client["client_id"] = Value::Null;
    client["created_at"] = Value::Null;
    for key in client["keys"].as_array_mut().unwrap() {
        key["id"] = Value::Null;
        key["created_at"] = Value::Null;
    }
    client
}

/// invariant: The Admin API and `daypass` make the same change of a machine client.
#[test]
fn both_make_the_same_changes_of_clients() {
    const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("public.json"), JWK).unwrap();
    let cli = |args: &[&str]| {
        bench.daypass(&[&["client"], args].concat()).env("DAYPASS_MACHINES", "machines.json").json()
    };
    let by_api = |method, path: &str, body| {
        let (status, answer) = api(&bench, method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    };
    let settings = json!({
        "name": "api", "scope": "a b", "audience": "x", "access_token_seconds": 60, "introspect": true,
        "require_dpop": true,
    });
    let new = by_api("POST", "/admin/clients", Some(settings));
    let jwk: Value = serde_json::from_str(JWK).unwrap();
    let once = json!({ "name": "api-once", "single_use_assertions": true, "public_key": jwk });
    by_api("POST", "/admin/clients", Some(once));
    let args = [
        "--scope",
        "a b",
        "--audience",
        "x",
        "--access-token-seconds",
        "60",
        "--introspect",
        "--require-dpop",
    ];
    let created = cli(&[&["create", "cli"][..], &args].concat());
    cli(&["create", "cli-once", "--single-use-assertions", "--public-key", "public.json"]);
    for (one, id) in [(&new, "client_api"), (&created, "client_cli")] {
        assert_eq!(one["client_id"], id);
        assert!(one["client_secret"].as_str().unwrap().starts_with("daypass_secret_"), "{one}");
    }
    let rotated =
        by_api("POST", "/admin/client/keys?client_id=client_api", Some(json!({ "public_key": jwk })));
    assert_eq!(rotated.get("client_secret"), None);
    cli(&["rotate", "client_cli", "--public-key", "public.json"]);
    let listed = by_api("GET", "/admin/clients", None);
    assert_eq!(listed, cli(&["list"]));
    let [api_client, api_once, cli_client, cli_once] = &listed["clients"].as_array().unwrap()[..] else {
        panic!("{listed}")
    };
    assert_eq!(alike_client(api_client), alike_client(cli_client));
    assert_eq!(alike_client(api_once), alike_client(cli_once));
    let settings = |client: &Value| (client["require_dpop"].clone(), client["single_use_assertions"].clone());
    assert_eq!(settings(api_client), (json!(true), json!(false)));
    assert_eq!(settings(api_once), (json!(false), json!(true)));

    let key = new["key"].as_str().unwrap();
    let one = by_api("DELETE", &format!("/admin/client?client_id=client_api&key={key}"), None);
    assert_eq!(one["keys"], json!([key]));
    cli(&["revoke", "client_cli", created["key"].as_str().unwrap()]);
    let all = by_api("DELETE", "/admin/client?client_id=client_api", None);
    assert_eq!(all["keys"], json!([rotated["key"]]));
    assert_eq!(cli(&["list"])["clients"].as_array().unwrap().len(), 3);
    assert_eq!(api(&bench, "DELETE", "/admin/client?client_id=client_api", None).0, 404);
}
