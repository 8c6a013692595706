use super::*;
use daypass_ambient::OsEntropy;
use daypass_core::access::{Grant, Rejection, Signer};
use daypass_core::config::Issuer;
use daypass_core::event::Journal;
use daypass_core::jwks::Algorithm;
use daypass_core::keys::{Document, SigningKeys};
use daypass_core::{ClientId, Clock, Scope, Timestamp};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Vec<(JournalEvent, Caller)>>>);

impl Journal for Recorded {
    fn record(&self, event: &JournalEvent, caller: &Caller) {
        self.0.lock().unwrap().push((event.clone(), caller.clone()));
    }
}

struct Fixture {
    authorizer: Authorizer,
    journal: Recorded,
    token: String,
}

fn fixture() -> Fixture {
    fixture_at(NOW)
}

/// An authorizer whose clock stands at `now`, and a token that was issued at [`NOW`].
fn fixture_at(now: Timestamp) -> Fixture {
    let document = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
    let issuer = Issuer::parse("https://id.example.com").unwrap();
    let signer = Signer {
        keys: SigningKeys::from_document(&document).unwrap(),
        issuer: issuer.clone(),
        audience: "api".to_owned(),
        lifetime: Duration::from_secs(300),
    };
    let grant = Grant {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        client: ClientId::parse("web").unwrap(),
        scope: Scope::parse("orders:read").unwrap(),
    };
    let token = signer.issue(&grant, NOW, &OsEntropy).unwrap();
    let journal = Recorded::default();
    let ambient = Ambient {
        clock: Box::new(Fixed(now)),
        entropy: Box::new(OsEntropy),
        journal: Box::new(journal.clone()),
    };
    let config = AuthorizerConfig { issuer, audience: "api".to_owned(), jwks: document.jwks() };
    Fixture { authorizer: Authorizer::new(config, ambient).unwrap(), journal, token }
}

fn http(authorization: &Value) -> Value {
    json!({
        "version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:eu-west-1:123456789012:abc/$default/GET/x",
        "routeKey": "GET /x", "headers": { "authorization": authorization },
        "requestContext": { "requestId": "r1", "http": { "method": "GET", "sourceIp": "192.0.2.1" } },
    })
}

fn rest(token: &Value, arn: &str) -> Value {
    json!({ "type": "TOKEN", "authorizationToken": token, "methodArn": arn })
}

const ARN: &str = "arn:aws:execute-api:eu-west-1:123456789012:abc/prod/GET/orders/7";

#[test]
fn a_good_token_passes_on_an_http_api_with_its_context() {
    let Fixture { authorizer, token, journal } = fixture();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer = authorizer.handle(&http(&json!(format!("{scheme} {token}")))).unwrap();
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({ "isAuthorized": true, "context": {
                "sub": format!("usr_{}", "01".repeat(16)), "sid": format!("ses_{}", "02".repeat(16)),
                "client_id": "web", "scope": "orders:read",
            }})
        );
    }
    assert!(journal.0.lock().unwrap().is_empty(), "a pass is not an event");
}

#[test]
fn a_good_token_may_call_the_whole_stage_of_a_rest_api() {
    let Fixture { authorizer, token, .. } = fixture();
    let answer =
        serde_json::to_value(authorizer.handle(&rest(&json!(format!("Bearer {token}")), ARN)).unwrap())
            .unwrap();
    assert_eq!(answer["principalId"], format!("usr_{}", "01".repeat(16)));
    assert_eq!(
        answer["policyDocument"],
        json!({ "Version": "2012-10-17", "Statement": [{ "Action": "execute-api:Invoke", "Effect": "Allow",
            "Resource": "arn:aws:execute-api:eu-west-1:123456789012:abc/prod/*" }] })
    );
    assert_eq!(answer["context"]["scope"], "orders:read");
}

