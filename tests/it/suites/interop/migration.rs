//! Migration: the endpoints of the guide, in Node.js and Python, which verify the requests of a login, and the built function.

use super::programs::Source;
use daypass_dev::{Runner, Settings, Stack};
use daypass_runtime::SystemClock;
use daypass_testkit::cognito::{CLIENT, Cognito, Fault, User, UserState};
use daypass_testkit::embedded::Embedded;
use daypass_testkit::functions;
use daypass_tests::service::{PASSWORD, Service};
use daypass_tools::{free_port, workspace_root};
use daypass_verifier::base::time::Clock;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const PROGRAMS: [(&str, Source); 2] = [
    ("node/migration-endpoint.mjs", Source::Node("migration-endpoint.mjs")),
    ("python/migration_endpoint.py", Source::Python("migration_endpoint.py")),
];

/// Serves one document to each connection.
async fn serve(listener: TcpListener, document: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
        let answer = format!("{head} {}\r\n\r\n{document}", document.len());
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// invariant: The migration endpoints of the guide accept requests of a login and reject all others.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_the_guide() {
    let db = Embedded::start(None).unwrap();
    for (name, source) in PROGRAMS {
        let keys = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", keys.local_addr().unwrap());
        let port = free_port().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/");
        let settings = [("DAYPASS_ISSUER", issuer.as_str()), ("DAYPASS_MIGRATE_URL", &url)];
        let service = Service::quick(&db.url(), &settings).await;
        service.clock.set(SystemClock.now());
        tokio::spawn(serve(keys, service.keys.jwks().to_json().unwrap()));
        let program = source.find();
        let words = program.words();
        let _program = Command::new(&words[0])
            .args(&words[1..])
            .envs([("ISSUER", &issuer), ("ENDPOINT", &url), ("PORT", &port.to_string())])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let login = async |name: &str, password: &str| {
            service.post("/login", &json!({ "username": name, "password": password })).await.status
        };
        assert_eq!(login("ada", "wrong").await, 401, "{name}");
        assert_eq!(login("bob", "old password").await, 401, "{name}");
        assert_eq!(login("ada", "old password").await, 200, "{name}");

        // Requests of others: for another endpoint, of another stack, and an access token for this endpoint.
        let recorded = Cognito::start().await.unwrap();
        recorded.set_fault(Some(Fault::Raw(200, br#"{"ok":false}"#.to_vec())));
        let post = async |token: String| {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            client.post(&url).body(token).send().await.unwrap().status().as_u16()
        };
        let elsewhere = [("DAYPASS_ISSUER", issuer.as_str()), ("DAYPASS_MIGRATE_URL", recorded.url())];
        let request = async |of: &Service| {
            let body = json!({ "username": "ada", "password": "old password" });
            assert_eq!(of.post("/login", &body).await.status, 401);
            String::from_utf8(recorded.last_body()).unwrap()
        };
        let other_endpoint = Service::with_keys(&db.url(), service.keys.clone(), &elsewhere).await;
        other_endpoint.clock.set(SystemClock.now());
        assert_eq!(post(request(&other_endpoint).await).await, 401, "{name}: another audience");
        let other_stack = Service::quick(&db.url(), &elsewhere).await;
        other_stack.clock.set(SystemClock.now());
        assert_eq!(post(request(&other_stack).await).await, 401, "{name}: another key");
        // Of the same key, issuer and audience: only its type is another.
        let same_audience = [("DAYPASS_ISSUER", issuer.as_str()), ("DAYPASS_AUDIENCE", &url)];
        let same_audience = Service::with_keys(&db.url(), service.keys.clone(), &same_audience).await;
        same_audience.clock.set(SystemClock.now());
        same_audience.quick_user("carol").await;
        let body = json!({ "username": "carol", "password": PASSWORD });
        let access = same_audience.post("/login", &body).await.access_token();
        assert_eq!(post(access).await, 401, "{name}: an access token");
        // A request that was recorded an hour ago.
        service.clock.set(SystemClock.now().before(Duration::from_secs(3600)));
        assert_eq!(login("dora", "old password").await, 503, "{name}: expired");
        assert_eq!(post(String::new()).await, 401, "{name}: nothing");
    }
}

/// The built function reads the settings of the migration, and uses the HTTPS client of the SDK.
#[tokio::test(flavor = "multi_thread")]
async fn the_built_function_moves_a_user() {
    let (pool, folder) = (Cognito::start().await.unwrap(), tempfile::tempdir().unwrap());
    let sub = "6b1d7c3a-0f2e-4b5a-9c8d-1e2f3a4b5c6d".to_owned();
    pool.add(User {
        username: "ada".to_owned(),
        sub,
        email: "ada@example.com".to_owned(),
        password: "old password".to_owned(),
        state: UserState::Confirmed,
    });
    let settings = Settings {
        runner: Runner::Built(functions::built("interop")),
        ..Settings::new(folder.path().join("stack"))
            .variable("DAYPASS_MIGRATE_COGNITO", &format!("eu-west-1:{CLIENT}"))
            .variable("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", pool.url())
    };
    let stack = tokio::task::spawn_blocking(move || Stack::start(&settings)).await.unwrap().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = async |password: &str| {
        let body = json!({ "username": "ada", "password": password });
        http.post(format!("{}/login", stack.url())).json(&body).send().await.unwrap().status().as_u16()
    };
    assert_eq!((login("wrong").await, login("old password").await), (401, 200));
    pool.stop();
    assert_eq!((login("old password").await, login("wrong").await, pool.requests()), (200, 401, 2));
}

/// invariant: The migration endpoints of the guide are those that the interop suite runs.
#[test]
fn the_guide_shows_the_tested_endpoints() {
    let read = |path: &str| std::fs::read_to_string(workspace_root().join(path)).unwrap();
    let guide = read("docs/guides/migration.md");
    for (name, _) in PROGRAMS {
        let source = read(&format!("tests/interop/{name}"));
        // Without the line that names the file and the blank line after it.
        let code = source.split_once('\n').unwrap().1.trim_start();
        assert!(guide.contains(code), "the guide does not show {name}");
    }
}
