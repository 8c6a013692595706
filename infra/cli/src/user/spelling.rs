//! Hashes of other systems in one string, converted into the stored form ([`StoredHash`]).

use super::unsupported;
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use daypass_passwords::{StoredHash, Typed};

/// A hash in its stored form, and what its system did to the typed password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelled {
    pub(crate) typed: Typed,
    pub(crate) hash: String,
}

impl From<String> for Spelled {
    fn from(hash: String) -> Self {
        Self { typed: Typed::AsIs, hash }
    }
}

impl Spelled {
    pub(crate) const fn new(typed: Typed, hash: String) -> Self {
        Self { typed, hash }
    }
}

/// Error of a text that has the mark of a form, but not the form.
fn malformed<T>(form: &str) -> Result<T, String> {
    Err(format!("the hash is malformed: not of the form {form}"))
}

/// Converts a hash of one string.
///
/// # Errors
/// The user has no password, or the hash is malformed or of a kind that Daypass does not check. The text does not quote it.
pub(crate) fn from_text(text: &str) -> Result<Spelled, String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Err("the user has no password, or it is locked".to_owned());
    }
    if let Some((scheme, rest)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return braced(scheme, rest);
    }
    // Nextcloud numbers its algorithms.
    if let Some(("1" | "2" | "3", rest)) = text.split_once('|') {
        return from_text(rest);
    }
    if let Some(rest) = text.strip_prefix("typed=") {
        let (name, rest) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
        let typed = Typed::named(name).ok_or("the hash is malformed: there is no such `typed=`")?;
        return Ok(Spelled::new(typed, from_text(rest)?.hash));
    }
    // Drupal updated hashes of an earlier version: the hash of an MD5.
    if let Some(rest) = text.strip_prefix('U').filter(|rest| rest.starts_with('$')) {
        return Ok(Spelled::new(Typed::Md5, from_text(rest)?.hash));
    }
    if let Some(rest) = text.strip_prefix("$H$") {
        // phpBB's mark.
        return Ok(Spelled::new(Typed::Html, format!("$P${rest}")));
    }
    if let Some(rest) = text.strip_prefix("$wp") {
        return Ok(Spelled::new(Typed::Slashed, format!("$wp{}", bcrypt(rest))));
    }
    one_of_many(text).map(Spelled::from)
}

fn one_of_many(text: &str) -> Result<String, String> {
    // Django prefixes the names of its hashers.
    if let Some(rest) = text.strip_prefix("argon2$argon2") {
        return Ok(argon2(&format!("$argon2{rest}")));
    }
    if let Some(rest) = text.strip_prefix("bcrypt$$2") {
        return Ok(bcrypt(&format!("$2{rest}")));
    }
    if let Some(rest) = text.strip_prefix("bcrypt_sha256$") {
        return Ok(format!("bcrypt_sha256${}", bcrypt(rest)));
    }
    if let Some(rest) = text.strip_prefix("pbkdf2_sha") {
        return django_pbkdf2(&format!("sha{rest}"));
    }
    if let Some(rest) = text.strip_prefix("scrypt$") {
        return django_scrypt(rest);
    }
    if let Some(rest) = text.strip_prefix("pbkdf2:") {
        return werkzeug_pbkdf2(rest);
    }
    if let Some(rest) = text.strip_prefix("scrypt:") {
        return werkzeug_scrypt(rest);
    }
    if let Some(rest) = text.strip_prefix("grub.pbkdf2.sha512.") {
        return grub(rest);
    }
    if let Some(rest) = text.strip_prefix("$pbkdf2") {
        return phc_pbkdf2(rest);
    }
    if let Some(rest) = text.strip_prefix("$scrypt$") {
        return phc_scrypt(rest);
    }
    if text.starts_with("$argon2") {
        return Ok(argon2(text));
    }
    // Kratos names SHA-crypt in its own way.
    for (theirs, ours) in [("$sha256-crypt$", "$5$"), ("$sha512-crypt$", "$6$")] {
        if let Some(rest) = text.strip_prefix(theirs) {
            return Ok(format!("{ours}{rest}"));
        }
    }
    if let Some(stored) = spring_scrypt(text).or_else(|| aspnet(text)) {
        return Ok(stored);
    }
    if let Some(name) = unsupported::named(text) {
        return Err(format!("the hash is rejected: {name}"));
    }
    Ok(bcrypt(text))
}

