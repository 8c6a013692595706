//! Hashes of the original systems.

use super::*;

/// Password and stored hash.
pub(super) const ALL: [(&str, &str); 28] = [
    // Django, tests/auth_tests/test_hashers.py, salt and hash turned into base64 without padding: pbkdf2_sha256, 390,000
    // iterations, salt "seasalt"; pbkdf2_sha1, salt "seasalt2"; scrypt with parallelism 1 (4.0) and 5 (5.1).
    ("lètmein", "$pbkdf2-sha256$i=390000$c2Vhc2FsdA$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c"),
    ("lètmein", "$pbkdf2-sha1$i=390000$c2Vhc2FsdDI$aDapRanzW8aHTz97v2TcfHzWD+I"),
    (
        "lètmein",
        "$scrypt$ln=14,r=8,p=1$c2Vhc2FsdA$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw",
    ),
    (
        "lètmein",
        "$scrypt$ln=14,r=8,p=5$c2Vhc2FsdA$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw",
    ),
    // The same file: argon2i of version 1.0 and 1.3, and Django 4's default.
    (
        "secret",
        "$argon2i$m=8,t=1,p=1$c29tZXNhbHQ$gwQOXSNhxiOxPOA0+PY10P9QFO4NAYysnqRt1GSQLE55m+2GYDt9FEjPMHhP2Cuf0nOEXXMocVrsJAtNSsKyfg",
    ),
    ("secret", "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q"),
    ("secret", "$argon2id$v=19$m=102400,t=2,p=8$Y041dExhNkljRUUy$TMa6A8fPJhCAUXRhJXCXdw"),
    // Made by Django 5.2.19's make_password.
    ("lètmein", "bcrypt_sha256$$2b$12$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy"),
    ("lètmein", "$2b$12$2Yur4W1PODiN1bsIh74tYeyH8JTBjTghJRv3L69C/jAswcGD9sE/a"),
    // The argon2 reference implementation, src/test.c: argon2d is checked by its own vectors in the crate.
    ("password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
    // OpenBSD's and PHP's form, from crypt_blowfish's wrapper.c.
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    // phpass, test.php.
    ("test12345", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
    // WordPress 6.8, from a public demo, verified with PHP's password_verify.
    ("admin", "$wp$2y$10$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES"),
    // Keycloak: a user of its documentation's realm (27,500 iterations, 32 bytes).
    ("admin", "$pbkdf2-sha256$i=27500$x/bm4Y3DcuV9eU97ervkPA$1u7BLvfSPxQFpwc5jpGSA+88EGl9pZYKhaZ8YPIu9N4"),
    // Auth0's PHC form, from the documentation of Azure's MQTT broker.
    (
        "password",
        "$pbkdf2-sha512$i=100000$HqJwOCHweNk1pLryiu3RsA$KVSvxKYcibIG5S5n55RvxKRTdAAfCUtBJoy5IuFzdSZyzkwvUcU+FPawEWFPn+06JyZsndfRTfpiEh+2eSJLkg",
    ),
    // glibc's and libxcrypt's crypt (Debian 12), by Python's crypt.crypt: SHA-crypt with and without rounds, yescrypt with the
    // parameters of Debian.
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("Hello world!", "$5$rounds=5000$toolongsaltstrin$0vuwUia3Nx9V/DqToMS8YLcfXpEXmSaC8wgguLIbus2"),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    (
        "lètmein",
        "$6$F5Jx5fExrKuPp53x$C7sGorVi9Oaamk7gDOr2GIqqUXGmNYIn5FEhIB3RGzBIAJaQsODqIJde3I0C8zkHQpuJUV.BWBGeX4tuni3eq.",
    ),
    ("Hello world!", "$y$j9T$abcdefghijklmnopqrstu0$JtpvDCBsCHyRg0H2nTAkIdGqkmu/ynspFs95D/rMTv7"),
    ("Hello world!", "$y$jA5$F5Jx5fExrKuPp53xLKQ..1$Q8lYfwE1xG6lF0To6.g1rUM9ngQ0O8v1ZT6vb/7uEW1"),
    ("lètmein", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$yBh2GduheHBvOjZdMFfO9lH6OiwStgqWyGS5UGTov55"),
    // Drupal 7: the example hash of hashcat's mode 7900.
    ("hashcat", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"),
    // Passlib's documentation of bcrypt_sha256, versions 2 and 1.
    ("password", "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2"),
    ("password", "$bcrypt-sha256$2a,12$LrmaIX5x4TRtAwEfwJZa1.$2ehnw6LvuIUTM0iz4iz9hTxv21B6KFO"),
    // RFC 7914 §12, the third.
    (
        "pleaseletmein",
        "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
    ),
];

fn assert_taken(vectors: &[(&str, &str)]) {
    for (right, stored) in vectors {
        assert_eq!(check(right, Some(stored)), PasswordCheck::Match { outdated: true }, "{stored}");
        for wrong in [format!("{right} "), format!("x{right}")] {
            assert_eq!(check(&wrong, Some(stored)), PasswordCheck::Mismatch, "{wrong} {stored}");
        }
    }
}

#[test]
fn hashes_of_frameworks_are_taken_with_their_password_and_no_other() {
    assert_taken(&ALL[..14]);
}

#[test]
fn hashes_of_systems_are_taken_with_their_password_and_no_other() {
    assert_taken(&ALL[14..]);
}

/// Passwords that the system changed, and hashes of PHP 8.2 (`password_hash`) and Python of the changed passwords.
#[test]
fn changes_of_the_typed_password() {
    let long = "correct horse battery ".repeat(5);
    for (right, wrong, stored) in [
        // WordPress: `addslashes` in its forms.
        (
            "o'neil-2019-tea",
            r"o\\'neil-2019-tea",
            "typed=slashed$wp$2y$05$c.DJcAklUxyOAjt7eQZVPuM.IEOHJyqvfvwmYU.kac8/JtzbbdrYm",
        ),
        // phpBB: `htmlspecialchars`.
        (
            "salt&pepper-7",
            "salt&amp;amp;pepper-7",
            "typed=html$2y$05$cylzv3bw3DlBbHMpB7t9u.f5jRWPbBHH1dUQOSTD3fzjFN2/uOqz2",
        ),
        // Symfony: SHA-512 of a password that is longer than 72 bytes.
        (&long, &long[..100], "typed=sha512$2y$05$hjRt/dO4V83UcpNkI5gTuOFcs5Bg1aZjjNBpvPoWS.XFwV/R20CyG"),
        (" hashcat\n", "hashca", "typed=trimmed$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"),
        // Auth0: PBKDF2 of UTF-16.
        (
            "auth0-pass-7",
            "auth0-pass-8",
            "typed=utf16le$pbkdf2-sha256$i=100000$YXV0aDAtc2FsdC0xMjM0NQ$Jia8RthvhNxy9eEEIw+B3Z4JTKkwA0cBCtmHEMpKVCs",
        ),
    ] {
        assert_eq!(check(right, Some(stored)), PasswordCheck::Match { outdated: true }, "{stored}");
        assert_eq!(check(wrong, Some(stored)), PasswordCheck::Mismatch, "{stored}");
    }
    // WordPress' command and REST API add no backslash, so the same system has both forms.
    let plain = bcrypt::hash_with_salt("o'neil", 4, [7; 16]).unwrap().to_string();
    assert_eq!(
        check("o'neil", Some(&format!("typed=slashed{plain}"))),
        PasswordCheck::Match { outdated: true }
    );
    assert_eq!(check("o\\'neil", Some(&format!("typed=slashed{plain}"))), PasswordCheck::Mismatch);
    // SHA-crypt and Drupal hash no longer password.
    let longest = "x".repeat(257);
    let hash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
    assert_eq!(check(&longest, Some(hash)), PasswordCheck::Mismatch);
}

/// A key set with another pepper: a secret of another system.
fn with_secret(secret: &[u8]) -> (Peppers, String) {
    let mut document = document();
    let kid = document.adopt_pepper(secret, &counter(), Timestamp::from_seconds(1)).unwrap();
    (Peppers::from_document(&document).unwrap(), kid)
}

/// The README of firebase/scrypt: project parameters, one account, its password.
#[test]
fn firebase() {
    let signer = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==";
    let (peppers, kid) = with_secret(&data_encoding::BASE64.decode(signer.as_bytes()).unwrap());
    // The salt "42xEC+ixf3L2lw==", followed by the separator "Bw==".
    let stored = format!(
        "$firebase-scrypt$ln=14,r=8,k={kid}$42xEC+ixf3L2lwc$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ"
    );
    let check = |typed: &str, peppers: &Peppers| {
        Passwords::standard().check(&password(typed), Some(&stored), peppers)
    };
    assert_eq!(check("user1password", &peppers), PasswordCheck::Match { outdated: true });
    assert_eq!(check("user2password", &peppers), PasswordCheck::Mismatch);
    let (other, _) = with_secret(b"another signer key");
    assert_ne!(check("user1password", &other), PasswordCheck::Match { outdated: true });
}

/// Devise hashes `"#{password}#{pepper}"` (lib/devise/encryptor.rb). This is bcrypt of both.
#[test]
fn devise() {
    let (peppers, kid) = with_secret(b"peppered by devise");
    let stored =
        format!("$bcrypt-pepper$k={kid}$2a$11$Z4jyMbBG43zKyChIw9jEjulUASbCv1ITd/1RoiumxJtcjAnGjQIee");
    let check = |typed: &str, peppers: &Peppers| {
        Passwords::standard().check(&password(typed), Some(&stored), peppers)
    };
    assert_eq!(check("correct horse battery", &peppers), PasswordCheck::Match { outdated: true });
    assert_eq!(check("correct horse batter", &peppers), PasswordCheck::Mismatch);
    assert!(matches!(check("correct horse battery", &super::peppers()), PasswordCheck::Unusable(_)));
}

/// bcrypt reads 72 bytes. A user who types these correctly gets in and keeps the hash, because a new one would contain
/// an unverified rest.
#[test]
fn what_bcrypt_never_saw_is_not_hashed_anew() {
    let long = "0123456789".repeat(8);
    let stored = bcrypt::hash_with_salt(&long, 4, [7; 16]).unwrap().to_string();
    assert_eq!(check(&long, Some(&stored)), PasswordCheck::Match { outdated: false });
    assert_eq!(check(&format!("{}x", &long[..79]), Some(&stored)), PasswordCheck::Match { outdated: false });
    assert_eq!(check(&long[..71], Some(&stored)), PasswordCheck::Mismatch);
    let short = &long[..71];
    let stored = bcrypt::hash_with_salt(short, 4, [7; 16]).unwrap().to_string();
    assert_eq!(check(short, Some(&stored)), PasswordCheck::Match { outdated: true });
}

/// Other systems hash the password as typed, and Daypass its composed form.
#[test]
fn imported_hashes_are_of_the_password_as_typed() {
    let decomposed = "cafe\u{301} au lait";
    let stored = bcrypt::hash_with_salt(decomposed, 4, [7; 16]).unwrap().to_string();
    assert_eq!(check(decomposed, Some(&stored)), PasswordCheck::Match { outdated: true });
    assert_eq!(check("caf\u{e9} au lait", Some(&stored)), PasswordCheck::Mismatch);
}
