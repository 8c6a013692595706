//! One named test per way to refuse an access token.

use super::*;
use crate::account::authentication::{Authentication, Method, Methods};
use crate::keys::Document;
use crate::testing::{NOW, Seeded};
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use daypass_verifier::jose::verify::{MAX_TOKEN_BYTES, Rejected};
use daypass_verifier::jose::verify::{Rejection, Verified, Verifier};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://api.example.com";

struct Fixture {
    signer: Signer,
    jwks: Jwks,
}

fn issuer() -> Issuer {
    Issuer::parse("https://id.example.com").unwrap()
}

fn fixture(algorithm: Algorithm) -> Fixture {
    let document = Document::generate(algorithm, &Seeded::new(1), NOW).unwrap();
    let signer = Signer {
        keys: SigningKeys::from_document(&document).unwrap(),
        issuer: issuer(),
        audience: AUDIENCE.to_owned(),
        lifetime: Duration::from_secs(300),
    };
    Fixture { signer, jwks: document.jwks() }
}

impl Fixture {
    fn verify(&self, token: &str) -> Result<Verified, Rejection> {
        self.verify_at(token, NOW)
    }

    fn verify_at(&self, token: &str, now: Timestamp) -> Result<Verified, Rejection> {
        Verifier::new(issuer(), AUDIENCE.to_owned(), &self.jwks).unwrap().verify(token, now)
    }

    fn good(&self) -> String {
        let grant = Grant {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::parse("a b").unwrap(),
            claims: UserClaims::default(),
            account: false,
            authentication: Authentication::new(NOW, Methods::PASSWORD),
            session_end: Timestamp::from_seconds(9_000_000_000),
        };
        self.signer.issue(&grant, NOW, &Seeded::new(2)).unwrap()
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.signer.keys.kid() })
    }

    /// A token of any header and payload text, with a signature that is right.
    fn signed(&self, header: &str, payload: &str) -> String {
        let input = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(payload.as_bytes())
        );
        let signature = self.signer.keys.sign(input.as_bytes()).unwrap();
        format!("{input}.{signature}")
    }

    /// The good token with some members of its header changed; `null` removes one.
    fn with_header(&self, changes: &Value) -> String {
        self.signed(&changed(self.header(), changes), &claims().to_string())
    }

    /// The good token with some claims changed; `null` removes one.
    fn with_claims(&self, changes: &Value) -> String {
        self.signed(&self.header().to_string(), &changed(claims(), changes))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "sub": "usr_1", "aud": AUDIENCE, "client_id": "web",
        "exp": NOW.seconds() + 300, "iat": NOW.seconds(), "jti": "j", "sid": "ses_1", "scope": "a b",
    })
}

fn changed(mut object: Value, changes: &Value) -> String {
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object.to_string()
}

fn es256() -> Fixture {
    fixture(Algorithm::Es256)
}

fn check_header(changes: &Value, expected: Rejection) {
    let fixture = es256();
    assert_eq!(fixture.verify(&fixture.with_header(changes)), Err(expected), "{changes}");
}

fn check_claims(changes: &Value, expected: Rejection) {
    let fixture = es256();
    assert_eq!(fixture.verify(&fixture.with_claims(changes)), Err(expected), "{changes}");
}

fn accepts_claims(changes: &Value) {
    let fixture = es256();
    assert!(fixture.verify(&fixture.with_claims(changes)).is_ok(), "{changes}");
}

#[test]
fn every_algorithm_signs_and_verifies() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let fixture = fixture(algorithm);
        let verified = fixture.verify(&fixture.good()).unwrap();
        assert_eq!(verified.subject, format!("usr_{}", "01".repeat(16)));
        assert_eq!(verified.session, format!("ses_{}", "02".repeat(16)));
        assert_eq!((verified.client_id.as_str(), verified.scope.as_str()), ("web", "a b"));
        assert_eq!(verified.expires_at.seconds(), NOW.seconds() + 300);
    }
}

