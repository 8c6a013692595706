//! Names of hashes that Daypass does not check, so that an error tells the operator what the file has.

const CLEAR: &str = "it is a password in clear";
const FAST: &str = "a hash of one round, which does not protect a password (SHA, MD5 or HMAC)";
const MD5_CRYPT: &str = "MD5-crypt, which does not protect a password";
const PYTHON: &str = "the text of Python's bytes; remove b and the quotes";
const FIREBASE: &str = "Firebase's scrypt with its signer key; adopt the key and import Firebase's own export with --system firebase";

/// Name of a hash in one string.
pub(crate) fn named(text: &str) -> Option<&'static str> {
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_crypt =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/');
    // A salt can follow a hexadecimal hash, as in Joomla.
    let (first, salt) = text.split_once(':').unwrap_or((text, ""));
    if is_hexadecimal(first) && salt.len() <= 64 {
        match first.len() {
            32 => return Some("an MD5, or another hash of 128 bits, of one round"),
            40 => return Some("a SHA-1, or another hash of 160 bits, of one round"),
            56 | 64 | 96 | 128 => return Some("a SHA-2 of one round, or a hash without its parameters"),
            _ => {}
        }
    }
    for (prefix, name) in [
        ("$1$", MD5_CRYPT),
        ("$md5-crypt$", MD5_CRYPT),
        ("$apr1$", MD5_CRYPT),
        ("$md5", FAST),
        ("$sha1$", FAST),
        ("$sha256$", FAST),
        ("$sha512$", FAST),
        ("$SHA$", FAST),
        ("$hmac-", FAST),
        ("md5$", FAST),
        ("sha1$", FAST),
        ("sha256$", FAST),
        ("sha512$", FAST),
        ("hmac:", FAST),
        ("0x0100", FAST),
        ("0x0200", FAST),
        ("plain$", CLEAR),
        ("crypt$", "DES-crypt, which does not protect a password"),
        ("pbkdf2_", "a PBKDF2 of an application's own, which hashes another hash or uses another digest"),
        ("$2$", "bcrypt of its first version"),
        ("$2x$", "bcrypt of a faulty version of PHP ($2x$)"),
        ("$H\\", "bcrypt of phpBB's older hash"),
        ("$CP$", "a hash that phpBB took over from another board"),
        ("$firescrypt$", FIREBASE),
        ("$fbscrypt$", FIREBASE),
        ("$7$", "scrypt of Unix ($7$)"),
        ("$gy$", "GOST-yescrypt"),
        ("$sm3$", "SM3-crypt"),
        ("$p5k2$", "PBKDF2 of Passlib's older forms ($p5k2$)"),
        ("$bcrypt$", "bcrypt as a PHC string"),
        ("$argon2ds", "argon2ds"),
        ("b'", PYTHON),
        ("b\"", PYTHON),
        ("\\x", "bytes in hexadecimal, as PostgreSQL prints them; export the column as text"),
        ("\\$", "a text with backslashes that another program added; remove them"),
        ("\"$", "a text in quotes; remove them"),
    ] {
        if text.starts_with(prefix) {
            return Some(name);
        }
    }
    let des = (text.len() == 13 && is_crypt(text)) || (text.len() == 20 && text.starts_with('_'));
    des.then_some("DES-crypt, which does not protect a password")
}

/// Name of a hash behind a scheme in braces.
pub(crate) fn scheme(scheme: &str) -> Option<&'static str> {
    match scheme.to_ascii_uppercase().as_str() {
        "NOOP" | "CLEAR" | "CLEARTEXT" | "PLAIN" => Some(CLEAR),
        "LDAP" | "MD4" | "MD5" | "SMD5" | "SHA" | "SSHA" | "SHA-1" | "SHA-256" | "SHA1" | "SHA224"
        | "SHA256" | "SHA384" | "SHA512" | "SSHA224" | "SSHA256" | "SSHA384" | "SSHA512" | "NTHASH"
        | "LANMAN" | "PLAIN-MD5" | "LDAP-MD5" | "HMAC-MD5" | "CRAM-MD5" | "DIGEST-MD5" => Some(FAST),
        "MD5-CRYPT" => Some(MD5_CRYPT),
        "DES-CRYPT" => Some("DES-crypt, which does not protect a password"),
        "SASL" | "KERBEROS" => Some("no hash: another service checks the password"),
        other if other.starts_with("FSHP") => Some("FSHP"),
        _ => None,
    }
}
