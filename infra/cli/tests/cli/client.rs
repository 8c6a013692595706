//! `daypass client`, over a file in place of the secret.

use crate::bench::{Run, daypass};
use daypass_core::client::machine::{CredentialId, MachineDocument, MachineId, SecretDigest, session_of};
use daypass_core::config::Tables;
use daypass_core::ports::store::MachineStore;
use daypass_dynamodb::DynamoDb;
use daypass_testkit::embedded::Embedded;
use serde_json::{Value, json};
use tempfile::TempDir;

const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

struct Bench {
    db: Embedded,
    store: DynamoDb,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let db = Embedded::start(None).unwrap();
        let table = |name: &str| format!("daypass-{name}");
        let tables =
            Tables { users: table("users"), sessions: table("sessions"), attempts: table("attempts") };
        let store = DynamoDb::local(&db.url(), (&tables).into());
        store.create_tables().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("public.json"), JWK).unwrap();
        Self { db, store, folder }
    }

    fn command(&self, args: &[&str]) -> crate::bench::Daypass {
        let url = self.db.url();
        let args = [&["client"], args, &["--endpoint", &url]].concat();
        daypass(self.folder.path(), &args).env("DAYPASS_MACHINES", "machines.json")
    }

    fn document(&self) -> MachineDocument {
        MachineDocument::parse(&std::fs::read(self.folder.path().join("machines.json")).unwrap()).unwrap()
    }

    async fn is_revoked(&self, client: &str, key: &Value) -> bool {
        let client = MachineId::parse(client).unwrap();
        let key = CredentialId::parse(key.as_str().unwrap()).unwrap();
        self.store.is_revoked(&client, session_of(&client, &key)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_from_its_creation_to_its_end() {
    let bench = Bench::new().await;
    let created = bench
        .command(&[
            "create",
            "billing",
            "--scope",
            "orders:write orders:read",
            "--audience",
            "x",
            "--introspect",
            "--require-dpop",
        ])
        .json();
    assert_eq!(created["client_id"], "client_billing");
    let secret = created["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("daypass_secret_"));
    let stored = &bench.document().clients[0];
    assert_eq!(stored.keys[0].secret_sha256, Some(SecretDigest::of(secret)));
    let listed = bench.command(&["list"]).json();
    let shown = &listed["clients"][0];
    assert_eq!(
        (&shown["scope"], &shown["audience"], &shown["introspect"]),
        (&json!("orders:read orders:write"), &json!("x"), &json!(true))
    );
    assert_eq!((&shown["require_dpop"], stored.require_dpop), (&json!(true), true));
    assert_eq!(shown["keys"][0]["method"], "client_secret_basic");
    assert!(!listed.to_string().contains("sha256") && !listed.to_string().contains(secret), "shown once");

    // The second key is public, the first is revoked, and then the client.
    let rotated = bench.command(&["rotate", "client_billing", "--public-key", "public.json"]).json();
    assert_eq!(rotated.get("client_secret"), None);
    let table = bench.command(&["list"]).ok();
    let cells = |line: &str| line.split_whitespace().skip(2).take(2).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = table.lines().skip(1).map(cells).collect();
    assert_eq!(rows, [["client_secret_basic", "required"], ["private_key_jwt", "required"]]);
    bench.command(&["rotate", "billing"]).fails("client_billing has two keys already", "revoke");
    let old = created["key"].as_str().unwrap();
    let revoked = bench.command(&["revoke", "billing", old]).json();
    assert_eq!(revoked, json!({ "client_id": "client_billing", "keys": [old] }));
    assert!(bench.is_revoked("client_billing", &created["key"]).await);
    assert!(!bench.is_revoked("client_billing", &rotated["key"]).await);
    let last = rotated["key"].as_str().unwrap();
    let only = format!("{last} is the only key of client_billing");
    bench.command(&["revoke", "billing", last]).fails(&only, "omit the key");
    assert_eq!(bench.command(&["revoke", "client_billing"]).ok(), "Revoked client_billing.\n");
    assert!(bench.is_revoked("client_billing", &rotated["key"]).await);
    assert!(bench.document().clients.is_empty());
    bench.command(&["revoke", "billing"]).fails("there is no client client_billing", "list");
    // Assertions that are accepted once.
    bench
        .command(&["create", "jobs", "--single-use-assertions"])
        .fails("client_jobs has no public key, so it sends no assertions", "--public-key");
    let once = ["create", "jobs", "--single-use-assertions", "--public-key", "public.json"];
    bench.command(&once).json();
    assert!(bench.document().clients[0].single_use_assertions);
    bench.command(&["rotate", "jobs"]).json();
    let table = bench.command(&["list"]).ok();
    let rows: Vec<_> = table.lines().skip(1).map(cells).collect();
    assert_eq!(rows[0], ["private_key_jwt", "single-use"]);
    assert!(rows[1][0] == "client_secret_basic" && rows[1][1] != "single-use", "{table}");
    // A key that is registered again has tokens of its own.
    let again = bench.command(&["create", "billing", "--public-key", "public.json"]).json();
    assert!(!bench.is_revoked("client_billing", &again["key"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named_and_changes_nothing() {
    let bench = Bench::new().await;
    let file = |name: &str, text: &str| std::fs::write(bench.folder.path().join(name), text).unwrap();
    bench.command(&["create", "jobs"]).ok();
    let before = bench.document();
    assert!(!before.clients[0].require_dpop && !before.clients[0].single_use_assertions);
    for (args, expected) in [
        (&["create", "Jobs"][..], "a client id is client_ and 1 to 48 of a-z 0-9 -"),
        (&["create", "x", "--scope", "a  b"], "a scope is words"),
        (&["create", "x", "--scope", "daypass:account"], "no word may begin with daypass:"),
        (&["create", "x", "--access-token-seconds", "601"], "601 is not in 60..=600"),
        (&["revoke", "jobs", "1"], "a key id is key_ and 16 hexadecimal digits"),
    ] {
        bench.command(args).misused(expected);
    }
    file("private.json", &JWK.replace('}', r#","d":"x"}"#));
    file("text.json", "hello");
    file("other.json", r#"{"kty":"EC","crv":"P-384","x":"a","y":"b"}"#);
    for (args, expected) in [
        (&["create", "jobs"][..], "there is a client client_jobs already"),
        (&["create", "x", "--audience", "a b"], "the audience of `client_x`"),
        (&["create", "x", "--public-key", "none.json"], "none.json cannot be read"),
        (&["create", "x", "--public-key", "private.json"], "it holds a private or symmetric key"),
        (&["create", "x", "--public-key", "text.json"], "it is not JSON"),
        (&["create", "x", "--public-key", "other.json"], "it is not a P-256, Ed25519 or RSA"),
        (&["rotate", "x"], "there is no client client_x"),
        (&["revoke", "jobs", "key_0000000000000000"], "client_jobs has no key key_0000000000000000"),
    ] {
        let Run { code, err, .. } = bench.command(args).run();
        assert!(code == 1 && err.contains(expected), "{args:?}: {err}");
    }
    assert_eq!(bench.document(), before);
    file("machines.json", "hello");
    bench.command(&["list"]).fails(
        "machines.json: is not a document of machine clients (expected value at line 1 column 1)",
        "restore an earlier version",
    );
    let url = bench.db.url();
    daypass(bench.folder.path(), &["client", "list", "--endpoint", &url])
        .fails("no document of machine clients is named", "--stack");
}
