//! Hash forms of other systems, converted into the stored form (`daypass_passwords::StoredHash`).

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use daypass_passwords::StoredHash;
use serde_json::{Map, Value};

/// A JSON object with a hash.
pub(crate) type Object = Map<String, Value>;

/// Converts a hash of one string into its stored form.
pub(crate) fn from_text(text: &str) -> Result<String, String> {
    let stored = if let Some(rest) = text.strip_prefix("argon2$argon2") {
        // Django prefixes the name of its hasher.
        format!("$argon2{rest}")
    } else if let Some(rest) = text.strip_prefix("bcrypt$$2") {
        format!("$2{rest}")
    } else if let Some(rest) = text.strip_prefix("pbkdf2_") {
        django_pbkdf2(rest)?
    } else if let Some(rest) = text.strip_prefix("scrypt$") {
        django_scrypt(rest)?
    } else if let Some(rest) = text.strip_prefix("$H$") {
        // phpBB's prefix of the same hash.
        format!("$P${rest}")
    } else if text.starts_with("$pbkdf2-") {
        phc_pbkdf2(text)
    } else if text.is_empty() || text.starts_with('!') || text == "*" {
        return Err("the user has no password".to_owned());
    } else {
        text.to_owned()
    };
    Ok(stored)
}

/// `sha256$390000$salt$output`, with the output in base64.
fn django_pbkdf2(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [digest @ ("sha1" | "sha256"), iterations, salt, output] = parts.as_slice() else {
        return Err("the hash is malformed: not of the form pbkdf2_sha256$iterations$salt$hash".to_owned());
    };
    Ok(format!(
        "$pbkdf2-{digest}$i={iterations}${}${}",
        encode(salt.as_bytes()),
        output.trim_end_matches('=')
    ))
}

/// `16384$salt$8$1$output`.
fn django_scrypt(rest: &str) -> Result<String, String> {
    let parts: Vec<&str> = rest.split('$').collect();
    let [n, salt, r, p, output] = parts.as_slice() else {
        return Err("the hash is malformed: not of the form scrypt$N$salt$r$p$hash".to_owned());
    };
    scrypt(n.parse().ok(), r, p, salt.as_bytes(), output.trim_end_matches('='))
}

fn scrypt(n: Option<u64>, r: &str, p: &str, salt: &[u8], output: &str) -> Result<String, String> {
    let log_n = n.filter(|n| n.is_power_of_two()).map(u64::trailing_zeros);
    let log_n = log_n.ok_or("the hash is malformed: scrypt's N is not a power of two")?;
    Ok(format!("$scrypt$ln={log_n},r={r},p={p}${}${output}", encode(salt)))
}

/// A PHC string without padding and without `l=`, which repeats the length of the output.
fn phc_pbkdf2(text: &str) -> String {
    let mut parts: Vec<String> = text.split('$').map(|part| part.trim_end_matches('=').to_owned()).collect();
    if let Some(parameters) = parts.get_mut(2) {
        let kept: Vec<&str> = parameters.split(',').filter(|part| !part.starts_with("l=")).collect();
        *parameters = kept.join(",");
    }
    parts.join("$")
}

fn encode(bytes: &[u8]) -> String {
    BASE64_NOPAD.encode(bytes)
}

fn member<'a>(object: &'a Object, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| format!("the hash has no string `{name}`"))
}

/// Decodes base64 or base64url, with or without padding.
fn bytes(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let plain: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    BASE64_NOPAD.decode(plain.as_bytes()).map_err(|_| format!("the hash is malformed: {what} is not base64"))
}

