//! Hashes that a system spreads over several members: Auth0, Clerk, Firebase, FusionAuth, Keycloak and Kratos.

use super::record::Row;
use super::spelling::{self, Spelled, bytes, encode, from_text, hexadecimal, pbkdf2, scrypt};
use daypass_passwords::Typed;
use serde_json::Value;

/// A JSON object with a hash.
pub(crate) type Object = Row;

const NONE: &str = "the user has no password";

fn member<'a>(object: &'a Object, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| format!("the hash has no string `{name}`"))
}

/// A number, or a string of digits.
pub(crate) fn number(object: &Object, name: &str) -> Option<u64> {
    object.get(name).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

fn nested<'a>(object: &'a Object, name: &str) -> Option<&'a Object> {
    object.get(name).and_then(Value::as_object)
}

/// Auth0's `custom_password_hash`.
pub(crate) fn auth0(object: &Object) -> Result<Spelled, String> {
    let hash = nested(object, "hash").ok_or("custom_password_hash has no `hash`")?;
    let encoding = nested(object, "password").and_then(|password| password.get("encoding"));
    let typed = match encoding.map(|encoding| encoding.as_str().unwrap_or_default()) {
        None | Some("utf8" | "utf-8") => Typed::AsIs,
        Some("utf16le" | "ucs2" | "ucs-2") => Typed::Utf16Le,
        // Node.js encodes these three alike.
        Some("ascii" | "latin1" | "binary") => Typed::Latin1,
        Some(_) => return Err("the hash has an unknown `password.encoding`".to_owned()),
    };
    let stored = match member(object, "algorithm")? {
        "bcrypt" | "argon2" | "pbkdf2" => {
            let plain = matches!(hash.get("encoding").and_then(Value::as_str), None | Some("utf8"));
            if object.contains_key("salt") || !plain {
                return Err(
                    "the hash has a `salt` or an `encoding`, which its algorithm does not have".to_owned()
                );
            }
            from_text(member(hash, "value")?)?.hash
        }
        "scrypt" => {
            let salt = nested(object, "salt").ok_or("custom_password_hash has no `salt`")?;
            let (salt, output) = (auth0_bytes(salt)?, auth0_bytes(hash)?);
            let parameter = |name, default| match object.get(name) {
                None => Ok(default),
                Some(_) => number(object, name).ok_or_else(|| format!("the hash has no number `{name}`")),
            };
            if parameter("keylen", output.len() as u64)? != output.len() as u64 {
                return Err("the hash has another length than its `keylen`".to_owned());
            }
            let (r, p) = (parameter("blockSize", 8)?, parameter("parallelization", 1)?);
            scrypt(Some(parameter("cost", 16_384)?), &r.to_string(), &p.to_string(), &salt, &output)?
        }
        other => return Err(format!("the algorithm {other:?} is unknown or does not protect a password")),
    };
    Ok(Spelled::new(typed, stored))
}

/// Decodes a value with its `encoding`.
fn auth0_bytes(object: &Object) -> Result<Vec<u8>, String> {
    let value = member(object, "value")?;
    match object.get("encoding").and_then(Value::as_str).unwrap_or("utf8") {
        "hex" => hexadecimal(value),
        "base64" => bytes(value, "a value"),
        "utf8" => Ok(value.as_bytes().to_vec()),
        _ => Err("the hash has an unknown `encoding`".to_owned()),
    }
}

