//! The endpoints of Daypass behind an API Gateway that is not part of this project.

use crate::suites::rehearsal::stage::{FORM, JSON, Stage};
use http::{Method, Request};
use serde_json::json;
use std::time::Duration;

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[tokio::test]
async fn a_session_from_login_to_revocation() {
    let stage = Stage::find();
    let login = stage.login(None).await;
    let refreshed = stage.tokens(stage.refresh(&login.refresh)).await;
    assert_ne!(refreshed.refresh, login.refresh);
    assert_eq!(refreshed.session, login.session);
    let again = stage.tokens(stage.refresh(&login.refresh)).await;
    assert_eq!(again.refresh, refreshed.refresh, "a retry gets the same successor");

    let revoked = stage.revoke(&refreshed.refresh).await;
    assert_eq!((revoked.status, revoked.body_text()), (200, "{}"));
    assert_eq!(revoked.header("cache-control"), Some("no-store"));
    assert_eq!(stage.refresh(&refreshed.refresh).await.outcome(), invalid_grant());
    assert_eq!(stage.revoke(&refreshed.refresh).await.status, 200, "twice is as good as once");
}

#[tokio::test]
async fn many_refreshes_at_once_get_one_successor() {
    let stage = Stage::find();
    let token = stage.login(None).await.refresh;
    let answers = futures_util::future::join_all((0..16).map(|_| stage.refresh(&token))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text("refresh_token"), answers[0].text("refresh_token"));
    }
}

#[tokio::test]
async fn an_older_token_ends_the_session() {
    let stage = Stage::find();
    let first = stage.login(None).await;
    let second = stage.tokens(stage.refresh(&first.refresh)).await;
    let third = stage.tokens(stage.refresh(&second.refresh)).await;
    assert_eq!(stage.refresh(&first.refresh).await.outcome(), invalid_grant());
    assert_eq!(stage.refresh(&third.refresh).await.outcome(), invalid_grant());
}

#[tokio::test]
async fn users_see_and_end_their_sessions() {
    let stage = Stage::find();
    let (phone, laptop) = (stage.login(None).await, stage.login(None).await);
    // Retries while the stage is busy, as a client should.
    let sessions = async |method: Method, below: String, authorization: String| {
        for _ in 0..10 {
            let request = stage.to(method.clone(), &format!("/sessions{below}"));
            let answer = stage.send(request.header("authorization", &authorization)).await;
            if answer.status != 503 {
                return answer;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("/sessions is busy all the time");
    };
    let listed = sessions(Method::GET, String::new(), phone.bearer()).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert_eq!(listed.json()["sessions"][0]["session_id"], phone.session);
    assert_eq!(listed.json()["sessions"][0]["current"], true);

    let ended = sessions(Method::DELETE, format!("/{}", laptop.session), phone.bearer()).await;
    assert_eq!((ended.status, ended.body_text()), (200, "{}"));
    assert_eq!(stage.refresh(&laptop.refresh).await.outcome(), invalid_grant());
    let dead = sessions(Method::GET, String::new(), laptop.bearer()).await;
    // 401 from the function, or 403 from the authorizer if it has polled the feed since.
    assert!(dead.status == 403 || dead.outcome() == (401, "invalid_token".to_owned()), "{dead:?}");
    let put = sessions(Method::PUT, String::new(), phone.bearer()).await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET")));

    let nobody = stage.send(stage.to(Method::GET, "/sessions")).await;
    assert_eq!(nobody.status, 401, "{nobody:?}");
    let forged = stage.to(Method::GET, "/sessions").header("x-daypass-sub", "usr_1");
    assert_eq!(stage.send(forged).await.status, 401);
    let bad = sessions(Method::GET, String::new(), "Bearer x".to_owned()).await;
    assert_eq!(bad.status, 403, "{bad:?}");
    assert_eq!(stage.revoke(&phone.refresh).await.status, 200);
}

#[tokio::test]
async fn who_does_not_know_the_password() {
    let stage = Stage::find();
    let guess = json!({ "username": "nobody-of-that-name", "password": "not the password" });
    let answer = stage.post("/login", JSON, guess.to_string()).await;
    // 429 if this suite has run several times within the window.
    if answer.status != 429 {
        assert_eq!(answer.outcome(), (401, "invalid_grant".to_owned()));
    }
}

#[tokio::test]
async fn what_is_no_request() {
    let stage = Stage::find();
    let cases: &[(&str, &str, &[u8], u16)] = &[
        ("/login", JSON, b"", 400),
        ("/login", JSON, b"\xff\xfe", 400),
        ("/login", JSON, br#"{"username":1,"password":2}"#, 400),
        ("/login", JSON, br#"{"username":"a","username":"a","password":"b"}"#, 400),
        ("/login", JSON, &[b'x'; 100_000], 413),
        ("/login", FORM, b"username=a&password=b", 415),
        ("/login?password=x", JSON, br#"{"username":"a","password":"b"}"#, 400),
        ("/refresh", FORM, b"", 400),
        ("/refresh", FORM, b"grant_type=refresh_token&refresh_token=a&refresh_token=a", 400),
        ("/refresh", FORM, b"\xff=\xfe", 400),
        ("/refresh", "text/plain", b"grant_type=refresh_token", 415),
        ("/refresh", JSON, br#"{"grant_type":"refresh_token","refresh_token":{}}"#, 400),
        ("/revoke", FORM, b"token=a&token=a", 400),
        ("/revoke", JSON, b"[]", 400),
        ("/revoke", "image/png", b"\x89PNG", 415),
    ];
    for (path, content_type, body, status) in cases {
        let answer = stage.post(path, content_type, body.to_vec()).await;
        let expected = (*status, "invalid_request".to_owned());
        assert_eq!(answer.outcome(), expected, "{path} {content_type}: {answer:?}");
    }
    for path in ["/login", "/refresh", "/revoke"] {
        let answer = stage.call(Method::PUT, path, JSON, "x").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
    }
    assert_eq!(stage.refresh("daypass_rt_forged").await.outcome(), invalid_grant());
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let stage = Stage::find();
    let metadata = stage.send(stage.to(Method::GET, "/.well-known/openid-configuration")).await;
    let metadata = metadata.json();
    assert_eq!(metadata["issuer"], stage.url, "the issuer is where the stage is");
    let jwks = stage.send(Request::get(metadata["jwks_uri"].as_str().unwrap())).await;
    assert!(jwks.json()["keys"][0]["kid"].is_string());
    assert!(jwks.header("cache-control").unwrap().contains("max-age"), "{jwks:?}");
    let oauth = stage.send(stage.to(Method::GET, "/.well-known/oauth-authorization-server")).await;
    assert_eq!(oauth.json(), metadata);
    assert_eq!(stage.send(stage.to(Method::GET, "/.well-known/nothing")).await.status, 404);
}