/// A hash behind the name of its scheme: Spring Security, LDAP and Dovecot.
fn braced(scheme: &str, rest: &str) -> Result<Spelled, String> {
    let unknown = || match unsupported::scheme(scheme) {
        Some(name) => format!("the hash is rejected: {name}"),
        None => "the hash is of no known form: the scheme in its braces is unknown".to_owned(),
    };
    let stored = match scheme {
        // Spring's identifiers are case-sensitive.
        "pbkdf2" => spring_pbkdf2(rest, "sha1", 185_000, 8)?,
        "pbkdf2@SpringSecurity_v5_8" => spring_pbkdf2(rest, "sha256", 310_000, 16)?,
        "scrypt" | "scrypt@SpringSecurity_v5_8" => {
            spring_scrypt(rest).map_or_else(|| malformed("{scrypt}$e0801$salt$hash"), Ok)?
        }
        "argon2@SpringSecurity_v5_8" => argon2(rest),
        _ => match scheme.to_ascii_uppercase().as_str() {
            "BCRYPT" | "CRYPT" | "ARGON2" | "ARGON2I" | "ARGON2ID" | "BLF-CRYPT" | "SHA256-CRYPT"
            | "SHA512-CRYPT" | "X-PHPASS" => return from_text(rest),
            "PBKDF2" | "PBKDF2-SHA1" => adapted("sha1", rest)?,
            "PBKDF2-SHA256" => adapted("sha256", rest)?,
            "PBKDF2-SHA512" => adapted("sha512", rest)?,
            "PBKDF2_SHA256" => directory_server(rest)?,
            "PKCS5S2" => atlassian(rest)?,
            _ => return Err(unknown()),
        },
    };
    Ok(stored.into())
}

/// bcrypt without the unused bits of its base64, which some implementations set at random, and none reads.
pub(crate) fn bcrypt(text: &str) -> String {
    const ALPHABET: &str = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let cleared =
        |c: char, mask: usize| ALPHABET.find(c).and_then(|at| ALPHABET.chars().nth(at & mask)).unwrap_or(c);
    if !text.starts_with("$2") || text.len() != 60 {
        return text.to_owned();
    }
    let place = |(at, c)| match at {
        28 => cleared(c, 0x30),
        59 => cleared(c, 0x3c),
        _ => c,
    };
    text.chars().enumerate().map(place).collect()
}

/// A PHC string, without padding of its base64.
fn argon2(text: &str) -> String {
    text.split('$').map(|part| part.trim_end_matches('=')).collect::<Vec<_>>().join("$")
}

pub(crate) fn pbkdf2(digest: &str, iterations: &str, salt: &[u8], output: &[u8]) -> String {
    format!("$pbkdf2-{digest}$i={iterations}${}${}", encode(salt), encode(output))
}

/// `sha256$390000$salt$output`, with the output in base64.
fn django_pbkdf2(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [digest @ ("sha1" | "sha256"), iterations, salt, output] = parts.as_slice() else {
        return malformed("pbkdf2_sha256$iterations$salt$hash");
    };
    Ok(pbkdf2(digest, iterations, salt.as_bytes(), &bytes(output, "its output")?))
}

/// `16384$salt$8$1$output`.
fn django_scrypt(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [n, salt, r, p, output] = parts.as_slice() else {
        return malformed("scrypt$N$salt$r$p$hash");
    };
    scrypt(n.parse().ok(), r, p, salt.as_bytes(), &bytes(output, "its output")?)
}

/// `sha256:600000$salt$output`, with the output in hexadecimal digits.
fn werkzeug_pbkdf2(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [method, salt, output] = parts.as_slice() else {
        return malformed("pbkdf2:sha256:iterations$salt$hash");
    };
    match method.split_once(':') {
        Some((digest @ ("sha1" | "sha256" | "sha384" | "sha512"), iterations)) => {
            Ok(pbkdf2(digest, iterations, salt.as_bytes(), &hexadecimal(output)?))
        }
        Some((digest @ ("md5" | "sha224"), _)) => Err(format!("the hash is rejected: PBKDF2 with {digest}")),
        _ => {
            Err("the hash does not name its iterations, and their default depends on the version of Werkzeug"
                .to_owned())
        }
    }
}