/// Clerk names the form of a digest in a member of its own.
pub(crate) fn clerk(hasher: Option<&str>, digest: &str) -> Result<Spelled, String> {
    let parts: Vec<&str> = digest.split('$').collect();
    match hasher {
        // Not Django's form: the salt is in base64, too.
        Some(hasher @ ("pbkdf2_sha256" | "pbkdf2_sha512")) => match parts.as_slice() {
            [_, iterations, salt, output] => {
                let digest = hasher.trim_start_matches("pbkdf2_");
                let (salt, output) = (bytes(salt, "its salt")?, bytes(output, "its output")?);
                Ok(pbkdf2(digest, iterations, &salt, &output).into())
            }
            _ => Err("the hash is malformed: not of the form pbkdf2_sha256$iterations$salt$hash".to_owned()),
        },
        Some("pbkdf2_sha1") => match parts.as_slice() {
            [_, iterations, salt, output] => {
                Ok(pbkdf2("sha1", iterations, salt.as_bytes(), &hexadecimal(output)?).into())
            }
            _ => Err("the hash is malformed: not of the form pbkdf2_sha1$iterations$salt$hash".to_owned()),
        },
        Some(
            "argon2i"
            | "argon2id"
            | "bcrypt"
            | "bcrypt_sha256_django"
            | "pbkdf2_sha256_django"
            | "phpass"
            | "scrypt_werkzeug",
        )
        | None => {
            let spelled = from_text(digest)?;
            // Clerk compares the password as it was typed.
            Ok(Spelled::new(Typed::AsIs, spelled.hash))
        }
        Some("scrypt_firebase") => {
            Err("the hash is rejected: Firebase's scrypt with its signer key; import Firebase's own export"
                .to_owned())
        }
        Some("bcrypt_peppered") => Err(
            "the hash is rejected: bcrypt with the pepper of another system; import that system's own users"
                .to_owned(),
        ),
        Some(other) => Err(format!(
            "the hash is rejected: the hasher {other:?} is unknown or does not protect a password"
        )),
    }
}

/// FusionAuth's `encryptionScheme`, `factor`, `salt` and `password`.
pub(crate) fn fusionauth(
    scheme: &str,
    factor: Option<&str>,
    salt: &str,
    password: &str,
) -> Result<String, String> {
    let factor = factor.ok_or("the hash has no `factor`")?;
    match scheme {
        "bcrypt" => Ok(spelling::bcrypt(&format!("$2a${factor:0>2}${salt}{password}"))),
        "salted-pbkdf2-hmac-sha256" | "salted-pbkdf2-hmac-sha256-512" | "salted-pbkdf2-hmac-sha512-512" => {
            let digest = if scheme.contains("sha512") { "sha512" } else { "sha256" };
            Ok(pbkdf2(digest, factor, &bytes(salt, "its salt")?, &bytes(password, "its password")?))
        }
        other => Err(format!(
            "the hash is rejected: the encryption scheme {other:?} is unknown or does not protect a password"
        )),
    }
}

/// Kratos: `credentials.password.config.hashed_password` of an identity.
pub(crate) fn kratos(identity: &Object) -> Result<Spelled, String> {
    let password = nested(identity, "credentials").and_then(|all| nested(all, "password"));
    let hash = password.and_then(|password| nested(password, "config")?.get("hashed_password")?.as_str());
    from_text(hash.ok_or("the identity has no password, or its export has no credentials")?)
}

/// The password among a user's credentials of Keycloak: two JSON documents in strings, or members of the credential itself
/// before Keycloak 8.
pub(crate) fn keycloak(credentials: &[Value]) -> Result<Spelled, String> {
    let password = credentials
        .iter()
        .find(|credential| credential.get("type").and_then(Value::as_str) == Some("password"));
    let Some(password) = password.and_then(Value::as_object) else { return Err(NONE.to_owned()) };
    if password.contains_key("value") {
        return Err("the credential is a password in clear: export the users from Keycloak".to_owned());
    }
    if password.contains_key("hashedSaltedValue") {
        let salt = bytes(member(password, "salt")?, "its salt")?;
        return keycloak_hash(member(password, "hashedSaltedValue")?, &salt, password);
    }
    let (secret, data) = (document(password, "secretData")?, document(password, "credentialData")?);
    let salt = match secret.get("salt") {
        // A provider whose hash contains its salt.
        None | Some(Value::Null) => Vec::new(),
        Some(_) => bytes(member(&secret, "salt")?, "its salt")?,
    };
    keycloak_hash(member(&secret, "value")?, &salt, &data)
}

/// A JSON document in a string of a credential.
pub(crate) fn document(credential: &Object, name: &str) -> Result<Object, String> {
    let text = credential
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("the credential has no `{name}`"))?;
    daypass_verifier::base::json::object(text.as_bytes())
        .map_err(|_| format!("`{name}` of the credential is not a JSON object"))
}