fn number(object: &Object, name: &str) -> Option<u64> {
    object.get(name).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

pub(crate) fn auth0(object: &Object) -> Result<String, String> {
    let hash = object.get("hash").and_then(Value::as_object).ok_or("custom_password_hash has no `hash`")?;
    let value = member(hash, "value")?;
    match member(object, "algorithm")? {
        "bcrypt" | "argon2" | "pbkdf2" => from_text(value),
        "scrypt" => {
            let salt =
                object.get("salt").and_then(Value::as_object).ok_or("custom_password_hash has no `salt`")?;
            let salt = auth0_bytes(salt)?;
            let output = encode(&auth0_bytes(hash)?);
            let text =
                |name: &str| number(object, name).map_or_else(String::new, |number| number.to_string());
            scrypt(number(object, "cost"), &text("blockSize"), &text("parallelization"), &salt, &output)
        }
        other => Err(format!("the algorithm {other:?} is unknown or not a password hash")),
    }
}

/// Decodes a value with its `encoding`.
fn auth0_bytes(object: &Object) -> Result<Vec<u8>, String> {
    let value = member(object, "value")?;
    let malformed = |_| "the hash is malformed: not of its `encoding`".to_owned();
    match object.get("encoding").and_then(Value::as_str).unwrap_or("utf8") {
        "hex" => HEXLOWER_PERMISSIVE.decode(value.as_bytes()).map_err(malformed),
        "base64" => BASE64
            .decode(value.as_bytes())
            .or_else(|_| BASE64_NOPAD.decode(value.as_bytes()))
            .map_err(malformed),
        "utf8" => Ok(value.as_bytes().to_vec()),
        _ => Err("the hash has an unknown `encoding`".to_owned()),
    }
}

/// The password among a user's credentials of Keycloak: two JSON documents in strings.
pub(crate) fn keycloak(credentials: &[Value]) -> Result<String, String> {
    let password = credentials
        .iter()
        .find(|credential| credential.get("type").and_then(Value::as_str) == Some("password"));
    let Some(password) = password else { return Err("the user has no password".to_owned()) };
    let document = |name: &str| -> Result<Object, String> {
        let text = password
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("the credential has no `{name}`"))?;
        daypass_verifier::base::json::object(text.as_bytes())
            .map_err(|_| format!("`{name}` of the credential is not a JSON object"))
    };
    let (secret, data) = (document("secretData")?, document("credentialData")?);
    let (salt, value) =
        (member(&secret, "salt").and_then(|salt| bytes(salt, "the salt"))?, member(&secret, "value")?);
    let value = encode(&bytes(value, "the value")?);
    let iterations = number(&data, "hashIterations").ok_or("the credential has no `hashIterations`")?;
    match member(&data, "algorithm")? {
        "pbkdf2" | "pbkdf2-sha1" => Ok(format!("$pbkdf2-sha1$i={iterations}${}${value}", encode(&salt))),
        digest @ ("pbkdf2-sha256" | "pbkdf2-sha512") => {
            Ok(format!("${digest}$i={iterations}${}${value}", encode(&salt)))
        }
        "argon2" => {
            let more = data.get("additionalParameters").and_then(Value::as_object);
            // Each of them is a list with one string.
            let parameter = |name: &str| {
                let values = more.and_then(|more| more.get(name)).and_then(Value::as_array);
                values
                    .and_then(|values| values.first()?.as_str())
                    .map_or_else(|| Err(format!("argon2 without `{name}`")), Ok)
            };
            let kind = parameter("type")?;
            let version = match parameter("version")? {
                "1.3" | "13" => "v=19$",
                "1.0" | "10" => "",
                _ => return Err("the hash is malformed: unknown version of argon2".to_owned()),
            };
            let (memory, lanes) = (parameter("memory")?, parameter("parallelism")?);
            Ok(format!(
                "$argon2{kind}${version}m={memory},t={iterations},p={lanes}${}${value}",
                encode(&salt)
            ))
        }
        other => Err(format!("the algorithm {other:?} of Keycloak is unknown")),
    }
}

/// Firebase's "password hash parameters", with the pepper id of the signer key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firebase {
    pub(crate) signer: String,
    pub(crate) salt_separator: Vec<u8>,
    pub(crate) rounds: u32,
    pub(crate) mem_cost: u32,
}

