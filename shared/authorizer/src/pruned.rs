//! Deserialisation of the members of an event that the authorizer reads. Most of an event are other headers and
//! context. To build all of them costs more than everything else except the signature check.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// An event without the members that [`Event::read`](crate::Event::read) ignores. A value in the place of an object
/// becomes null, which `read` treats alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned(pub Value);

/// The part of a member that is kept.
#[derive(Clone, Copy)]
enum Keep {
    Whole,
    Members(&'static Members),
}

/// The members of an object that are kept.
struct Members {
    named: &'static [(&'static str, Keep)],
    /// Header names are case-insensitive.
    any_case: bool,
}

const EVENT: Members = Members {
    named: &[
        ("version", Keep::Whole),
        ("type", Keep::Whole),
        ("methodArn", Keep::Whole),
        ("routeArn", Keep::Whole),
        ("authorizationToken", Keep::Whole),
        ("identitySource", Keep::Whole),
        ("enhancedAuthContext", Keep::Whole),
        ("headers", Keep::Members(&HEADERS)),
        ("multiValueHeaders", Keep::Members(&HEADERS)),
        ("rawPath", Keep::Whole),
        ("requestContext", Keep::Members(&CONTEXT)),
    ],
    any_case: false,
};
static HEADERS: Members =
    Members { named: &[("authorization", Keep::Whole), ("dpop", Keep::Whole)], any_case: true };
static CONTEXT: Members = Members {
    named: &[
        ("requestId", Keep::Whole),
        ("domainName", Keep::Whole),
        ("path", Keep::Whole),
        ("stage", Keep::Whole),
        ("http", Keep::Members(&SENDER)),
        ("identity", Keep::Members(&SENDER)),
    ],
    any_case: false,
};
static SENDER: Members = Members { named: &[("sourceIp", Keep::Whole)], any_case: false };

impl Members {
    fn keep(&self, name: &str) -> Option<Keep> {
        let is = |known: &str| if self.any_case { known.eq_ignore_ascii_case(name) } else { known == name };
        self.named.iter().find(|(known, _)| is(known)).map(|(_, keep)| *keep)
    }
}

impl<'de> Deserialize<'de> for Pruned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Pruner(&EVENT)).map(Self)
    }
}

/// Deserialises an object, and keeps some of its members.
struct Pruner(&'static Members);

impl<'de> DeserializeSeed<'de> for Pruner {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Deserialises the name of a member, to the part of it that is kept.
struct Name(&'static Members);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(String, Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(String, Keep)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.keep(name).map(|keep| (name.to_owned(), keep)))
    }
}

impl<'de> Visitor<'de> for Pruner {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = entries.next_key_seed(Name(self.0))? {
            match name {
                None => drop(entries.next_value::<IgnoredAny>()?),
                Some((name, Keep::Whole)) => drop(members.insert(name, entries.next_value()?)),
                Some((name, Keep::Members(kept))) => {
                    members.insert(name, entries.next_value_seed(Pruner(kept))?);
                }
            }
        }
        Ok(Value::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_read_is_kept_and_nothing_else() {
        let event = json!({
            "version": "2.0", "type": "REQUEST", "routeArn": "arn", "methodArn": ["odd"], "authorizationToken": null,
            "identitySource": ["a"], "rawPath": "/x", "cookies": ["a=b"], "body": { "version": "1.0" },
            "headers": { "Host": "h", "AUTHORIZATION": "Bearer x", "authorization": 7, "DPoP": "p" },
            "multiValueHeaders": { "authorization": ["a", "b"], "x": ["y"] },
            "requestContext": { "requestId": "r", "stage": "s", "domainName": "d", "path": "/s/x", "apiId": "a",
                "http": { "sourceIp": "1.2.3.4", "path": "/" },
                "identity": null, "authorizer": { "requestId": "other" } },
        });
        let kept = json!({
            "version": "2.0", "type": "REQUEST", "routeArn": "arn", "methodArn": ["odd"], "authorizationToken": null,
            "identitySource": ["a"], "rawPath": "/x",
            "headers": { "AUTHORIZATION": "Bearer x", "authorization": 7, "DPoP": "p" },
            "multiValueHeaders": { "authorization": ["a", "b"] },
            "requestContext": { "requestId": "r", "stage": "s", "domainName": "d", "path": "/s/x",
                "http": { "sourceIp": "1.2.3.4" }, "identity": null },
        });
        assert_eq!(serde_json::from_value::<Pruned>(event.clone()).unwrap(), Pruned(kept.clone()));
        assert_eq!(serde_json::from_str::<Pruned>(&event.to_string()).unwrap(), Pruned(kept));
    }

    #[test]
    fn what_is_no_object_is_null() {
        for odd in ["null", "7", "-7", "7.5", "true", "\"TOKEN\"", "[1,[2],{}]"] {
            assert_eq!(serde_json::from_str::<Pruned>(odd).unwrap(), Pruned(Value::Null), "{odd}");
            let headers = format!("{{\"headers\":{odd}}}");
            assert_eq!(serde_json::from_str::<Pruned>(&headers).unwrap(), Pruned(json!({ "headers": null })));
        }
        assert!(serde_json::from_str::<Pruned>("{\"a\":").is_err());
    }
}