/// jsonwebtoken's own AWS-LC backend and ours accept each other's signatures.
#[test]
fn signatures_are_those_of_jsonwebtoken() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let fixture = fixture(algorithm);
        let jwk: Value = serde_json::from_str(&fixture.jwks.to_json().unwrap()).unwrap();
        let jwk = serde_json::from_value(jwk["keys"][0].clone()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let token = fixture.good();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let name = algorithm.as_str().parse().unwrap();
        let verify = |input: &str| jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, name);
        assert!(verify(input).unwrap(), "{algorithm}");
        assert!(!verify("another").unwrap(), "{algorithm}");
    }
}

/// The point (1, 1) is not on P-256: a verifier with this key could only reject.
#[test]
fn a_key_that_aws_lc_rejects() {
    let jwks = Jwks::new(vec![Jwk::es256(&[1; 32], &[1; 32])]);
    let error = Verifier::new(issuer(), AUDIENCE.to_owned(), &jwks).unwrap_err().to_string();
    assert!(error.starts_with("key ") && error.ends_with(" of the JWKS cannot be used"), "{error}");
}

#[test]
fn the_profile_of_rfc_9068() {
    let fixture = es256();
    let token = fixture.good();
    let segments: Vec<&str> = token.split('.').collect();
    let read = |segment: &str| -> Value {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(segment.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(read(segments[0]), fixture.header());
    let claims = read(segments[1]);
    for required in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert!(claims.get(required).is_some(), "{required}");
    }
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    assert_eq!(
        BASE64URL_NOPAD.decode(segments[2].as_bytes()).unwrap().len(),
        64,
        "R and S, not DER (RFC 7518 §3.4)"
    );
}

#[test]
fn the_crafted_token_of_these_tests_is_good() {
    accepts_claims(&json!({}));
    let fixture = es256();
    assert!(fixture.verify(&fixture.with_header(&json!({}))).is_ok());
}

#[test]
fn the_authentication_of_the_session_is_in_the_token() {
    let fixture = es256();
    let payload = |methods: &[Method]| {
        let grant = Grant {
            user: UserId::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            client: ClientId::parse("web").unwrap(),
            scope: Scope::default(),
            claims: UserClaims::default(),
            account: false,
            authentication: Authentication::new(Timestamp::from_seconds(7), Methods::of(methods)),
            session_end: Timestamp::from_seconds(9_000_000_000),
        };
        let token = fixture.signer.issue(&grant, NOW, &Seeded::new(2)).unwrap();
        Value::Object(fixture.verify(&token).unwrap().claims)
    };
    let password = payload(&[Method::Password]);
    assert_eq!((&password["auth_time"], &password["acr"]), (&json!(7), &json!("1")));
    assert_eq!(password["amr"], json!(["pwd"]));
    let two = payload(&[Method::Password, Method::OneTimeCode]);
    assert_eq!((&two["acr"], &two["amr"]), (&json!("2"), &json!(["pwd", "otp", "mfa"])));
}

/// invariant: The claims of a user replace no member of an access token that Daypass sets.
#[test]
fn claims_are_members_of_their_own() {
    let fixture = es256();
    let grant = |claims: &str| Grant {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        client: ClientId::parse("web").unwrap(),
        scope: Scope::parse("a").unwrap(),
        claims: UserClaims::parse(claims).unwrap(),
        account: true,
        authentication: Authentication::new(NOW, Methods::PASSWORD),
        session_end: Timestamp::from_seconds(9_000_000_000),
    };
    let payload = |claims: &str| {
        let token = fixture.signer.issue(&grant(claims), NOW, &Seeded::new(2)).unwrap();
        Value::Object(fixture.verify(&token).unwrap().claims)
    };
    let mut with =
        payload(r#"{"tenant":"acme","roles":["a","b"],"limit":3,"trial":true,"org":{"unit":null}}"#);
    assert_eq!(with["tenant"], "acme");
    assert_eq!(with["org"], json!({ "unit": null }));
    let bare = payload("{}");
    for name in ["tenant", "roles", "limit", "trial", "org"] {
        assert!(with.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    assert_eq!(with, bare, "and no other member");
    for name in bare.as_object().unwrap().keys() {
        assert!(UserClaims::parse(&format!("{{\"{name}\":1}}")).is_err(), "{name} is not reserved");
    }
    let largest = format!("{{\"a\":\"{}\"}}", "ü".repeat(252));
    assert_eq!(payload(&largest)["a"].as_str().unwrap().chars().count(), 252);
}

#[test]
fn every_token_has_its_own_jti() {
    let fixture = es256();
    let grant = Grant {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        client: ClientId::parse("web").unwrap(),
        scope: Scope::default(),
        claims: UserClaims::default(),
        account: false,
        authentication: Authentication::new(NOW, Methods::PASSWORD),
        session_end: Timestamp::from_seconds(9_000_000_000),
    };
    let entropy = Seeded::new(3);
    let payload = |token: String| token.split('.').nth(1).unwrap().to_owned();
    let one = payload(fixture.signer.issue(&grant, NOW, &entropy).unwrap());
    let two = payload(fixture.signer.issue(&grant, NOW, &entropy).unwrap());
    assert_ne!(one, two);
}

#[test]
fn too_long() {
    let fixture = es256();
    assert_eq!(fixture.verify(&"a".repeat(MAX_TOKEN_BYTES + 1)), Err(Rejection::TooLong));
    let padded = fixture.with_claims(&json!({ "padding": "x".repeat(MAX_TOKEN_BYTES) }));
    assert_eq!(fixture.verify(&padded), Err(Rejection::TooLong));
}

#[test]
fn not_three_segments() {
    let fixture = es256();
    let good = fixture.good();
    let (rest, _) = good.rsplit_once('.').unwrap();
    for token in
        ["", ".", "..", "...", "a.b", "a..b", ".a.b", "a.b.", rest, &format!("{rest}."), &format!("{good}.a")]
    {
        assert_eq!(fixture.verify(token), Err(Rejection::NotCompact), "{token}");
    }
}

#[test]
fn a_jwe_is_not_a_token() {
    assert_eq!(es256().verify("a.b.c.d.e"), Err(Rejection::NotCompact));
}

#[test]
fn json_serialisation_is_not_a_token() {
    assert_eq!(es256().verify(r#"{"payload":"e30","signatures":[]}"#), Err(Rejection::NotCompact));
}

#[test]
fn padding_white_space_and_other_alphabets() {
    let fixture = es256();
    let good = fixture.good();
    let (rest, signature) = good.rsplit_once('.').unwrap();
    for token in [
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{rest}.{}+", &signature[..signature.len() - 1]),
        format!("{rest}.é{signature}"),
    ] {
        assert_eq!(fixture.verify(&token), Err(Rejection::NotBase64Url), "{token}");
    }
}

/// The last character of a 64-byte signature has four spare bits: setting them spells the same bytes in another way.
#[test]
fn a_second_spelling_of_the_signature() {
    let fixture = es256();
    let good = fixture.good();
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let respelled = format!("{}{next}", &good[..good.len() - 1]);
    assert_eq!(fixture.verify(&respelled), Err(Rejection::NotBase64Url));
}

#[test]
fn header_that_is_no_object() {
    let fixture = es256();
    for header in ["[]", "null", "", "{", "{} {}", r#"{"typ":"at+jwt""#] {
        assert_eq!(
            fixture.verify(&fixture.signed(header, "{}")),
            Err(if header.is_empty() { Rejection::NotCompact } else { Rejection::MalformedHeader }),
            "{header}"
        );
    }
}

#[test]
fn duplicate_header_members() {
    let fixture = es256();
    let kid = fixture.signer.keys.kid();
    let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","alg":"ES256","kid":"{kid}"}}"#);
    assert_eq!(fixture.verify(&fixture.signed(&header, "{}")), Err(Rejection::MalformedHeader));
}

#[test]
fn header_nested_ten_thousand_deep() {
    // Refused by size alone; one that fits is refused by depth.
    let fixture = es256();
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    assert_eq!(fixture.verify(&fixture.signed(&deep, "{}")), Err(Rejection::MalformedHeader));
}

#[test]
fn wrong_typ() {
    for typ in
        [json!("JWT"), json!("id+jwt"), json!("application/jwt"), json!("at+jwt "), json!(1), json!(null)]
    {
        check_header(&json!({ "typ": typ }), Rejection::WrongType);
    }
}

#[test]
fn typ_may_be_a_full_media_type_in_any_case() {
    let fixture = es256();
    for typ in ["application/at+jwt", "AT+JWT"] {
        assert!(fixture.verify(&fixture.with_header(&json!({ "typ": typ }))).is_ok(), "{typ}");
    }
}

#[test]
fn crit_of_any_kind() {
    for crit in [json!(["exp"]), json!([]), json!("b64"), json!({}), json!(false)] {
        check_header(&json!({ "crit": crit }), Rejection::CriticalExtension);
    }
}

#[test]
fn unencoded_payload() {
    check_header(&json!({ "b64": false }), Rejection::CriticalExtension);
    check_header(&json!({ "b64": true }), Rejection::CriticalExtension);
}

/// A nested token (RFC 7519 §5.2), and the compression of JWE (RFC 7516 §4.1.3), of any value.
#[test]
fn a_content_type_or_compression_in_the_header() {
    for value in [json!("JWT"), json!("application/json"), json!(""), json!(false)] {
        check_header(&json!({ "cty": value }), Rejection::UnsupportedContent);
    }
    for value in [json!("DEF"), json!(""), json!({})] {
        check_header(&json!({ "zip": value }), Rejection::UnsupportedContent);
    }
}

#[test]
fn unknown_or_missing_kid() {
    let kid = es256().signer.keys.kid().to_owned();
    for wrong in [json!("other"), json!(kid.to_lowercase()), json!(format!("{kid} ")), json!("")] {
        check_header(&json!({ "kid": wrong }), Rejection::UnknownKey);
    }
    for missing in [json!(7), json!(null), json!([kid])] {
        check_header(&json!({ "kid": missing }), Rejection::MalformedHeader);
    }
}

/// invariant: A token without a signature is rejected.
#[test]
fn alg_none_in_any_casing() {
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        check_header(&json!({ "alg": alg }), Rejection::WrongAlgorithm);
    }
    check_header(&json!({ "alg": null }), Rejection::WrongAlgorithm);
}

#[test]
fn hmac_with_the_public_key() {
    for alg in ["HS256", "HS384", "HS512"] {
        check_header(&json!({ "alg": alg }), Rejection::WrongAlgorithm);
    }
}

/// invariant: A token is accepted only with the algorithm of its key.
#[test]
fn an_algorithm_of_another_key_type() {
    for alg in ["RS256", "EdDSA", "ES384", "es256", "PS256"] {
        check_header(&json!({ "alg": alg }), Rejection::WrongAlgorithm);
    }
}

#[test]
fn an_rsa_key_takes_no_other_rsa_algorithm() {
    let fixture = fixture(Algorithm::Rs256);
    for alg in ["RS384", "RS512", "PS256"] {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": fixture.signer.keys.kid() }).to_string();
        let token = fixture.signed(&header, &claims().to_string());
        assert_eq!(fixture.verify(&token), Err(Rejection::WrongAlgorithm), "{alg}");
    }
}

#[test]
fn keys_in_the_header_are_never_used() {
    let attacker = Document::generate(Algorithm::Es256, &Seeded::new(9), NOW).unwrap();
    let keys = SigningKeys::from_document(&attacker).unwrap();
    let jwk: Vec<Jwk> = attacker.jwks().iter().cloned().collect();
    let fixture = es256();
    let header = changed(
        fixture.header(),
        &json!({ "jwk": jwk[0], "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x", "x5c": ["AA"] }),
    );
    let input = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(claims().to_string().as_bytes())
    );
    let token = format!("{input}.{}", keys.sign(input.as_bytes()).unwrap());
    assert_eq!(fixture.verify(&token), Err(Rejection::BadSignature));
}

#[test]
fn another_key_under_our_kid() {
    let fixture = es256();
    let other = Fixture {
        signer: Signer {
            keys: SigningKeys::from_document(
                &Document::generate(Algorithm::Es256, &Seeded::new(5), NOW).unwrap(),
            )
            .unwrap(),
            ..es256().signer
        },
        jwks: fixture.jwks.clone(),
    };
    let token = other.signed(&fixture.header().to_string(), &claims().to_string());
    assert_eq!(fixture.verify(&token), Err(Rejection::BadSignature));
}

#[test]
fn a_changed_payload() {
    let fixture = es256();
    let good = fixture.good();
    let mut segments: Vec<&str> = good.split('.').collect();
    let forged = BASE64URL_NOPAD.encode(claims().to_string().as_bytes());
    segments[1] = &forged;
    assert_eq!(fixture.verify(&segments.join(".")), Err(Rejection::BadSignature));
}

/// CVE-2022-21449 ("psychic signatures"): zeros, and lengths that are not 64.
#[test]
fn signatures_of_zeros_and_of_wrong_length() {
    let fixture = es256();
    let good = fixture.good();
    let (rest, _) = good.rsplit_once('.').unwrap();
    for bytes in [vec![0; 64], vec![0xff; 64], vec![0; 63], vec![0; 65], vec![0; 1], vec![0; 72]] {
        let token = format!("{rest}.{}", BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(fixture.verify(&token), Err(Rejection::BadSignature), "{}", bytes.len());
    }
}

#[test]
fn a_signature_in_der() {
    let fixture = es256();
    let good = fixture.good();
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let raw = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let mut der = vec![0x30, 0x46, 0x02, 0x21, 0];
    der.extend(&raw[..32]);
    der.extend([0x02, 0x21, 0]);
    der.extend(&raw[32..]);
    let token = format!("{rest}.{}", BASE64URL_NOPAD.encode(&der));
    assert_eq!(fixture.verify(&token), Err(Rejection::BadSignature));
}

#[test]
fn payload_that_is_no_object() {
    let fixture = es256();
    for payload in ["[]", "1", "null", "{", "{}{}", "\"x\""] {
        let token = fixture.signed(&fixture.header().to_string(), payload);
        assert_eq!(fixture.verify(&token), Err(Rejection::MalformedClaims), "{payload}");
    }
}

#[test]
fn duplicate_claims() {
    let fixture = es256();
    let twice = claims().to_string().replacen('{', r#"{"sub":"usr_admin","#, 1);
    let token = fixture.signed(&fixture.header().to_string(), &twice);
    assert_eq!(fixture.verify(&token), Err(Rejection::MalformedClaims));
}

#[test]
fn wrong_issuer() {
    for iss in [
        json!(null),
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("http://id.example.com"),
        json!(["https://id.example.com"]),
        json!(""),
    ] {
        check_claims(&json!({ "iss": iss }), Rejection::WrongIssuer);
    }
}

#[test]
fn wrong_audience() {
    for aud in [
        json!(null),
        json!("https://api.example.com/"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([AUDIENCE, 7]),
        json!({ "aud": AUDIENCE }),
        json!(true),
    ] {
        check_claims(&json!({ "aud": aud }), Rejection::WrongAudience);
    }
}

#[test]
fn audience_may_be_one_of_several() {
    accepts_claims(&json!({ "aud": ["other", AUDIENCE] }));
}

#[test]
fn expired_or_without_expiry() {
    let now = NOW.seconds();
    for exp in [
        json!(null),
        json!(now - 31),
        json!(now - 30),
        json!(0),
        json!(-1),
        json!("1900000000"),
        json!([now]),
        json!(1e300),
    ] {
        check_claims(&json!({ "exp": exp }), Rejection::Expired);
    }
}

#[test]
fn expiry_with_leeway_and_fractions() {
    accepts_claims(&json!({ "exp": NOW.seconds() - 29 }));
    accepts_claims(&json!({ "exp": NOW.seconds() as f64 + 0.5 }));
}

#[test]
fn an_issued_token_dies_with_its_time() {
    let fixture = es256();
    let token = fixture.good();
    let at = |seconds| Timestamp::from_seconds(NOW.seconds() + seconds);
    assert!(fixture.verify_at(&token, at(329)).is_ok());
    assert_eq!(fixture.verify_at(&token, at(330)), Err(Rejection::Expired));
}

#[test]
fn not_yet_valid() {
    let later = NOW.seconds() + 31;
    for (name, value) in [
        ("nbf", json!(later)),
        ("nbf", json!("0")),
        ("nbf", json!(-5)),
        ("iat", json!(later)),
        ("iat", json!(null)),
        ("iat", json!("now")),
    ] {
        check_claims(&json!({ name: value }), Rejection::NotYetValid);
    }
    accepts_claims(&json!({ "nbf": NOW.seconds() + 30 }));
}

#[test]
fn a_lifetime_over_an_hour() {
    let (now, rejected) = (NOW.seconds(), Rejection::LifetimeTooLong);
    check_claims(&json!({ "exp": now + 3601 }), rejected);
    check_claims(&json!({ "exp": now + 300, "iat": now - 3301 }), rejected);
    check_claims(&json!({ "exp": now + 300, "iat": 0 }), rejected);
    check_claims(&json!({ "exp": u64::MAX }), rejected);
    accepts_claims(&json!({ "exp": now + 3600 }));
    accepts_claims(&json!({ "exp": now - 1, "iat": now }));
}

#[test]
fn a_lifetime_over_the_configured_limit() {
    let fixture = es256();
    let verifier = |seconds| {
        let verifier = Verifier::new(issuer(), AUDIENCE.to_owned(), &fixture.jwks).unwrap();
        verifier.with_max_lifetime(Duration::from_secs(seconds))
    };
    let good = fixture.good();
    assert_eq!(verifier(299).verify(&good, NOW), Err(Rejection::LifetimeTooLong));
    assert!(verifier(300).verify(&good, NOW).is_ok());
}

/// C0, DEL and C1, each of which can end a line of a log or a value of a header.
#[test]
fn control_characters_in_the_identity() {
    for name in ["sub", "client_id", "jti", "sid", "scope"] {
        for value in ["\0", "a\nb", "a\r", "\u{1b}[2J", "a\u{7f}", "\u{85}"] {
            check_claims(&json!({ name: value }), Rejection::ControlCharacter);
        }
    }
    accepts_claims(&json!({ "sub": "Zoë", "note": "two\nlines" }));
}

#[test]
fn identity_that_is_missing_empty_or_of_another_type() {
    for name in ["sub", "client_id", "jti", "sid"] {
        for value in [json!(null), json!(""), json!(7), json!(["x"])] {
            check_claims(&json!({ name: value }), Rejection::MalformedIdentity);
        }
    }
    for scope in [json!(7), json!(["a"]), json!({})] {
        check_claims(&json!({ "scope": scope }), Rejection::MalformedIdentity);
    }
    accepts_claims(&json!({ "scope": null }));
}

#[test]
fn a_megabyte_of_anything_is_too_long() {
    let fixture = es256();
    for byte in ["a", ".", "{", "é"] {
        assert_eq!(fixture.verify(&byte.repeat(1 << 20)), Err(Rejection::TooLong));
    }
}

/// The log names the owner of a rejected token only if its signature is valid.
#[test]
fn a_refused_token_names_its_owner_when_it_was_signed() {
    let fixture = es256();
    let verifier = Verifier::new(issuer(), AUDIENCE.to_owned(), &fixture.jwks).unwrap();
    let good = fixture.good();
    let owner = Some((UserId::from_bytes([1; 16]), SessionId::from_bytes([2; 16])));
    let later = NOW + Duration::from_secs(3600);
    assert_eq!(verifier.examine(&good, later), Err(Rejected { cause: Rejection::Expired, owner }));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(86));
    let nobody = Rejected { cause: Rejection::BadSignature, owner: None };
    assert_eq!(verifier.examine(&forged, later), Err(nobody));
    let other = fixture.with_claims(&json!({ "aud": "other" }));
    let unreadable = Rejected { cause: Rejection::WrongAudience, owner: None };
    assert_eq!(verifier.examine(&other, NOW), Err(unreadable), "usr_1 is no id of ours");
}

/// The header of our own signer is known by its bytes; the same header written otherwise is read, and means the same.
#[test]
fn a_header_need_not_be_spelled_as_we_spell_it() {
    let fixture = es256();
    let kid = fixture.signer.keys.kid();
    let ours = fixture.good();
    let usual = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}"}}"#);
    assert!(ours.starts_with(&format!("{}.", BASE64URL_NOPAD.encode(usual.as_bytes()))));
    for other in [
        format!(r#"{{"kid":"{kid}","alg":"ES256","typ":"at+jwt"}}"#),
        format!(r#"{{ "typ": "application/at+jwt", "alg": "ES256", "kid": "{kid}", "x": 1 }}"#),
    ] {
        assert!(fixture.verify(&fixture.signed(&other, &claims().to_string())).is_ok(), "{other}");
    }
}