fn keycloak_hash(value: &str, salt: &[u8], data: &Object) -> Result<Spelled, String> {
    // Without a name, it was the first algorithm that Keycloak had.
    let algorithm = match data.get("algorithm") {
        None | Some(Value::Null) => "pbkdf2",
        Some(_) => member(data, "algorithm")?,
    };
    // Providers of others keep a whole hash in the value.
    if value.starts_with('$') {
        return from_text(value);
    }
    let output = bytes(value, "its value")?;
    let iterations = number(data, "hashIterations").map(|number| number.to_string());
    let iterations =
        iterations.ok_or("the credential has no `hashIterations`, and their default depends on the realm")?;
    let stored = match algorithm {
        "pbkdf2" | "pbkdf2-sha1" => pbkdf2("sha1", &iterations, salt, &output),
        "pbkdf2-sha256" => pbkdf2("sha256", &iterations, salt, &output),
        "pbkdf2-sha512" => pbkdf2("sha512", &iterations, salt, &output),
        "argon2" => {
            let more = nested(data, "additionalParameters");
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
            format!(
                "$argon2{kind}${version}m={memory},t={iterations},p={lanes}${}${}",
                encode(salt),
                encode(&output)
            )
        }
        other => return Err(format!("the algorithm {other:?} of Keycloak is unknown")),
    };
    Ok(stored.into())
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
    pub(crate) fn stored(&self, hash: &str, salt: Option<&str>) -> Result<String, String> {
        let output = bytes(hash, "the passwordHash")?;
        let mut salt = bytes(salt.unwrap_or_default(), "the salt")?;
        // Without the permission firebaseauth.configs.getHashConfig.
        if output == b"REDACTED" || salt == b"REDACTED" {
            return Err(
                "the export hides the hashes: the account that makes it needs the role Firebase Authentication Admin"
                    .to_owned(),
            );
        }
        if salt.is_empty() {
            return Err("the user has no `salt`: the hash is not of this project's scrypt".to_owned());
        }
        salt.extend_from_slice(&self.salt_separator);
        let Self { signer, rounds, mem_cost, .. } = self;
        Ok(format!(
            "$firebase-scrypt$ln={mem_cost},r={rounds},k={signer}${}${}",
            encode(&salt),
            encode(&output)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::spelling::check;

    fn object(json: &str) -> Object {
        daypass_verifier::base::json::object(json.as_bytes()).unwrap()
    }

    #[test]
    fn auth0_says_how_each_value_is_written() {
        // RFC 7914 §12, the third. The documented defaults of a missing parameter are its parameters.
        for parameters in ["", r#","keylen":32,"cost":16384,"blockSize":8,"parallelization":1"#] {
            let scrypt = object(&format!(
                r#"{{"algorithm":"scrypt","hash":{{"value":"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2","encoding":"hex"}},
                    "salt":{{"value":"SodiumChloride","encoding":"utf8"}}{parameters}}}"#
            ));
            assert_eq!(
                auth0(&scrypt).unwrap().hash,
                "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI"
            );
        }
        let bcrypt = |password: &str| {
            object(&format!(
                r#"{{"algorithm":"bcrypt",{password}"hash":{{"value":"$2b$12$2Yur4W1PODiN1bsIh74tYeyH8JTBjTghJRv3L69C/jAswcGD9sE/a"}}}}"#
            ))
        };
        for (encoding, typed) in [
            ("utf8", Typed::AsIs),
            ("utf16le", Typed::Utf16Le),
            ("ucs2", Typed::Utf16Le),
            ("latin1", Typed::Latin1),
            ("binary", Typed::Latin1),
            ("ascii", Typed::Latin1),
        ] {
            let spelled = auth0(&bcrypt(&format!(r#""password":{{"encoding":"{encoding}"}},"#))).unwrap();
            assert_eq!(spelled.typed, typed, "{encoding}");
            assert!(check(&spelled.hash).is_ok());
        }
        for bad in [
            r#"{"algorithm":"md5","hash":{"value":"x"}}"#,
            r#"{"algorithm":"scrypt","hash":{"value":"x"}}"#,
            r#"{"algorithm":"scrypt","hash":{"value":"x","encoding":"hex"},"salt":{"value":"a"},"cost":16384,"blockSize":8,"parallelization":1}"#,
            r#"{"algorithm":"scrypt","hash":{"value":"abcd","encoding":"hex"},"salt":{"value":"a"},"keylen":32}"#,
            r#"{"algorithm":"pbkdf2","hash":{"value":"$pbkdf2-sha256$i=1$YQ$YQ"},"salt":{"value":"a"}}"#,
            r#"{"algorithm":"bcrypt","password":{"encoding":"ebcdic"},"hash":{"value":"x"}}"#,
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
        let stored =
            |secret: &str, data: &str| keycloak(&credential(secret, data)).map(|spelled| spelled.hash);
        assert_eq!(
            stored(
                r#"{"salt":"x/bm4Y3DcuV9eU97ervkPA==","value":"1u7BLvfSPxQFpwc5jpGSA+88EGl9pZYKhaZ8YPIu9N4="}"#,
                r#"{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}"#,
            )
            .as_deref(),
            Ok("$pbkdf2-sha256$i=27500$x/bm4Y3DcuV9eU97ervkPA$1u7BLvfSPxQFpwc5jpGSA+88EGl9pZYKhaZ8YPIu9N4")
        );
        assert_eq!(
            stored(
                r#"{"salt":"c29tZXNhbHQ=","value":"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4="}"#,
                r#"{"hashIterations":2,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["256"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}"#,
            )
            .as_deref(),
            Ok("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
        );
        // The provider keycloak-bcrypt.
        assert_eq!(
            stored(
                r#"{"value":"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW","salt":""}"#,
                r#"{"hashIterations":5,"algorithm":"bcrypt"}"#
            )
            .as_deref(),
            Ok("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
        );
        assert!(keycloak(&[]).is_err());
        let clear = serde_json::json!({ "type": "password", "value": "secret", "temporary": false });
        assert!(keycloak(&[clear]).unwrap_err().contains("in clear"));
        for (secret, data) in [
            ("{}", r#"{"hashIterations":1,"algorithm":"pbkdf2-sha256"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"algorithm":"pbkdf2-sha256"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"hashIterations":-1,"algorithm":"pbkdf2-sha256"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"md5"}"#),
            (r#"{"salt":"AA==","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"argon2"}"#),
            (r#"{"salt":"?","value":"AA=="}"#, r#"{"hashIterations":1,"algorithm":"pbkdf2-sha256"}"#),
            ("no JSON", "{}"),
        ] {
            assert!(stored(secret, data).is_err(), "{secret} {data}");
        }
    }

    #[test]
    fn clerk_names_forms_that_look_alike() {
        // One text, and two hashes: Clerk's own form has its salt in base64, Django's has it as text.
        let digest = "pbkdf2_sha256$1000$c2Vhc2FsdA==$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c=";
        let hash = |hasher| clerk(Some(hasher), digest).unwrap().hash;
        assert!(hash("pbkdf2_sha256").starts_with("$pbkdf2-sha256$i=1000$c2Vhc2FsdA$"));
        assert!(hash("pbkdf2_sha256_django").starts_with("$pbkdf2-sha256$i=1000$YzJWaGMyRnNkQT09$"));
        for rejected in ["md5", "sha256_salted", "bcrypt_peppered", "scrypt_firebase", "awscognito"] {
            assert!(
                clerk(Some(rejected), digest).unwrap_err().contains("the hash is rejected"),
                "{rejected}"
            );
        }
    }

    #[test]
    fn fusionauth_keeps_salt_and_hash_apart() {
        let stored =
            fusionauth("bcrypt", Some("5"), "CCCCCCCCCCCCCCCCCCCCC.", "E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        assert!(check(&stored.unwrap()).is_ok());
        let stored = fusionauth(
            "salted-pbkdf2-hmac-sha256",
            Some("24000"),
            "c2Vhc2FsdA==",
            "8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c=",
        );
        assert_eq!(
            stored.as_deref(),
            Ok("$pbkdf2-sha256$i=24000$c2Vhc2FsdA$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c")
        );
        assert!(fusionauth("salted-md5", Some("1"), "a", "b").unwrap_err().contains("salted-md5"));
        assert!(fusionauth("bcrypt", None, "a", "b").is_err());
    }

    #[test]
    fn firebase_tells_hidden_hashes() {
        let firebase =
            Firebase { signer: "00000000".to_owned(), salt_separator: vec![7], rounds: 8, mem_cost: 14 };
        for salt in [None, Some(""), Some("UkVEQUNURUQ="), Some("42xEC+ixf3L2lw==")] {
            let error = firebase.stored("UkVEQUNURUQ=", salt).unwrap_err();
            assert!(error.contains("hides the hashes"), "{error}");
        }
        assert!(firebase.stored("lSrfV15cpx95", None).unwrap_err().contains("no `salt`"));
    }
}
