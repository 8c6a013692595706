//! Keys from the issuer: when they are fetched, and which keys are used while the issuer does not answer.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The response of the issuer, and the number of fetches.
#[derive(Clone)]
struct Published {
    answer: Arc<Mutex<Result<Vec<u8>, String>>>,
    asked: Arc<AtomicUsize>,
}

impl Published {
    fn new(answer: Result<Vec<u8>, String>) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)), asked: Arc::default() }
    }

    fn publish(&self, keys: &[&TestIssuer]) {
        let keys = keys.iter().flat_map(|issuer| issuer.document.jwks().iter().cloned().collect::<Vec<_>>());
        *self.answer.lock().unwrap() =
            Ok(daypass_verifier::jose::jwk::Jwks::new(keys.collect()).to_json().unwrap().into());
    }

    fn fetch(&self) -> Fetch {
        let published = self.clone();
        Box::new(move || {
            published.asked.fetch_add(1, Ordering::SeqCst);
            let answer = published.answer.lock().unwrap().clone();
            Box::pin(async move { answer })
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An authorizer whose keys come from `published`, with an interval of a minute and a maximum age of 15 minutes.
fn fetching(published: &Published, issuer: TestIssuer, inline: bool) -> Fixture {
    let keys = KeySource::Url {
        url: http::Uri::from_static("https://id.example.com/jwks"),
        first: inline.then(|| issuer.document.jwks()),
        interval: Duration::from_secs(60),
        max_age: Duration::from_secs(900),
    };
    let fixture = with_keys(&Settings::default(), issuer, keys, Some(published.fetch()));
    at_once(fixture.authorizer.prepare());
    fixture
}

fn down() -> Published {
    Published::new(Err("no answer within 1500 ms".to_owned()))
}

impl Fixture {
    fn takes(&self, token: &str) -> bool {
        let event = http_v2(&json!(format!("Bearer {token}")), "GET", "/orders/7");
        passes(&self.ask(&event), "").unwrap()
    }

    /// Whether the response is an error that API Gateway turns into 500.
    fn fails_without_keys(&self, event: &Value) -> bool {
        self.ask(event) == Err(Error::NoKeys.to_string())
    }

    fn advance(&self, seconds: u64) {
        let mut now = self.clock.0.lock().unwrap();
        *now = *now + Duration::from_secs(seconds);
    }
}

#[test]
fn keys_are_fetched_at_start_and_a_new_one_when_it_is_first_seen() {
    let (old, new) = (TestIssuer::new(), TestIssuer::new());
    let published = down();
    published.publish(&[&old]);
    let token = old.token("");
    let fixture = fetching(&published, old, false);
    assert_eq!(published.asked(), 1);
    assert!(fixture.takes(&token));
    published.publish(&[&fixture.issuer, &new]);
    fixture.advance(60);
    assert!(fixture.takes(&new.token("")), "its kid was unknown until now");
    assert_eq!(published.asked(), 2);
    assert!(fixture.takes(&token) && fixture.takes(&new.token("")));
    assert_eq!(published.asked(), 2, "known keys cause no fetch");
    assert!(fixture.journal.take().is_empty());
}

/// invariant: While the issuer answers, a flood of unknown key ids causes one key fetch per interval.
#[test]
fn a_flood_of_unknown_kids_is_one_request_per_interval() {
    let published = down();
    let issuer = TestIssuer::new();
    published.publish(&[&issuer]);
    let fixture = fetching(&published, issuer, false);
    let stranger = TestIssuer::new().token("");
    for _ in 0..10 {
        fixture.advance(6);
        for _ in 0..100 {
            assert!(!fixture.takes(&stranger));
        }
    }
    assert_eq!(published.asked(), 2, "at start, and once when the minute was over");
}

/// Malformed tokens, and tokens that name no key, cause no fetch.
#[test]
fn a_malformed_token_causes_no_fetch() {
    let published = down();
    let issuer = TestIssuer::new();
    published.publish(&[&issuer]);
    let fixture = fetching(&published, issuer, false);
    fixture.advance(120);
    let good = fixture.issuer.token("");
    let (_, rest) = good.split_once('.').unwrap();
    let header = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    for bad in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{rest}", header(json!({ "typ": "at+jwt", "alg": "none" }))),
        format!("{}.{rest}", header(json!({ "typ": "JWT", "alg": "ES256", "kid": "unknown" }))),
        format!("{}.{rest}", header(json!({ "typ": "at+jwt", "alg": "ES256", "kid": 7 }))),
        format!(
            "{}.{rest}",
            header(json!({ "typ": "at+jwt", "alg": "ES256", "kid": "unknown", "crit": ["x"] }))
        ),
    ] {
        assert!(!fixture.takes(&bad), "{bad}");
    }
    assert_eq!(published.asked(), 1);
}

/// invariant: The authorizer keeps its last good keys while the issuer is down.
#[test]
fn while_the_issuer_is_down_the_last_good_keys_hold() {
    let published = down();
    let issuer = TestIssuer::new();
    published.publish(&[&issuer]);
    let fixture = fetching(&published, issuer, false);
    for answer in [
        Err("no answer within 1500 ms".to_owned()),
        Ok(b"<html>".to_vec()),
        Ok(br#"{"keys":[]}"#.to_vec()),
        Ok(br#"{"keys":[{"kty":"oct","k":"AA","kid":"a"}]}"#.to_vec()),
    ] {
        *published.answer.lock().unwrap() = answer;
        let before = published.asked();
        fixture.advance(900);
        // The tokens of the start have expired.
        let token =
            fixture.issuer.signer.issue(&grant(), *fixture.clock.0.lock().unwrap(), &OsEntropy).unwrap();
        assert!(fixture.takes(&token) && fixture.takes(&token));
        assert_eq!(published.asked(), before + 1, "one fetch per interval");
        let events = fixture.journal.take();
        assert!(matches!(&events[..], [JournalEvent::Failure { during: "fetch_keys", .. }]), "{events:?}");
    }
}

fn grant() -> Grant {
    Grant {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        client: ClientId::parse("web").unwrap(),
        scope: Scope::default(),
        claims: Claims::default(),
        account: false,
        authentication: Authentication::new(NOW, Methods::PASSWORD),
        key: None,
        session_end: Timestamp::from_seconds(9_000_000_000),
    }
}

#[test]
fn a_withdrawn_key_is_taken_no_longer_than_the_keys_may_be_old() {
    let (cut, new) = (TestIssuer::new(), TestIssuer::new());
    let published = down();
    published.publish(&[&cut]);
    let fixture = fetching(&published, cut, false);
    published.publish(&[&new]);
    fixture.advance(900);
    let token = fixture.issuer.signer.issue(&grant(), *fixture.clock.0.lock().unwrap(), &OsEntropy).unwrap();
    assert!(!fixture.takes(&token));
}

#[test]
fn without_any_keys_the_answer_is_an_error_that_is_no_verdict() {
    let published = down();
    let fixture = fetching(&published, TestIssuer::new(), false);
    let token = fixture.issuer.token("");
    for (api, event) in shapes(&json!(format!("Bearer {token}"))) {
        assert!(fixture.fails_without_keys(&event), "{api:?}");
    }
    assert_eq!(published.asked(), 1);
    published.publish(&[&fixture.issuer]);
    fixture.advance(1);
    assert!(fixture.takes(&token), "it recovers within a second");
}

/// A new key may be the reason why a token names an unknown one.
///
/// invariant: While the authorizer cannot fetch keys, a token of an unknown key is an error.
#[test]
fn while_the_issuer_is_down_a_token_of_an_unknown_key_is_an_error_and_no_denial() {
    for inline in [true, false] {
        let published = down();
        let issuer = TestIssuer::new();
        if !inline {
            published.publish(&[&issuer]);
        }
        let (known, new) = (issuer.token(""), TestIssuer::new());
        let fixture = fetching(&published, issuer, inline);
        *published.answer.lock().unwrap() = Err("no answer within 1500 ms".to_owned());
        fixture.advance(60);
        let token = new.token("");
        for (api, event) in shapes(&json!(format!("Bearer {token}"))) {
            assert!(fixture.fails_without_keys(&event), "{api:?}, inline {inline}");
        }
        assert!(fixture.takes(&known), "known keys serve");
        let events = fixture.journal.take();
        assert_eq!(events.len(), if inline { 2 } else { 1 }, "{events:?}");
        let is_failure = |event| matches!(event, &JournalEvent::Failure { during: "fetch_keys", .. });
        assert!(events.iter().all(is_failure), "no denial: {events:?}");
        assert_eq!(published.asked(), 2);
        fixture.advance(5);
        assert!(fixture.takes(&known));
        assert_eq!(published.asked(), 2, "a known key causes no fetch");
        let event = http_v2(&json!(format!("Bearer {token}")), "GET", "/orders/7");
        for seconds in 0..10 {
            for _ in 0..100 {
                assert!(fixture.fails_without_keys(&event));
            }
            assert_eq!(published.asked(), 3 + seconds / 5, "a flood of unknown keys is a fetch each 5 s");
            fixture.advance(1);
        }
        published.publish(&[&fixture.issuer, &new]);
        assert!(fixture.takes(&token), "it recovers within 5 s");
        assert!(!fixture.takes(&TestIssuer::new().token("")), "and an unknown key is a denial again");
        assert_eq!(published.asked(), 5, "the interval holds again after a success");
    }
}

#[test]
fn keys_of_the_configuration_serve_while_the_issuer_is_down_at_a_start() {
    let published = down();
    let fixture = fetching(&published, TestIssuer::new(), true);
    for _ in 0..3 {
        assert!(fixture.takes(&fixture.issuer.token("")));
    }
    assert_eq!(published.asked(), 1, "one fetch at the start");
    let new = TestIssuer::new();
    published.publish(&[&fixture.issuer, &new]);
    fixture.advance(60);
    assert!(fixture.takes(&new.token("")));
    assert_eq!(published.asked(), 2);
}

/// The keys of the configuration are as old as the deployment, so a new process must not accept a key that was withdrawn
/// since.
#[test]
fn a_key_that_was_withdrawn_does_not_come_back_with_the_configuration() {
    let (withdrawn, new) = (TestIssuer::new(), TestIssuer::new());
    let published = down();
    published.publish(&[&new]);
    let fixture = fetching(&published, withdrawn, true);
    assert!(!fixture.takes(&fixture.issuer.token("")));
    assert!(fixture.takes(&new.token("")));
    assert_eq!(published.asked(), 1);
}