/// `32768:8:1$salt$output`, with the output in hexadecimal digits.
fn werkzeug_scrypt(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split(['$', ':']).collect();
    let [n, r, p, salt, output] = parts.as_slice() else {
        return malformed("scrypt:N:r:p$salt$hash");
    };
    scrypt(n.parse().ok(), r, p, salt.as_bytes(), &hexadecimal(output)?)
}

/// `10000.salt.output`, both in hexadecimal digits.
fn grub(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('.').collect();
    let [iterations, salt, output] = parts.as_slice() else {
        return malformed("grub.pbkdf2.sha512.iterations.salt.hash");
    };
    Ok(pbkdf2("sha512", iterations, &hexadecimal(salt)?, &hexadecimal(output)?))
}

/// `-sha256$i=…[,l=…]$salt$output` (PHC), or `-sha256$29000$salt$output` (Passlib). Without a digest, SHA-1 (Passlib).
fn phc_pbkdf2(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [digest, parameters, salt, output] = parts.as_slice() else {
        return malformed("$pbkdf2-sha256$i=iterations$salt$hash");
    };
    let digest =
        match digest.strip_prefix('-') {
            None if digest.is_empty() => "sha1",
            Some(digest @ ("sha1" | "sha256" | "sha384" | "sha512")) => digest,
            _ => return Err(
                "the hash is rejected: PBKDF2 with another digest than SHA-1, SHA-256, SHA-384 and SHA-512"
                    .to_owned(),
            ),
        };
    let mut iterations = None;
    let output = bytes(output, "its output")?;
    for parameter in parameters.split(',') {
        match parameter.split_once('=') {
            None => iterations = Some(parameter),
            Some(("i", number)) => iterations = Some(number),
            // The length of the output, in bytes.
            Some(("l", length)) if length == output.len().to_string() => {}
            Some(_) => return malformed("$pbkdf2-sha256$i=iterations$salt$hash"),
        }
    }
    let Some(iterations) = iterations else { return malformed("$pbkdf2-sha256$i=iterations$salt$hash") };
    Ok(pbkdf2(digest, iterations, &bytes(salt, "its salt")?, &output))
}

/// `ln=14,r=8,p=1$salt$output`. Kratos writes N itself as `ln`, and others as `n`.
fn phc_scrypt(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let parameters = parts.first().map(|first| first.split(',').collect::<Vec<_>>()).unwrap_or_default();
    let ([_, salt, output], [cost, r, p]) = (parts.as_slice(), parameters.as_slice()) else {
        return malformed("$scrypt$ln=…,r=…,p=…$salt$hash");
    };
    let (Some((name, cost)), Some(r), Some(p)) =
        (cost.split_once('='), r.strip_prefix("r="), p.strip_prefix("p="))
    else {
        return malformed("$scrypt$ln=…,r=…,p=…$salt$hash");
    };
    let cost: Option<u64> = cost.parse().ok();
    let n = match (name, cost) {
        ("ln", Some(log_n)) if log_n < 64 => 1_u64.checked_shl(u32::try_from(log_n).unwrap_or(64)),
        ("ln" | "n" | "N", n) => n,
        _ => None,
    };
    scrypt(n, r, p, &bytes(salt, "its salt")?, &bytes(output, "its output")?)
}

/// The stored form of scrypt. `n` is its cost N, not its logarithm.
pub(crate) fn scrypt(n: Option<u64>, r: &str, p: &str, salt: &[u8], output: &[u8]) -> Result<String, String> {
    let log_n = n.filter(|n| n.is_power_of_two()).map(u64::trailing_zeros);
    let log_n = log_n.ok_or("the hash is malformed: scrypt's N is not a power of two")?;
    Ok(format!("$scrypt$ln={log_n},r={r},p={p}${}${}", encode(salt), encode(output)))
}

