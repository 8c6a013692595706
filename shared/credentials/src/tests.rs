use super::*;
use daypass_core::Timestamp;
use daypass_core::jwks;
use daypass_core::keys::Document;

/// Not random, which a salt in a test need not be.
struct Counter(std::sync::atomic::AtomicU8);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

fn counter() -> Counter {
    Counter(std::sync::atomic::AtomicU8::new(0))
}

fn document() -> Document {
    Document::generate(jwks::Algorithm::EdDsa, &counter(), Timestamp::from_seconds(1)).unwrap()
}

fn peppers() -> Peppers {
    Peppers::from_document(&document()).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn check(typed: &str, stored: Option<&str>) -> PasswordCheck {
    Passwords.check(&password(typed), stored, &peppers())
}

#[test]
fn a_hash_is_a_phc_string_that_names_its_pepper() {
    let hash = Passwords.hash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="), "{hash}");
    let parsed = PasswordHash::new(&hash).unwrap();
    assert_eq!(parsed.salt.unwrap().as_ref().len(), 16);
    assert_eq!(parsed.hash.unwrap().as_bytes().len(), 32);
}

#[test]
fn the_right_password_matches_and_no_other() {
    let hash = Passwords.hash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
    assert_eq!(check("correct horse battery", Some(&hash)), PasswordCheck::Match { outdated: false });
    for wrong in
        ["correct horse batterY", "correct horse battery ", " correct horse battery", "correct horse batter"]
    {
        assert_eq!(check(wrong, Some(&hash)), PasswordCheck::Mismatch, "{wrong:?}");
    }
    assert_eq!(check("correct horse battery", None), PasswordCheck::Mismatch);
}

#[test]
fn nothing_is_truncated() {
    let long = "a".repeat(1023);
    let hash = Passwords.hash(&password(&format!("{long}b")), &peppers(), &counter()).unwrap();
    assert_eq!(check(&format!("{long}c"), Some(&hash)), PasswordCheck::Mismatch);
    let hash = Passwords.hash(&password("before\0after, long enough"), &peppers(), &counter()).unwrap();
    assert_eq!(check("before\0AFTER, long enough", Some(&hash)), PasswordCheck::Mismatch);
}

#[test]
fn composed_and_decomposed_are_one_password() {
    let hash = Passwords.hash(&password("caf\u{e9} au lait, s'il vous"), &peppers(), &counter()).unwrap();
    assert_eq!(
        check("cafe\u{301} au lait, s'il vous", Some(&hash)),
        PasswordCheck::Match { outdated: false }
    );
}

#[test]
fn an_older_hash_is_made_anew() {
    // No pepper and weaker parameters, as from another system.
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 1, 1, Some(32)).unwrap());
    let old =
        argon2.hash_password_with_salt(b"correct horse battery", b"0123456789abcdef").unwrap().to_string();
    assert_eq!(check("correct horse battery", Some(&old)), PasswordCheck::Match { outdated: true });
    let new = Passwords.rehash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
    assert_eq!(check("correct horse battery", Some(&new)), PasswordCheck::Match { outdated: false });
    assert_eq!(check("wrong", Some(&old)), PasswordCheck::Mismatch);
}

#[test]
fn a_pepper_is_needed() {
    let other = Document::generate(
        jwks::Algorithm::EdDsa,
        &Counter(std::sync::atomic::AtomicU8::new(99)),
        Timestamp::from_seconds(1),
    );
    let hash = Passwords
        .hash(
            &password("correct horse battery"),
            &Peppers::from_document(&other.unwrap()).unwrap(),
            &counter(),
        )
        .unwrap();
    assert_eq!(
        check("correct horse battery", Some(&hash)),
        PasswordCheck::Unusable("the pepper of the stored hash is not in the key set".to_owned())
    );
}

#[test]
fn hashes_that_cannot_be_checked_say_why() {
    for (stored, problem) in [
        ("", "not a PHC string"),
        ("plain text", "not a PHC string"),
        ("$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg", "not argon2id"),
        ("$argon2id$v=19$m=4194304,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg", "more memory"),
        (
            "$argon2id$v=19$m=19456,t=2000,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
            "more memory or passes",
        ),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg", "no output"),
    ] {
        match check("x", Some(stored)) {
            PasswordCheck::Unusable(text) => assert!(text.contains(problem), "{stored}: {text}"),
            other => panic!("{stored}: {other:?}"),
        }
    }
}

#[test]
fn names() {
    let name = |typed: &str| Passwords.username(typed).ok().map(|name| name.as_str().to_owned());
    assert_eq!(name("Alice"), Some("alice".to_owned()));
    assert_eq!(name("alice@Example.com"), Some("alice@example.com".to_owned()));
    assert_eq!(name("\u{ff21}lice"), Some("alice".to_owned()), "full width");
    assert_eq!(name("STRASSE"), Some("strasse".to_owned()));
    assert_eq!(name("E\u{301}va"), name("\u{c9}va"), "composed and decomposed");
    for bad in ["", " ", "al ice", "alice\n", "al\u{200b}ice", "\u{202e}ecila", "a\u{0}b", "ﬁ", "☃"] {
        assert_eq!(name(bad), None, "{bad:?}");
    }
    assert_eq!(name(&"a".repeat(257)), None);
}

#[test]
fn new_passwords() {
    let alice = Passwords.username("alice.of.wonderland").unwrap();
    let accept = |text: &str| Passwords.accept(&password(text), &alice);
    assert_eq!(accept("fifteen letters"), Ok(()));
    assert_eq!(accept("fourteen chars"), Err(PasswordRefused::TooShort));
    assert_eq!(accept("Alice.of.Wonderland"), Err(PasswordRefused::EqualsName));
    assert_eq!(accept("🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀"), Ok(()), "code points count, not bytes");
}
