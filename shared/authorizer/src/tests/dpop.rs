//! Tokens that are bound to a key (RFC 9449), on every kind of API. Each check of §4.3 has a case with its number.

use super::*;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::KeyPair;
use daypass_testkit::depth::amount;
use daypass_verifier::jose::dpop::ProofFault;
use daypass_verifier::jose::jwk::Jwk;
use daypass_verifier::ports::event::BadScheme;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A client with the key of its proofs.
struct Client {
    pair: EcdsaKeyPair,
}

impl Client {
    fn new() -> Self {
        Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn coordinates(&self) -> (&[u8], &[u8]) {
        let point = self.pair.public_key().as_ref();
        (&point[1..33], &point[33..])
    }

    fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        Jwk::es256(x, y).kid().to_owned()
    }

    fn header(&self) -> Value {
        let (x, y) = self.coordinates();
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y } })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// A fresh proof for a request with this token.
    fn proof(&self, method: &str, url: &str, token: &str) -> String {
        self.sign(&self.header(), &claims(method, url, token))
    }
}

fn claims(method: &str, url: &str, token: &str) -> Value {
    let jti: [u8; 12] = daypass_verifier::base::entropy::random(&OsEntropy);
    let ath = BASE64URL_NOPAD.encode(digest(&SHA256, token.as_bytes()).as_ref());
    json!({ "jti": BASE64URL_NOPAD.encode(&jti), "htm": method, "htu": url, "iat": NOW.seconds(), "ath": ath })
}

/// The event with the header `DPoP` of these values, in the members of its kind.
fn with_proofs(mut event: Value, proofs: &[&str]) -> Value {
    if event.get("multiValueHeaders").is_some() {
        event["multiValueHeaders"]["DPoP"] = json!(proofs);
        event["headers"]["DPoP"] = json!(proofs.last());
    } else {
        event["headers"]["dpop"] = json!(proofs.join(","));
    }
    event
}

/// Method and URL of the request of [`shapes`], as a client writes them.
fn called(event: &Value) -> (&'static str, String) {
    match event["requestContext"]["routeKey"].as_str() {
        Some("$connect") => ("GET", format!("wss://{HOST}/prod")),
        _ => ("GET", format!("https://{HOST}/prod/orders/7")),
    }
}

/// The events that have a proof: all but that of a `TOKEN` authorizer.
fn with_headers(authorization: &str) -> impl Iterator<Item = Value> {
    shapes(&json!(authorization)).into_iter().map(|(_, event)| event).filter(|event| event["type"] != "TOKEN")
}

fn denial(fixture: &Fixture, event: &Value) -> Option<Denial> {
    let is_denied = match fixture.ask(event) {
        Ok(answer) => {
            answer["isAuthorized"] == json!(false)
                || answer["policyDocument"]["Statement"][0]["Effect"] == "Deny"
        }
        Err(error) => {
            assert_eq!(error, "Unauthorized", "never a 5xx");
            true
        }
    };
    match fixture.journal.take().pop() {
        None => {
            assert!(!is_denied);
            None
        }
        Some(JournalEvent::AuthorizeDenied { cause, .. }) => {
            assert!(is_denied, "{cause:?}");
            Some(cause)
        }
        other => panic!("{other:?}"),
    }
}

fn bound(fixture: &Fixture, client: &Client) -> String {
    fixture.issuer.token_with("cnf", &json!({ "jkt": client.thumbprint() }))
}

/// invariant: A token that is bound to a key passes with a fresh proof of that key alone, on every kind of API.
#[test]
fn a_bound_token_passes_with_a_proof_of_its_key() {
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    let token = bound(&fixture, &client);
    for scheme in ["DPoP", "dpop"] {
        for event in with_headers(&format!("{scheme} {token}")) {
            let (method, url) = called(&event);
            let proof = client.proof(method, &url, &token);
            let event = with_proofs(event, &[&proof]);
            let answer = fixture.ask(&event).unwrap();
            assert_eq!(answer["context"]["jkt"], client.thumbprint(), "{event}");
            assert!(fixture.journal.take().is_empty());
            let again = denial(&fixture, &event);
            assert_eq!(again, Some(Denial::Proof(ProofFault::ProofReplayed)), "each proof once");
        }
    }
}

