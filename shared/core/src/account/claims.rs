//! Claims: what operators state about a user, such as the tenant or the role. Access tokens carry them.

use daypass_verifier::base::json;
use serde_json::{Map, Value};
use std::fmt;

/// The claims of a user: a JSON object whose members become top-level members of the access token.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The compact form. A condition compares it with the stored one, so it is kept: a decimal number that was read can be
    /// written with other digits.
    text: String,
    members: Map<String, Value>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { text: "{}".to_owned(), members: Map::new() }
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Claims {}

impl serde::Serialize for Claims {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members.serialize(serializer)
    }
}

/// Why a text is not a set of claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Other JSON, a duplicate member or no JSON.
    #[error("claims are one JSON object whose members have different names, such as {{\"tenant\":\"acme\"}}")]
    NotAnObject,
    /// The name of a member has other characters, or too many.
    #[error("the claim {0:?} is not named by 1 to {max} characters of A-Z a-z 0-9 _ : . -", max = Claims::MAX_NAME_BYTES)]
    Name(String),
    /// Daypass sets this member of the token itself, or may set it later.
    #[error("the name {0:?} is reserved for Daypass and the registered claims of JWT")]
    Reserved(String),
    /// A text in the value has a control character. The authorizer rejects tokens with such a claim in the context.
    #[error("the claim {0:?} has a control character")]
    Control(String),
    /// A value has too many levels of arrays and objects.
    #[error("the claim {0:?} is nested too deeply: claims have at most {max} levels, the object itself included", max = Claims::MAX_DEPTH)]
    TooDeep(String),
    /// The compact form is longer than [`Claims::MAX_BYTES`].
    #[error("the claims have {0} bytes as compact JSON, and {max} is the most", max = Claims::MAX_BYTES)]
    TooLong(usize),
}

/// The members of a token that are not claims of a user: those that Daypass sets, and those with a meaning of their own in
/// RFC 7519 §4.1, RFC 7515 §4.1, RFC 7800, RFC 8693, RFC 9068 and OpenID Connect Core §2.
const RESERVED: [&str; 25] = [
    "account",
    "acr",
    "act",
    "alg",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "client_id",
    "cnf",
    "email",
    "email_verified",
    "exp",
    "iat",
    "iss",
    "jti",
    "kid",
    "nbf",
    "nonce",
    "scope",
    "sid",
    "sub",
    "typ",
    "username",
];

/// Members that begin like this are reserved too.
const RESERVED_PREFIX: &str = "daypass";

impl Claims {
    /// Longest compact form in bytes. Every session item contains it.
    pub const MAX_BYTES: usize = 512;

    /// Longest name of a member in bytes.
    pub const MAX_NAME_BYTES: usize = 64;

    /// Most levels of arrays and objects, the object itself included.
    pub const MAX_DEPTH: usize = 3;

    /// Parses a JSON object.
    ///
    /// # Errors
    /// [`ClaimsError`] with the first fault.
    pub fn parse(text: &str) -> Result<Self, ClaimsError> {
        Self::new(json::object(text.as_bytes()).map_err(|_| ClaimsError::NotAnObject)?)
    }

