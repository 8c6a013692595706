//! Accounts by mail: the deployed stream starts the deployed mailer, which sends by SES with the rights of its role.

use crate::suites::rehearsal::stage::{JSON, Stage, variable};
use http::Request;
use serde_json::{Value, json};
use std::time::Duration;

const CLIENT: &str = "web";
const PASSWORD: &str = "a mail of the rehearsal 2026";

/// The mails to an address, the oldest first, once there are so many.
async fn mails(stage: &Stage, address: &str, count: usize) -> Vec<Value> {
    for _ in 0..150 {
        let inbox = stage.send(Request::get(variable("DAYPASS_MAILS"))).await;
        assert_eq!(inbox.status, 200, "{inbox:?}");
        let accounts = inbox.json()["messages"].as_object().unwrap().clone();
        let all = accounts.values().flat_map(|mails| mails.as_array().unwrap().clone());
        let found: Vec<Value> = all.filter(|mail| mail["To"] == json!([address])).collect();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{address} got no mail");
}

/// The token in the link of a mail, and its code.
fn token_and_code(mail: &Value) -> (String, String) {
    let text = mail["BodyText"].as_str().unwrap();
    let link = text.lines().find(|line| line.starts_with("https://")).unwrap();
    let is_code = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_digit());
    let code = text.split_whitespace().find(is_code).unwrap();
    (link.split_once('#').unwrap().1.to_owned(), code.to_owned())
}

/// invariant: On the deployed stack, a sign-up and a recovery arrive by mail, and their confirmations work.
#[tokio::test]
async fn a_sign_up_and_a_recovery_arrive_by_mail() {
    let stage = Stage::find();
    let session = stage.login(None).await.session;
    // A run against the same stage needs another address.
    let address = format!("{}@example.com", session.to_lowercase().replace('_', "-"));
    let post = async |path: &str, mut body: Value| {
        body["client_id"] = json!(CLIENT);
        stage.post(path, JSON, body.to_string()).await
    };
    let login =
        async |password: &str| post("/login", json!({ "username": address, "password": password })).await;

    let asked = post("/signup", json!({ "email": address })).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let mail = mails(&stage, &address, 1).await.pop().unwrap();
    assert_eq!(mail["Source"], "\"Rehearsal\" <no-reply@rehearsal.example>");
    let (token, _) = token_and_code(&mail);
    let made = post("/signup/confirm", json!({ "token": token, "password": PASSWORD })).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(login(PASSWORD).await.status, 200);

    let asked = post("/recover", json!({ "email": address })).await;
    assert_eq!(asked.status, 202, "{asked:?}");
    let (_, code) = token_and_code(&mails(&stage, &address, 2).await[1]);
    let changed = format!("{PASSWORD}, changed");
    let reset = json!({ "request": asked.text("request"), "code": code, "password": changed });
    let reset = post("/recover/confirm", reset).await;
    assert_eq!(reset.status, 204, "{reset:?}");
    assert_eq!(login(&changed).await.status, 200);
    assert_eq!(login(PASSWORD).await.status, 401);
}