#[test]
fn a_bound_token_never_passes_as_a_bearer_token() {
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    let token = bound(&fixture, &client);
    for (api, event) in shapes(&json!(format!("Bearer {token}"))) {
        let (method, url) = called(&event);
        let expected = Some(Denial::Scheme(BadScheme::BoundTokenAsBearer));
        assert_eq!(denial(&fixture, &event), expected, "{api:?}");
        if event["type"] != "TOKEN" {
            let event = with_proofs(event, &[&client.proof(method, &url, &token)]);
            assert_eq!(denial(&fixture, &event), expected, "{api:?}, also with a good proof");
        }
    }
    let bearer = fixture.issuer.token("");
    for event in with_headers(&format!("DPoP {bearer}")) {
        let (method, url) = called(&event);
        let event = with_proofs(event, &[&client.proof(method, &url, &bearer)]);
        assert_eq!(denial(&fixture, &event), Some(Denial::Scheme(BadScheme::BearerTokenAsDpop)));
    }
}

/// A `TOKEN` authorizer gets no header but one. The log has the cause of the denial.
#[test]
fn a_token_authorizer_denies_bound_tokens() {
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    let event = rest_token(&json!(format!("DPoP {}", bound(&fixture, &client))), "GET/orders/7");
    assert_eq!(denial(&fixture, &event), Some(Denial::Proof(ProofFault::ProofNotInEvent)));
}

/// RFC 9449 §4.3: each check by a proof in which one thing is wrong. The numbers are those of the checks.
#[test]
fn each_check_of_rfc_9449_denies() {
    use ProofFault::*;
    let (fixture, client, thief) = (fixture(&Settings::default()), Client::new(), Client::new());
    let token = bound(&fixture, &client);
    let other_token = fixture.issuer.token_with("cnf", &json!({ "jkt": thief.thumbprint() }));
    for event in with_headers(&format!("DPoP {token}")) {
        let (method, url) = called(&event);
        let good = || client.proof(method, &url, &token);
        let claims = || claims(method, &url, &token);
        let claiming = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            client.sign(&client.header(), &claims)
        };
        let without = |name: &str| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            client.sign(&client.header(), &claims)
        };
        let heading = |pointer: &str, value: Value| {
            let mut header = client.header();
            match pointer.strip_prefix("jwk.") {
                Some(name) => header["jwk"][name] = value,
                None => header[pointer] = value,
            }
            client.sign(&header, &claims())
        };
        let unsigned = |alg: &str| {
            let proof = heading("alg", json!(alg));
            format!("{}.", proof.rsplit_once('.').unwrap().0)
        };
        let tampered = {
            let proof = good();
            let (input, _) = proof.rsplit_once('.').unwrap();
            format!("{input}.{}", client.proof(method, &url, "other").rsplit_once('.').unwrap().1)
        };
        let now = NOW.seconds();
        let check = |number: u8, proof: &str, fault: ProofFault| {
            let event = with_proofs(event.clone(), &[proof]);
            assert_eq!(denial(&fixture, &event), Some(Denial::Proof(fault)), "check {number}: {event}");
        };
        assert_eq!(denial(&fixture, &event), Some(Denial::Proof(ProofMissing)), "no header");
        check(1, &format!("{},{}", good(), good()), ProofMalformed);
        if event.get("multiValueHeaders").is_some() {
            let twice = with_proofs(event.clone(), &[&good(), &good()]);
            assert_eq!(denial(&fixture, &twice), Some(Denial::Proof(ProofRepeated)), "check 1");
        }
        for bad in ["", "a.b", "a.b.c", "a.b.c.d", &format!(" {}", good()), &"a".repeat(4097)] {
            check(2, bad, ProofMalformed);
        }
        check(2, &claiming("more", json!("x".repeat(4096))), ProofMalformed);
        for name in ["jti", "htm", "htu", "iat"] {
            check(3, &without(name), ProofMalformed);
            check(3, &claiming(name, Value::Null), ProofMalformed);
        }
        for jti in [json!(""), json!(7), json!("x".repeat(257))] {
            check(3, &claiming("jti", jti), ProofMalformed);
        }
        check(3, &claiming("iat", json!("now")), ProofMalformed);
        check(3, &claiming("nonce", json!(7)), ProofMalformed);
        for typ in [json!("JWT"), json!("at+jwt"), json!("dpop"), Value::Null] {
            check(4, &heading("typ", typ), ProofWrongType);
        }
        for alg in ["none", "None", "HS256", "ES384", "PS256", ""] {
            check(5, &heading("alg", json!(alg)), ProofWrongAlgorithm);
        }
        check(5, &heading("alg", Value::Null), ProofWrongAlgorithm);
        check(5, &unsigned("none"), ProofMalformed);
        check(5, &heading("alg", json!("RS256")), ProofWrongAlgorithm);
        check(5, &heading("alg", json!("EdDSA")), ProofWrongAlgorithm);
        check(5, &heading("crit", json!(["exp"])), ProofMalformed);
        check(6, &tampered, ProofBadSignature);
        check(6, &thief.sign(&client.header(), &claims()), ProofBadSignature);
        for name in ["d", "k", "p", "oth"] {
            check(7, &heading(&format!("jwk.{name}"), json!("AA")), ProofPrivateKey);
        }
        for (name, value) in
            [("kty", json!("oct")), ("crv", json!("P-384")), ("x", json!("AA")), ("y", Value::Null)]
        {
            check(7, &heading(&format!("jwk.{name}"), value), ProofWrongKeyType);
        }
        let off_the_curve = BASE64URL_NOPAD.encode(&[1; 32]);
        check(7, &heading("jwk.x", json!(off_the_curve)), ProofWrongKeyType);
        check(7, &heading("jwk", json!(client.thumbprint())), ProofWrongKeyType);
        for htm in ["POST", "get", "HEAD", "GET "] {
            check(8, &claiming("htm", json!(htm)), ProofWrongMethod);
        }
        for htu in [
            &format!("{url}/"),
            &format!("{url}x"),
            &url.replace("prod", "dev"),
            &url.replace(HOST, "evil.example"),
            &url.replace("s://", "://"),
            "/prod/orders/7",
            "x",
        ] {
            check(9, &claiming("htu", json!(htu)), ProofWrongUrl);
        }
        check(11, &claiming("iat", json!(now - 11)), ProofTooOld);
        check(11, &claiming("iat", json!(now + 11)), ProofFromTheFuture);
        check(11, &claiming("iat", json!(now - 60)), ProofTooOld);
        check(11, &claiming("iat", json!(now + 60)), ProofFromTheFuture);
        check(12, &without("ath"), ProofOtherToken);
        check(12, &client.proof(method, &url, &other_token), ProofOtherToken);
        check(12, &thief.proof(method, &url, &token), ProofOtherKey);
        // What is no fault: a clock 5 s off, a query, a nonce of the token endpoint, and members that describe the key.
        for proof in [
            claiming("iat", json!(now - 5)),
            claiming("iat", json!(now + 5)),
            claiming("iat", json!(now as f64 + 0.5)),
            claiming("htu", json!(format!("{url}?q=1#f"))),
            claiming("nonce", json!("of the token endpoint")),
            heading("jwk.kid", json!("mine")),
            heading("typ", json!("application/DPoP+JWT")),
            good(),
        ] {
            assert_eq!(denial(&fixture, &with_proofs(event.clone(), &[&proof])), None, "{event}");
        }
    }
}