/// Spring's `$e0801$salt$output`: the hexadecimal digits are log N, r and p.
fn spring_scrypt(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('$').collect();
    let ["", parameters, salt, output] = parts.as_slice() else { return None };
    let number = u32::from_str_radix(parameters, 16).ok().filter(|_| parameters.len() >= 5)?;
    let [_, log_n, r, p] = number.to_be_bytes();
    let (salt, output) = (bytes(salt, "").ok()?, bytes(output, "").ok()?);
    scrypt(1_u64.checked_shl(log_n.into()), &r.to_string(), &p.to_string(), &salt, &output).ok()
}

/// Spring's PBKDF2 with default parameters: salt and output together, in hexadecimal digits or base64.
fn spring_pbkdf2(text: &str, digest: &str, iterations: u32, salt: usize) -> Result<String, String> {
    let all = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).or_else(|_| BASE64.decode(text.as_bytes()));
    match all.ok().as_deref().and_then(|all| all.split_at_checked(salt)) {
        Some((salt, output)) if output.len() == 32 => {
            Ok(pbkdf2(digest, &iterations.to_string(), salt, output))
        }
        _ => Err("the hash has another length than that of Spring Security's default parameters, and does not name its own".to_owned()),
    }
}

/// LDAP's `10000$salt$output`.
fn adapted(digest: &str, rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [iterations, salt, output] = parts.as_slice() else {
        return malformed("{PBKDF2-SHA256}iterations$salt$hash");
    };
    Ok(pbkdf2(digest, iterations, &bytes(salt, "its salt")?, &bytes(output, "its output")?))
}

/// 389 Directory Server: iterations in four bytes, 64 bytes of salt and 256 bytes of output. The first block is kept.
fn directory_server(rest: &str) -> Result<String, String> {
    let all = bytes(rest, "it")?;
    match (all.first_chunk::<4>(), all.get(4..68), all.get(68..132)) {
        (Some(iterations), Some(salt), Some(output)) if all.len() == 324 => {
            Ok(pbkdf2("sha256", &u32::from_be_bytes(*iterations).to_string(), salt, output))
        }
        _ => malformed("{PBKDF2_SHA256} and 324 bytes in base64"),
    }
}

/// Atlassian: 16 bytes of salt and 32 bytes of output, after 10,000 iterations.
fn atlassian(rest: &str) -> Result<String, String> {
    let all = bytes(rest, "it")?;
    match all.split_at_checked(16) {
        Some((salt, output)) if output.len() == 32 => Ok(pbkdf2("sha1", "10000", salt, output)),
        _ => malformed("{PKCS5S2} and 48 bytes in base64"),
    }
}

/// ASP.NET Identity: base64 of a version, its parameters, salt and output.
fn aspnet(text: &str) -> Option<String> {
    let all = BASE64.decode(text.as_bytes()).ok()?;
    let (version, rest) = all.split_first()?;
    if *version == 0 && rest.len() == 48 {
        let (salt, output) = rest.split_at(16);
        return Some(pbkdf2("sha1", "1000", salt, output));
    }
    let number = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let (digest, iterations, length) = (number(0)?, number(4)?, usize::try_from(number(8)?).ok()?);
    let digest = *["sha1", "sha256", "sha512"].get(usize::try_from(digest).ok()?)?;
    let (salt, output) = rest.get(12..)?.split_at_checked(length)?;
    (*version == 1 && salt.len() >= 16 && output.len() >= 16)
        .then(|| pbkdf2(digest, &iterations.to_string(), salt, output))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_NOPAD.encode(bytes)
}

pub(crate) fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| "the hash is malformed: its output is not hexadecimal".to_owned())
}

/// Decodes base64, base64url or Passlib's base64, with or without padding.
pub(crate) fn bytes(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let plain: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' | '.' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    BASE64_NOPAD.decode(plain.as_bytes()).map_err(|_| format!("the hash is malformed: {what} is not base64"))
}

/// Decodes a base64 option.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    bytes(text, "it").map_err(|_| "not base64".to_owned())
}

/// Parses a stored form. A user with another hash could not log in.
pub(crate) fn check(stored: &str) -> Result<StoredHash, String> {
    StoredHash::parse(stored).map_err(|refused| refused.to_string())
}

#[cfg(test)]
mod tests;