/// Every way to send no single good token: 403 on an HTTP API, 401 on a REST API, and an event each.
#[test]
fn everything_else_is_denied() {
    let Fixture { authorizer, token, journal } = fixture();
    let at = token.len() - 40;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    let tampered = format!("Bearer {}{other}{}", &token[..at], &token[at + 1..]);
    let bad = [
        json!(null),
        json!(7),
        json!(""),
        json!("Bearer"),
        json!("Bearer "),
        json!(token),
        json!(format!("Basic {token}")),
        json!(format!("Bearer  {token}")),
        json!(format!("Bearer {token} ")),
        json!(format!("Bearer {token},Bearer {token}")),
        json!(format!("Bearer {token}\tx")),
        json!([format!("Bearer {token}")]),
        json!(tampered),
        json!(format!("Bearer {}", "a.".repeat(5000))),
    ];
    for header in &bad {
        let answer = authorizer.handle(&http(header)).unwrap();
        assert_eq!(answer, Answer::Simple { is_authorized: false, context: None }, "{header}");
        assert_eq!(authorizer.handle(&rest(header, ARN)), Err(Unauthorized), "{header}");
    }
    assert_eq!(journal.0.lock().unwrap().len(), bad.len() * 2);
    assert_eq!(Unauthorized.to_string(), "Unauthorized", "any other text is a 500");
}

#[test]
fn two_headers_are_refused() {
    let Fixture { authorizer, token, .. } = fixture();
    let mut event = http(&json!(format!("Bearer {token}")));
    event["headers"]["Authorization"] = json!(format!("Bearer {token}"));
    assert_eq!(authorizer.handle(&event).unwrap(), Answer::Simple { is_authorized: false, context: None });
}

#[test]
fn shapes_that_we_do_not_know_are_refused() {
    let Fixture { authorizer, token, .. } = fixture();
    let header = json!(format!("Bearer {token}"));
    for event in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "version": 2.0 }),
        json!({ "version": "3.0", "headers": { "authorization": header } }),
        rest(&header, ""),
        rest(&header, "arn:aws:s3:::bucket/a/b"),
        rest(&header, "arn:aws:execute-api:eu-west-1:123456789012:abc"),
        rest(&header, "arn:aws:execute-api:eu-west-1:123456789012:*/*/GET/"),
    ] {
        assert_eq!(authorizer.handle(&event), Err(Unauthorized), "{event}");
    }
    assert_eq!(
        authorizer.handle(&json!({ "version": "2.0" })).unwrap(),
        Answer::Simple { is_authorized: false, context: None }
    );
}

/// A denial names the user and session of a token that we had signed, and the sender as the gateway's context has it: of an
/// unsigned token, and of a header, nothing is believed.
#[test]
fn a_denial_is_logged_with_whose_token_it_was_and_the_sender() {
    let Fixture { authorizer, token, journal } = fixture_at(NOW + Duration::from_secs(3600));
    let unsigned = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86));
    let mut events = Vec::new();
    for token in [&token, &unsigned] {
        let mut event = http(&json!(format!("Bearer {token}")));
        for name in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "x-amzn-requestid"] {
            event["headers"][name] = json!("198.51.100.1");
        }
        events.push(event);
        events.push(rest(&json!(format!("Bearer {token}")), ARN));
    }
    for event in &events {
        let answer = authorizer.handle(event);
        assert!(
            matches!(answer, Ok(Answer::Simple { is_authorized: false, .. }) | Err(Unauthorized)),
            "{answer:?}"
        );
    }
    let owner = (Some(UserId::from_bytes([1; 16])), Some(SessionId::from_bytes([2; 16])));
    let denied =
        |cause, (user, session)| JournalEvent::AuthorizeDenied { cause: Denial::Token(cause), user, session };
    let sender =
        Caller { request_id: "r1".to_owned(), source_ip: "192.0.2.1".parse().ok(), user_agent: None };
    let expected = [
        (denied(Rejection::Expired, owner), sender.clone()),
        (denied(Rejection::Expired, owner), Caller::default()),
        (denied(Rejection::BadSignature, (None, None)), sender),
        (denied(Rejection::BadSignature, (None, None)), Caller::default()),
    ];
    assert_eq!(*journal.0.lock().unwrap(), expected);
}