/// A custom domain with a path, a CDN, and a local stack: the event does not tell the URL that the client knows.
#[test]
fn configured_origins_are_urls_of_the_api() {
    let origins = ["https://api.example.com/v1", "http://localhost:3000"];
    let (fixture, client) =
        (fixture(&Settings { dpop_origins: &origins, ..Settings::default() }), Client::new());
    let token = bound(&fixture, &client);
    for event in with_headers(&format!("DPoP {token}")) {
        let path = if event["requestContext"]["routeKey"] == "$connect" { "" } else { "/orders/7" };
        for origin in origins {
            let proof = client.proof("GET", &format!("{origin}{path}"), &token);
            assert_eq!(denial(&fixture, &with_proofs(event.clone(), &[&proof])), None, "{origin} {event}");
        }
        let elsewhere = client.proof("GET", &format!("https://api.example.com/v2{path}"), &token);
        let denied = denial(&fixture, &with_proofs(event, &[&elsewhere]));
        assert_eq!(denied, Some(Denial::Proof(ProofFault::ProofWrongUrl)));
    }
}

/// API Gateway may cache the response against the documentation.
#[test]
fn a_policy_for_a_bound_token_allows_the_called_route_alone() {
    let routes = "GET /orders/* needs dpop; GET /orders/9 any-token; default any-token";
    for routes in ["", routes] {
        let (fixture, client) = (fixture(&Settings { routes, ..Settings::default() }), Client::new());
        let token = bound(&fixture, &client);
        for event in with_headers(&format!("DPoP {token}")) {
            let (method, url) = called(&event);
            if url.starts_with("wss") && !routes.is_empty() {
                continue;
            }
            let answer = fixture.ask(&with_proofs(event.clone(), &[&client.proof(method, &url, &token)]));
            let arn = event["methodArn"].as_str().or(event["routeArn"].as_str()).unwrap().to_owned();
            assert_eq!(passes(&answer, &arn), Some(true), "{answer:?}");
            if answer.as_ref().unwrap().get("isAuthorized").is_none() {
                let other = format!("{STAGE}/GET/orders/8");
                assert_eq!(passes(&answer, &other), Some(false), "{answer:?}");
            }
        }
        // A star of the client is no wildcard.
        let event = rest_request(&json!(format!("DPoP {token}")), "GET", "/orders/*");
        let proof = client.proof("GET", &format!("https://{HOST}/prod/orders/*"), &token);
        let answer = fixture.ask(&with_proofs(event, &[&proof]));
        assert_ne!(
            answer.as_ref().unwrap()["policyDocument"]["Statement"][0]["Resource"],
            json!([format!("{STAGE}/GET/orders/*")])
        );
    }
}

