use super::*;
use argon2::password_hash::phc::PasswordHash;
use daypass_core::keys::Document;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Algorithm as SigningAlgorithm;

/// Not random. A salt in a test need not be.
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
    Document::generate(SigningAlgorithm::EdDsa, &counter(), Timestamp::from_seconds(1)).unwrap()
}

fn peppers() -> Peppers {
    Peppers::from_document(&document()).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn check(typed: &str, stored: Option<&str>) -> PasswordCheck {
    Passwords::standard().check(&password(typed), stored, &peppers())
}

#[test]
fn a_hash_is_a_phc_string_that_names_its_pepper() {
    let hash =
        Passwords::standard().hash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="), "{hash}");
    let parsed = PasswordHash::new(&hash).unwrap();
    assert_eq!(parsed.salt.unwrap().as_ref().len(), 16);
    assert_eq!(parsed.hash.unwrap().as_bytes().len(), 32);
}

#[test]
fn the_right_password_matches_and_no_other() {
    let hash =
        Passwords::standard().hash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
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
    let hash = Passwords::standard().hash(&password(&format!("{long}b")), &peppers(), &counter()).unwrap();
    assert_eq!(check(&format!("{long}c"), Some(&hash)), PasswordCheck::Mismatch);
    let hash =
        Passwords::standard().hash(&password("before\0after, long enough"), &peppers(), &counter()).unwrap();
    assert_eq!(check("before\0AFTER, long enough", Some(&hash)), PasswordCheck::Mismatch);
}

#[test]
fn composed_and_decomposed_are_one_password() {
    let hash = Passwords::standard()
        .hash(&password("caf\u{e9} au lait, s'il vous"), &peppers(), &counter())
        .unwrap();
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
    let new =
        Passwords::standard().rehash(&password("correct horse battery"), &peppers(), &counter()).unwrap();
    assert_eq!(check("correct horse battery", Some(&new)), PasswordCheck::Match { outdated: false });
    assert_eq!(check("wrong", Some(&old)), PasswordCheck::Mismatch);
}

#[test]
fn a_pepper_is_needed() {
    let other = Document::generate(
        SigningAlgorithm::EdDsa,
        &Counter(std::sync::atomic::AtomicU8::new(99)),
        Timestamp::from_seconds(1),
    );
    let hash = Passwords::standard()
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

/// invariant: A stored hash takes at most 256 MiB and about a second.
#[test]
fn hashes_that_cannot_be_checked_say_why() {
    for (stored, problem) in [
        ("", "no known form"),
        ("plain text", "no known form"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "no known form"),
        ("$argon2", "no known form"),
        ("$argon2id$v=19$m=4194304,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg", "of memory"),
        (
            "$argon2id$v=19$m=19456,t=2000,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
            "ms of a processor",
        ),
        (
            "$argon2id$v=19$m=4294967295,t=4294967295,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
            "of memory",
        ),
        ("$argon2id$v=18$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg", "no such version"),
        (
            "$argon2id$v=19$m=19456,t=2,p=1,keyid=AQI$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
            "id of its pepper",
        ),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg", "no output"),
        ("$2b$31$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy", "ms of a processor"),
        ("$2b$03$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy", "no such parameters"),
        ("$2b$10$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nq", "53 characters"),
        ("$2b$10$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nq!", "53 characters"),
        ("$2x$10$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy", "no known form"),
        ("$wp$2x$10$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy", "53 characters"),
        (
            "$bcrypt-pepper$k=0102030$2b$10$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy",
            "id of its pepper",
        ),
        ("$bcrypt-pepper$k=01020304", "ends early"),
        ("$scrypt$ln=30,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "of memory"),
        ("$scrypt$ln=10,r=8,p=4000$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "ms of a processor"),
        ("$scrypt$ln=10,r=0,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "no such parameters"),
        ("$scrypt$ln=4000000000,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "no such parameters"),
        ("$scrypt$ln=1,r=4270777,p=7270777$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "no such parameters"),
        ("$scrypt$r=8,ln=10,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "not those of its algorithm"),
        ("$scrypt$ln=10,r=8,p=1,x=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "not those of its algorithm"),
        ("$scrypt$ln=ten,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "not a number"),
        ("$scrypt$ln=10,r=8,p=1$MDEy$MDEyMzQ1", "too short or too long"),
        ("$scrypt$ln=10,r=8,p=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg==", "not base64"),
        ("$pbkdf2-sha256$i=4000000$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "ms of a processor"),
        ("$pbkdf2-sha256$i=0$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "no such parameters"),
        ("$pbkdf2-md5$i=1$MDEy$MDEyMzQ1Njc4OWFiY2RlZg", "no known form"),
        // 2^17 rounds. A round takes 10 µs with a password of 4,096 bytes.
        ("$P$FIQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "ms of a processor"),
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L", "31 characters"),
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L!", "31 characters"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$MDEyMzQ1Njc4OWFiY2RlZg", "malformed"),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1", "malformed"),
        ("$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzL", "52 characters"),
        ("$S$S33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf", "ms of a processor"),
        ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc", "43 or 86 characters"),
        ("$5$rounds=9000000$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "ms of a processor"),
        ("$5$rounds=10$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "no such parameters"),
        ("$y$jFT$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57", "of memory"),
        (
            "$y$j953/2$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57",
            "no such parameters",
        ),
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi", "43 characters"),
        ("$bcrypt-sha256$v=3,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2", "malformed"),
        ("typed=other$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "no such change"),
        ("typed=slashed$2b$14$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy", "ms of a processor"),
        (&format!("$scrypt$ln=10,r=8,p=1$MDEy${}", "A".repeat(2000)), "too long"),
    ] {
        match check("x", Some(stored)) {
            PasswordCheck::Unusable(text) => assert!(text.contains(problem), "{stored}: {text}"),
            other => panic!("{stored}: {other:?}"),
        }
    }
}

/// A truncated or mangled text is rejected or parsed without a panic.
#[test]
fn mangled_hashes_are_no_panic() {
    for (_, stored) in vectors::ALL {
        for end in 0..stored.len() {
            let _ = StoredHash::parse(&stored[..end]);
            let mut mangled = stored.as_bytes().to_vec();
            for other in [b'$', b',', b'=', b'9', 0xff] {
                mangled[end] = other;
                let _ = StoredHash::parse(&String::from_utf8_lossy(&mangled));
            }
        }
    }
}

#[test]
fn names() {
    let name = |typed: &str| Passwords::standard().username(typed).ok().map(|name| name.as_str().to_owned());
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

/// Every code point, alone and between letters.
///
/// invariant: The normal form of a user name is a user name with the same normal form.
#[test]
fn normal_forms_are_stable() {
    let passwords = Passwords::standard();
    let mut accepted = 0;
    for c in '\0'..=char::MAX {
        for typed in [c.to_string(), format!("a{c}b")] {
            if let Ok(name) = passwords.username(&typed) {
                assert_eq!(passwords.username(name.as_str()), Ok(name), "U+{:04X}", u32::from(c));
                accepted += 1;
            }
        }
    }
    assert!(accepted > 190_000, "{accepted} names");
    // Its lower case, U+AB97, is in no table of the profile.
    assert_eq!(passwords.username("\u{13c7}"), Err(NameError));
}

#[test]
fn new_names_are_not_somebody_elses_in_disguise() {
    let name = |typed: &str| Passwords::standard().new_username(typed).map(|name| name.as_str().to_owned());
    for good in [
        "alice@example.com",
        "o'neil+shop@example.com",
        "j\u{fc}rgen",
        "\u{430}\u{43d}\u{43d}\u{430}",
        "\u{5c71}\u{7530}\u{592a}\u{90ce}",
        "\u{5c71}\u{7530}\u{3055}\u{3093}",
        // Japanese, Chinese and Korean names can contain Latin letters.
        "yamada\u{5c71}\u{7530}",
        "user_1-2.3",
        // Each part of an address is of one script.
        "дмитрий@example.com",
        "δοκιμη@example.com",
        "ทดสอบ@example.com",
        "用户@example.com",
        "ada@пример.рф",
    ] {
        assert_eq!(name(good), Ok(good.to_owned()));
    }
    for (bad, why) in [
        ("p\u{430}ypal", NameRefused::MixedScripts),
        ("\u{3b1}lice@example.com", NameRefused::MixedScripts),
        ("\u{430}da@example.com", NameRefused::MixedScripts),
        ("ada@ex\u{430}mple.com", NameRefused::MixedScripts),
        ("\u{434}\u{43c}@ada@example.com", NameRefused::MixedScripts),
        ("\u{43e}ffice", NameRefused::MixedScripts),
        ("\u{301}alice", NameRefused::Invisible),
        // The profile permits a joiner after a virama.
        ("\u{915}\u{94d}\u{200d}\u{937}", NameRefused::Invisible),
        ("al\u{200b}ice", NameRefused::Profile),
        ("al\u{ad}ice", NameRefused::Profile),
        ("alice\u{7}", NameRefused::Profile),
        ("al ice", NameRefused::Profile),
        ("", NameRefused::Profile),
    ] {
        assert_eq!(name(bad), Err(why), "{bad:?}");
    }
    // A login only normalises, so an existing user keeps such a name.
    assert!(Passwords::standard().username("p\u{430}ypal").is_ok());
}

#[test]
fn new_passwords() {
    let alice = Passwords::standard().username("alice.of.wonderland").unwrap();
    let accept = |text: &str| Passwords::standard().accept(&password(text), &alice);
    assert_eq!(accept("fifteen letters"), Ok(()));
    assert_eq!(accept("fourteen chars"), Err(PasswordRefused::TooShort(15)));
    assert_eq!(accept("Alice.of.Wonderland"), Err(PasswordRefused::EqualsName));
    assert_eq!(accept("Alice.of.WonderlandAlice.of.Wonderland"), Err(PasswordRefused::EqualsName));
    assert_eq!(accept("alice.of.wonderland1234"), Err(PasswordRefused::EqualsName));
    assert_eq!(accept("\u{1f980}crab\u{1f600}and\u{1f30a}waves"), Ok(()), "code points count, not bytes");
    assert_eq!(accept("  spaces at the ends  "), Ok(()));
    assert_eq!(
        accept(
            "\u{5bc6}\u{7801}\u{5f88}\u{957f}\u{4f46}\u{662f}\u{5bb9}\u{6613}\u{8bb0}\u{4f4f}\u{7684}\u{4e00}\u{53e5}\u{8bdd}\u{554a}"
        ),
        Ok(())
    );
    for common in [
        "PasswordPassword",
        "password12345678",
        "PASSWORD!!!!!!!!",
        "12345678baseball1234",
        "1qaz2wsx1qaz2wsx",
    ] {
        assert_eq!(accept(common), Err(PasswordRefused::Common), "{common}");
    }
    for simple in [
        "aaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "abcdefghijklmnop",
        "ponmlkjihgfedcba",
        "zx9zx9zx9zx9zx9zx9",
        "1234567890abcdefghij",
    ] {
        assert_eq!(accept(simple), Err(PasswordRefused::TooSimple), "{simple}");
    }
    for odd in ["fifteen letters\u{378}", "fifteen letters\u{e000}"] {
        assert_eq!(accept(odd), Err(PasswordRefused::Unassigned), "{odd:?}");
    }
}

#[test]
fn the_shortest_password_is_configured() {
    let short = Passwords::configured(|name| (name == MIN_CHARS).then(|| "8".to_owned())).unwrap();
    let alice = short.username("alice").unwrap();
    let accept = |text: &str| short.accept(&password(text), &alice);
    assert_eq!(accept("x7#kQ2!p"), Ok(()));
    assert_eq!(accept("x7#kQ2!"), Err(PasswordRefused::TooShort(8)));
    for common in ["password", "iloveyou", "Football", "baseball"] {
        assert_eq!(accept(common), Err(PasswordRefused::Common), "{common}");
    }
}

/// Counts the work of a check instead of its time.
///
/// invariant: Each password check does the same work, whatever is stored.
#[test]
fn every_check_does_the_same_work() {
    let imported = "bcrypt,c=4 bcrypt,c=4,slashed scrypt,ln=4,r=8,p=1 pbkdf2-sha256,i=1000,b=1";
    let passwords =
        Passwords::configured(|name| (name == IMPORTED_HASHES).then(|| imported.to_owned())).unwrap();
    let work = |stored: Option<&str>| {
        let stored = stored.map(|kind| kind.parse().unwrap());
        let mut all: Vec<String> =
            passwords.decoys(stored).chain(stored).map(|kind| kind.to_string()).collect();
        all.sort();
        all
    };
    let unknown = work(None);
    assert_eq!(
        unknown,
        [
            "argon2id,m=19456,t=2,p=1",
            "bcrypt,c=4",
            "bcrypt,c=4,slashed",
            "pbkdf2-sha256,i=1000,b=1",
            "scrypt,ln=4,r=8,p=1"
        ]
    );
    for kind in &unknown {
        assert_eq!(work(Some(kind)), unknown, "{kind}");
    }
    // An unlisted kind gets no decoys.
    assert_eq!(work(Some("bcrypt,c=5")), ["bcrypt,c=5"]);
    assert_eq!(Passwords::standard().decoys(None).count(), 1);
    assert_eq!(Passwords::standard().decoys(Some(Passwords::standard().params().into())).count(), 0);
}

mod vectors;