    /// Reads the text of claims that were stored, and keeps it as the compact form.
    ///
    /// # Errors
    /// As [`Claims::parse`].
    pub fn stored(text: &str) -> Result<Self, ClaimsError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ClaimsError::TooLong(text.len()));
        }
        Ok(Self { text: text.to_owned(), ..Self::parse(text)? })
    }

    /// The claims with these members.
    ///
    /// # Errors
    /// [`ClaimsError`] with the first fault.
    pub fn new(members: Map<String, Value>) -> Result<Self, ClaimsError> {
        for (name, value) in &members {
            let named = |b: u8| b.is_ascii_alphanumeric() || b"_:.-".contains(&b);
            if !(1..=Self::MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(named) {
                return Err(ClaimsError::Name(name.clone()));
            }
            if RESERVED.contains(&name.as_str()) || name.starts_with(RESERVED_PREFIX) {
                return Err(ClaimsError::Reserved(name.clone()));
            }
            if has_control(value) {
                return Err(ClaimsError::Control(name.clone()));
            }
            if depth(value) >= Self::MAX_DEPTH {
                return Err(ClaimsError::TooDeep(name.clone()));
            }
        }
        let text = serde_json::to_string(&members).map_err(|_| ClaimsError::NotAnObject)?;
        if text.len() > Self::MAX_BYTES {
            return Err(ClaimsError::TooLong(text.len()));
        }
        Ok(Self { text, members })
    }

    /// Whether there is no claim.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members, ordered by name.
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

impl fmt::Display for Claims {
    /// The compact form: equal claims have equal texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text at any level has a control character.
fn has_control(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().any(char::is_control),
        Value::Array(values) => values.iter().any(has_control),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.chars().any(char::is_control) || has_control(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Levels of arrays and objects.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn claims_have_one_compact_form() {
        for (text, compact) in [
            ("{}", "{}"),
            (r#" { "tenant" : "acme" } "#, r#"{"tenant":"acme"}"#),
            (r#"{"b":1,"a":[ "x", "y" ]}"#, r#"{"a":["x","y"],"b":1}"#),
            (r#"{"org:unit.x-1_A":true,"n":null}"#, r#"{"n":null,"org:unit.x-1_A":true}"#),
            (r#"{"o":{"p":[1.5,-2]}}"#, r#"{"o":{"p":[1.5,-2]}}"#),
            (r#"{"t":"\u00fc\""}"#, "{\"t\":\"ü\\\"\"}"),
        ] {
            let claims = Claims::parse(text).unwrap();
            assert_eq!(claims.to_string(), compact);
            assert_eq!(Claims::parse(compact), Ok(claims));
        }
        assert!(Claims::parse("{}").unwrap().is_empty() && Claims::default().is_empty());
        let other = r#"{ "b":1e0, "a":0.30000000000000004 }"#;
        assert_eq!(Claims::stored(other).unwrap().to_string(), other, "stored text stays as it is");
        assert!(Claims::stored(&format!("{{{}}}", " ".repeat(511))).is_err());
    }

    #[test]
    fn every_fault_has_its_error() {
        let name = |name: &str| ClaimsError::Name(name.to_owned());
        let long = "n".repeat(65);
        for (text, error) in [
            ("", ClaimsError::NotAnObject),
            ("[]", ClaimsError::NotAnObject),
            ("\"acme\"", ClaimsError::NotAnObject),
            ("{\"a\":1,\"a\":2}", ClaimsError::NotAnObject),
            ("{\"a\":{\"b\":1,\"b\":1}}", ClaimsError::NotAnObject),
            ("{\"a\":1e999}", ClaimsError::NotAnObject),
            ("{'a':1}", ClaimsError::NotAnObject),
            ("{\"\":1}", name("")),
            ("{\"a b\":1}", name("a b")),
            ("{\"ä\":1}", name("ä")),
            (&format!("{{\"{long}\":1}}"), name(&long)),
            ("{\"a\":\"\\n\"}", ClaimsError::Control("a".to_owned())),
            ("{\"a\":[\"\u{85}\"]}", ClaimsError::Control("a".to_owned())),
            ("{\"a\":{\"\\u0000\":1}}", ClaimsError::Control("a".to_owned())),
            ("{\"a\":[[[]]]}", ClaimsError::TooDeep("a".to_owned())),
            ("{\"a\":{\"b\":{\"c\":{}}}}", ClaimsError::TooDeep("a".to_owned())),
        ] {
            assert_eq!(Claims::parse(text), Err(error), "{text}");
        }
        for reserved in RESERVED.into_iter().chain(["daypass", "daypass_tier", "daypass:x"]) {
            let refused = Claims::parse(&format!("{{\"{reserved}\":1}}"));
            assert_eq!(refused, Err(ClaimsError::Reserved(reserved.to_owned())));
        }
        let of = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(Claims::parse(&of(Claims::MAX_BYTES)).is_ok());
        assert_eq!(Claims::parse(&of(513)), Err(ClaimsError::TooLong(513)));
        // Spaces do not count, and an escape that the compact form does not need counts as its character.
        assert!(Claims::parse(&of(512).replace(':', " : ").replace("xx", "\\u0078x")).is_ok());
    }

    proptest! {
        #[test]
        fn the_compact_form_reads_back(
            text in prop::collection::btree_map("[a-c]{1,3}", prop_oneof![
                Just("null".to_owned()), "-?[1-9][0-9]{0,15}", "\"[^\"\\\\\\p{Cc}]{0,9}\"", Just("[\"x\",{\"y\":1}]".to_owned())
            ], 0..9),
        ) {
            let members: Vec<String> = text.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let claims = Claims::parse(&format!("{{{}}}", members.join(", ")));
            let claims = claims.unwrap();
            prop_assert_eq!(Claims::parse(&claims.to_string()), Ok(claims));
        }

        #[test]
        fn any_text_is_claims_or_an_error(text in ".{0,80}") {
            if let Ok(claims) = Claims::parse(&text) {
                prop_assert!(claims.to_string().len() <= Claims::MAX_BYTES);
            }
        }
    }
}