/// An HTTP API reports a path that it has decoded.
#[test]
fn an_encoded_path_is_the_same_url() {
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    let token = bound(&fixture, &client);
    let mut event = http_v2(&json!(format!("DPoP {token}")), "GET", "/orders/a%20b");
    event["rawPath"] = json!("/prod/orders/a b");
    let proof = client.proof("GET", &format!("https://{HOST}/prod/orders/a%20b"), &token);
    assert_eq!(denial(&fixture, &with_proofs(event, &[&proof])), None);
}

#[test]
fn a_token_with_another_confirmation_is_denied() {
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    for cnf in [
        json!({ "x5t#S256": client.thumbprint() }),
        json!({ "jkt": client.thumbprint(), "kid": "x" }),
        json!({ "jkt": "short" }),
        json!({}),
        json!(null),
        json!("x"),
    ] {
        let token = fixture.issuer.token_with("cnf", &cnf);
        for (_, event) in shapes(&json!(format!("Bearer {token}"))) {
            assert_eq!(
                denial(&fixture, &event),
                Some(Denial::Token(Rejection::UnknownConfirmation)),
                "{cnf}"
            );
        }
    }
}

#[test]
fn a_route_can_need_a_bound_token() {
    let routes = "GET /orders/* needs dpop; default any-token";
    let (fixture, client) = (fixture(&Settings { routes, ..Settings::default() }), Client::new());
    let event = http_v2(&json!(fixture.bearer("orders:read")), "GET", "/orders/7");
    assert_eq!(denial(&fixture, &event), Some(Denial::Route(RouteDenial::KeyMissing)));
    let token = bound(&fixture, &client);
    let event = http_v2(&json!(format!("DPoP {token}")), "GET", "/orders/7");
    let (method, url) = called(&event);
    assert_eq!(denial(&fixture, &with_proofs(event, &[&client.proof(method, &url, &token)])), None);
}

/// No change of a good proof passes, and none is an error.
#[test]
fn changed_proofs_are_denied_on_every_kind_of_api() {
    let cases = u32::try_from(amount("changed proofs", 1_000, 10_000)).unwrap();
    let (fixture, client) = (fixture(&Settings::default()), Client::new());
    let token = bound(&fixture, &client);
    for event in with_headers(&format!("DPoP {token}")) {
        let (method, url) = called(&event);
        let good = client.proof(method, &url, &token);
        let place =
            (0..good.len(), prop::sample::select(vec!["", "A", "_", ".", "=", " ", ",", "\u{0}", "\u{e9}"]));
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&(place, any::<bool>()), |((at, text), insert)| {
            let end = if insert { at } else { at + 1 };
            let changed = format!("{}{text}{}", &good[..at], &good[end..]);
            if changed != good {
                let denied = denial(&fixture, &with_proofs(event.clone(), &[&changed]));
                prop_assert!(denied.is_some(), "{changed}");
            }
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(
            denial(&fixture, &with_proofs(event.clone(), &[&good])),
            None,
            "the proof itself was good"
        );
    }
}
