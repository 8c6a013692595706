use super::*;

/// invariant: A hash that an import accepts in one spelling is accepted unchanged in its stored form.
#[test]
fn the_spellings_of_each_system_become_what_is_stored() {
    for (spelling, stored) in [
        // Django's tests/auth_tests/test_hashers.py.
        (
            "pbkdf2_sha256$390000$seasalt$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c=",
            "$pbkdf2-sha256$i=390000$c2Vhc2FsdA$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c",
        ),
        (
            "pbkdf2_sha1$390000$seasalt2$aDapRanzW8aHTz97v2TcfHzWD+I=",
            "$pbkdf2-sha1$i=390000$c2Vhc2FsdDI$aDapRanzW8aHTz97v2TcfHzWD+I",
        ),
        (
            "scrypt$16384$seasalt$8$5$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw==",
            "$scrypt$ln=14,r=8,p=5$c2Vhc2FsdA$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw",
        ),
        (
            "argon2$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
            "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q",
        ),
        (
            "bcrypt$$2b$12$2Yur4W1PODiN1bsIh74tYeyH8JTBjTghJRv3L69C/jAswcGD9sE/a",
            "$2b$12$2Yur4W1PODiN1bsIh74tYeyH8JTBjTghJRv3L69C/jAswcGD9sE/a",
        ),
        (
            "bcrypt_sha256$$2b$12$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy",
            "bcrypt_sha256$$2b$12$OgqeWD.9vosvSvZ0.qC8A.7EHMTJ/JZCr1S9e9qlBjbqBMHuV2nqy",
        ),
        ("$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "typed=html$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        ("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        (
            "$wp$2y$10$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES",
            "typed=slashed$wp$2y$10$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES",
        ),
        ("U$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "typed=md5$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        (
            "$pbkdf2-sha512$i=100000,l=64$HqJwOCHweNk1pLryiu3RsA$KVSvxKYcibIG5S5n55RvxKRTdAAfCUtBJoy5IuFzdSZyzkwvUcU+FPawEWFPn+06JyZsndfRTfpiEh+2eSJLkg==",
            "$pbkdf2-sha512$i=100000$HqJwOCHweNk1pLryiu3RsA$KVSvxKYcibIG5S5n55RvxKRTdAAfCUtBJoy5IuFzdSZyzkwvUcU+FPawEWFPn+06JyZsndfRTfpiEh+2eSJLkg",
        ),
        // Kratos writes N where others write its logarithm, and pads its base64.
        (
            "$scrypt$ln=16384,r=8,p=1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=",
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI",
        ),
        (
            "$sha256-crypt$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        ),
        // A salt with random unused bits, as bcrypt of Python wrote it once, and the same salt without them.
        (
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            "1|$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            "3|$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
    ] {
        let text = |spelled: Spelled| spelled.typed.stored(&spelled.hash);
        assert_eq!(from_text(spelling).map(text).as_deref(), Ok(stored));
        assert_eq!(from_text(stored).map(text).as_deref(), Ok(stored));
        assert!(check(stored).is_ok(), "{stored}");
    }
}

#[test]
fn no_password_and_no_hash_are_refused() {
    for none in ["", " ", "!", "!Zf0mFkq", "*", "!!", "!$6$saltstring$x"] {
        assert!(from_text(none).unwrap_err().starts_with("the user has no password"), "{none}");
    }
    for bad in [
        "pbkdf2_sha256$1$a",
        "scrypt$1000$a$8$1$b",
        "scrypt$a",
        "pbkdf2:sha256$salt$00",
        "pbkdf2:sha256:1000$salt$zz",
        "$scrypt$ln=1000,r=8,p=1$YQ$YQ",
        "$pbkdf2-sha256$i=1,l=32$YQ$YQ",
        "{pbkdf2}00",
        "typed=other$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0",
    ] {
        assert!(from_text(bad).is_err(), "{bad}");
    }
    for unknown in ["plain", "{unknown}x", "$unknown$x", "AQAAAAIAAYag"] {
        let stored = from_text(unknown).and_then(|spelled| check(&spelled.hash).map(|_| ()));
        assert!(stored.unwrap_err().contains("no known form"), "{unknown}");
    }
}

#[test]
fn hashes_that_protect_no_password_are_refused_by_name() {
    for (hash, name) in [
        ("5f4dcc3b5aa765d61d8327deb882cf99", "MD5"),
        ("5f4dcc3b5aa765d61d8327deb882cf99:saltsalt", "MD5"),
        ("5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "SHA-1"),
        ("md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3", "one round"),
        ("sha1$seasalt$cff36ea83f5706ce9aa7454e63e431fc726b2dc8", "one round"),
        ("{SSHA}SATZuaJYwaqWSLy/kFCSZh+6d7KhcD5k", "one round"),
        ("{MD5}X03MO1qnZdYdgyfeuILPmQ==", "one round"),
        ("{noop}password", "in clear"),
        ("{CRYPT}$1$abc$NjBZKXoTaaPLWjQ7PBgLJ.", "MD5-crypt"),
        ("$1$abc$NjBZKXoTaaPLWjQ7PBgLJ.", "MD5-crypt"),
        ("abJnggxhB/yWI", "DES-crypt"),
        ("$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "faulty"),
        ("$H\\2y$10$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "phpBB"),
        ("$firescrypt$ln=14,r=8,p=1$c2FsdA==$aGFzaA==$Bw==$a2V5", "signer key"),
        ("pbkdf2_wrapped_sha1$1000$a$b", "of an application's own"),
        ("{FSHP1|16|1000}MyYEQIhxznkvJaR0LuW810yzTQ4abJ9f0qihIlf0VpKIuNuLaFn3sSzY1jTjt/1Q", "FSHP"),
        ("$pbkdf2-md5$1000$YQ$YQ", "another digest"),
    ] {
        let error = from_text(hash).unwrap_err();
        assert!(error.starts_with("the hash is rejected: ") && error.contains(name), "{hash}: {error}");
    }
}
