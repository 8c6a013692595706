//! Properties of the user import, over damaged hashes and over the ways in which programs write a table.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_cli::lines::users_in;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::secret::Password;
use daypass_passwords::{Passwords, StoredHash};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use proptest::prelude::*;
use serde_json::json;
use std::sync::LazyLock;

/// Password and hash as the system writes it. The tests of the command name the program that made each.
const HASHES: [(&str, &str); 18] = [
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U", "{bcrypt}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("o'neil-2019-tea", "$wp$2y$05$c.DJcAklUxyOAjt7eQZVPuM.IEOHJyqvfvwmYU.kac8/JtzbbdrYm"),
    ("lètmein", "1|$2y$05$yDWFHl/1j2WK0CmvUuV7Y.6IBh/oXm2n/WABksGi6qXQBS.M.7.dW"),
    ("lètmein", "$bcrypt-sha256$v=2,t=2b,r=5$Ct7PHcXwlqYwwsaGkpLzs.$Tbt8z.NuDdYr3NYW0SA9Z.pCk.EVGR."),
    ("lètmein", "$bcrypt-sha256$2b,5$ktLAwQ1ZaroW9wsgPIxsue$3Qk7EAvVVE4fX82bnq2N3NXAdaykAda"),
    ("lètmein", "pbkdf2:sha1:1000$nweSAO2VgI5eyTvx$e712a8d241ebcedc64eff504069037e6ea3ca656"),
    ("lètmein", "$pbkdf2-sha256$1000$//79c2FsdDEyMzQ1Njc4$NJOsW4YqCJUkNodKtgOBlfoDGiS0m7ZXJUMFJ7R/sZI"),
    ("lètmein", "$scrypt$ln=10,r=8,p=1$//79c2FsdDEyMzQ1Njc4$qcbAU+8gorz0zs7omN8lpuX20ITAcx181FcW4OuCTFw"),
    ("password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
    (
        "password",
        "argon2$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
    ("lètmein", "$P$5sClFlZu7g2RTLqgVXHKAfwBV8RmIQ1"),
    ("lètmein", "$H$5mPVwbPvwB9bv4BRIIHG6PSsQhIUzr."),
    (
        "lètmein",
        "$6$rounds=1000$F5Jx5fExrKuPp53x$Y0jus9g/JjL1lrQ9NphY0hwoBwCsDcZRGKdogDOjb3xEn6xb0b/T9.eTmRqBu6KzTzgDXj1hbK5GORSmETvZk.",
    ),
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("hashcat", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"),
    ("lètmein", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$yBh2GduheHBvOjZdMFfO9lH6OiwStgqWyGS5UGTov55"),
    ("lètmein", "{PBKDF2}1000$OifEmNO6956TEqIUQkgpRQ$bQHkMNEkVq/8RZy2q5Kzcp/5CpQ"),
];

static PEPPERS: LazyLock<Peppers> = LazyLock::new(|| {
    let document = Document::generate(Algorithm::EdDsa, &OsEntropy, SystemClock.now());
    Peppers::from_document(&document.unwrap()).unwrap()
});

fn check(hash: &str, password: &str) -> PasswordCheck {
    let password = Password::new(password.to_owned()).unwrap();
    Passwords::standard().check(&password, Some(hash), &PEPPERS)
}

/// A user of `tests/vectors`.
#[derive(serde::Deserialize)]
struct Made {
    system: String,
    line: String,
    password: String,
    /// Suffix that Devise appends to each password.
    pepper: Option<String>,
}

/// invariant: A user whose hash PHP, WordPress, Drupal, Symfony, Laravel, Joomla or Ruby made can log in with the password of the hash after the import.
#[test]
fn hashes_that_php_and_ruby_made_are_imported() {
    #[derive(serde::Deserialize)]
    struct File {
        users: Vec<Made>,
    }
    let now = SystemClock.now();
    let mut document = Document::generate(Algorithm::EdDsa, &OsEntropy, now).unwrap();
    let kid = document.adopt_pepper(b"peppered by devise", &OsEntropy, now).unwrap();
    let peppers = Peppers::from_document(&document).unwrap();
    for (text, at_least) in
        [(include_str!("../vectors/php.json"), 100), (include_str!("../vectors/ruby.json"), 20)]
    {
        let File { users } = serde_json::from_str(text).unwrap();
        assert!(users.len() >= at_least, "{}", users.len());
        for Made { system, line, password, pepper } in &users {
            let imported = users_in(system, false, line.as_bytes(), now).unwrap();
            let [Ok(user)] = imported.as_slice() else { panic!("{line}: {imported:?}") };
            let prefix = pepper.as_ref().map(|_| format!("$bcrypt-pepper$k={kid}")).unwrap_or_default();
            let hash = prefix + &user.password_hash;
            let check = |password: &str| {
                let password = Password::new(password.to_owned()).unwrap();
                Passwords::standard().check(&password, Some(&hash), &peppers)
            };
            assert!(matches!(check(password), PasswordCheck::Match { .. }), "{password:?}: {line}");
            assert_eq!(check(&format!("x{password}")), PasswordCheck::Mismatch, "{line}");
        }
    }
}

fn one_hash() -> impl Strategy<Value = (&'static str, &'static str)> {
    proptest::sample::select(&HASHES[..])
}

/// Characters that hashes have, and some that they do not have.
fn one_char() -> impl Strategy<Value = char> {
    proptest::sample::select("$,=.:{}|/+-09AZaz é\0".chars().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    /// invariant: An import stores no hash that a login cannot compute.
    #[test]
    fn a_damaged_hash_is_rejected_or_can_be_computed(
        (password, hash) in one_hash(),
        at in 0..100_usize,
        to in one_char(),
        change in 0..3_u8,
    ) {
        let mut damaged: Vec<char> = hash.chars().collect();
        let at = at % damaged.len();
        match change {
            0 => damaged[at] = to,
            1 => damaged.insert(at, to),
            _ => damaged.truncate(at),
        }
        let damaged: String = damaged.into_iter().collect();
        let line = json!({ "username": "ada", "password_hash": damaged }).to_string();
        let users = users_in("daypass", false, line.as_bytes(), SystemClock.now()).unwrap();
        if let Ok(user) = &users[0] {
            let kind = StoredHash::parse(&user.password_hash).unwrap().kind();
            if kind.millis() <= 100 {
                let checked = check(&user.password_hash, password);
                prop_assert!(!matches!(checked, PasswordCheck::Unusable(_)), "{damaged}: {checked:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    /// invariant: A user of CSV can log in, however a program delimits, quotes, pads and encodes its table.
    #[test]
    fn every_way_to_write_a_table_gives_the_same_user(
        (password, hash) in one_hash(),
        delimiter in proptest::sample::select(vec![",", ";", "\t", "|"]),
        end in proptest::sample::select(vec!["\n", "\r\n"]),
        (quoted, padded) in (any::<bool>(), any::<bool>()),
        encoding in 0..4_u8,
    ) {
        // A comma or bar in a hash needs quotes where it delimits, and quotes count at the beginning of a field alone.
        let delimited = hash.contains(delimiter);
        let (quoted, padded) = (quoted || delimited, padded && !delimited);
        let field = |text: &str| {
            let text = if quoted { format!("\"{text}\"") } else { text.to_owned() };
            if padded { format!(" {text} ") } else { text }
        };
        let row = |name: &str, hash: &str, more: &str| {
            format!("{}{end}", [name, hash, more].map(field).join(delimiter))
        };
        let text = row("username", "password_hash", "scope") + &row("ada", hash, "");
        let bytes = match encoding {
            0 => text.into_bytes(),
            1 => format!("\u{feff}{text}").into_bytes(),
            2 => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
        };
        let users = users_in("daypass", true, &bytes, SystemClock.now()).unwrap();
        let [Ok(user)] = users.as_slice() else { panic!("{users:?}") };
        prop_assert_eq!(user.username.as_str(), "ada");
        prop_assert!(matches!(check(&user.password_hash, password), PasswordCheck::Match { .. }), "{}", hash);
    }
}