impl Firebase {
    /// Converts a `passwordHash` and its `salt` into the stored form.
    pub(crate) fn stored(&self, hash: &str, salt: &str) -> Result<String, String> {
        let mut salt = bytes(salt, "the salt")?;
        salt.extend_from_slice(&self.salt_separator);
        let output = encode(&bytes(hash, "the passwordHash")?);
        let Self { signer, rounds, mem_cost, .. } = self;
        Ok(format!("$firebase-scrypt$ln={mem_cost},r={rounds},k={signer}${}${output}", encode(&salt)))
    }
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
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        daypass_verifier::base::json::object(json.as_bytes()).unwrap()
    }

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
            ("$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
            (
                "$pbkdf2-sha512$i=100000,l=64$HqJwOCHweNk1pLryiu3RsA$KVSvxKYcibIG5S5n55RvxKRTdAAfCUtBJoy5IuFzdSZyzkwvUcU+FPawEWFPn+06JyZsndfRTfpiEh+2eSJLkg==",
                "$pbkdf2-sha512$i=100000$HqJwOCHweNk1pLryiu3RsA$KVSvxKYcibIG5S5n55RvxKRTdAAfCUtBJoy5IuFzdSZyzkwvUcU+FPawEWFPn+06JyZsndfRTfpiEh+2eSJLkg",
            ),
        ] {
            assert_eq!(from_text(spelling).as_deref(), Ok(stored));
            // The stored form is accepted unchanged.
            assert_eq!(from_text(stored).as_deref(), Ok(stored));
            assert!(check(stored).is_ok(), "{stored}");
        }
    }

    #[test]
    fn no_password_and_no_hash_are_refused() {
        for none in ["", "!", "!Zf0mFkq", "*"] {
            assert_eq!(from_text(none), Err("the user has no password".to_owned()));
        }
        for bad in ["pbkdf2_md5$1$a$b", "pbkdf2_sha256$1$a", "scrypt$1000$a$8$1$b", "scrypt$a"] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
        for bad in
            ["plain", "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3", "5f4dcc3b5aa765d61d8327deb882cf99"]
        {
            assert!(check(&from_text(bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn auth0_says_how_each_value_is_written() {
        let scrypt = object(
            r#"{"algorithm":"scrypt","hash":{"value":"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2","encoding":"hex"},
                "salt":{"value":"SodiumChloride","encoding":"utf8"},"keylen":32,"cost":16384,"blockSize":8,"parallelization":1}"#,
        );
        let stored = auth0(&scrypt).unwrap();
        assert_eq!(
            stored,
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI"
        );
        assert!(check(&stored).is_ok());
        let bcrypt = object(
            r#"{"algorithm":"bcrypt","hash":{"value":"$2b$12$2Yur4W1PODiN1bsIh74tYeyH8JTBjTghJRv3L69C/jAswcGD9sE/a"}}"#,
        );
        assert!(check(&auth0(&bcrypt).unwrap()).is_ok());
        for bad in [
            r#"{"algorithm":"md5","hash":{"value":"x"}}"#,
            r#"{"algorithm":"scrypt","hash":{"value":"x"}}"#,
            r#"{"algorithm":"scrypt","hash":{"value":"x","encoding":"hex"},"salt":{"value":"a"},"cost":16384,"blockSize":8,"parallelization":1}"#,
            r#"{"hash":{"value":"x"}}"#,
            r#"{"algorithm":"bcrypt"}"#,
        ] {
            assert!(auth0(&object(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn keycloak_keeps_two_documents_in_one() {
        let credential = |secret: &str, data: &str| {
            vec![
                serde_json::json!({ "type": "otp" }),
                serde_json::json!({ "type": "password", "secretData": secret, "credentialData": data }),
            ]
        };
        let stored = keycloak(&credential(
            r#"{"salt":"x/bm4Y3DcuV9eU97ervkPA==","value":"1u7BLvfSPxQFpwc5jpGSA+88EGl9pZYKhaZ8YPIu9N4="}"#,
            r#"{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}"#,
        ));
        assert_eq!(
            stored.as_deref(),
            Ok("$pbkdf2-sha256$i=27500$x/bm4Y3DcuV9eU97ervkPA$1u7BLvfSPxQFpwc5jpGSA+88EGl9pZYKhaZ8YPIu9N4")
        );
        let stored = keycloak(&credential(
            r#"{"salt":"c29tZXNhbHQ=","value":"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4="}"#,
            r#"{"hashIterations":2,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["256"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}"#,
        ));
        assert_eq!(
            stored.as_deref(),
            Ok("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
        );
        assert_eq!(keycloak(&[]), Err("the user has no password".to_owned()));
        for (secret, data) in [
            ("{}", r#"{"hashIterations":1,"algorithm":"pbkdf2-sha256"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"algorithm":"pbkdf2-sha256"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"md5"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"argon2"}"#),
            (r#"{"salt":"?","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"pbkdf2-sha256"}"#),
            ("no JSON", "{}"),
        ] {
            assert!(keycloak(&credential(secret, data)).is_err(), "{secret} {data}");
        }
    }
}
