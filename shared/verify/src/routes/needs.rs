//! What a line of the route table needs of a token: words of its scope, and claims.

use super::RouteDenial;
use crate::base::scope::Scope;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// Begins a need of a claim. No scope of a user or client has such a word.
const CLAIM: &str = "claim:";

/// Longest name of a claim, in bytes.
const MAX_NAME: usize = 64;

/// One need of an alternative. All of them must be met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A word of the scope.
    Scope(String),
    /// A claim, with this value if there is one.
    Claim { name: String, value: Option<String> },
}

/// Parses the words after `needs`: alternatives, separated by `or`.
///
/// # Errors
/// The problem of the words.
pub(super) fn parse(words: &[&str]) -> Result<Vec<Vec<Need>>, String> {
    words.split(|word| *word == "or").map(alternative).collect()
}

fn alternative(words: &[&str]) -> Result<Vec<Need>, String> {
    if words.is_empty() {
        return Err("`needs` and `or` are each followed by a scope or a claim".to_owned());
    }
    let (claims, scopes): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with(CLAIM));
    let scope = Scope::parse(&scopes.join(" ")).map_err(|_| "that is no scope (RFC 6749 §3.3)".to_owned())?;
    let mut needs: BTreeSet<Need> = scope.words().map(|word| Need::Scope(word.to_owned())).collect();
    for claim in claims {
        needs.insert(Need::claim(claim.get(CLAIM.len()..).unwrap_or_default())?);
    }
    Ok(needs.into_iter().collect())
}

/// Whether all needs of one alternative are met.
///
/// # Errors
/// [`RouteDenial::ClaimMissing`] if only claims are missing for an alternative, else [`RouteDenial::ScopeMissing`].
pub(super) fn admit(
    alternatives: &[Vec<Need>],
    scope: &str,
    claims: Option<&Map<String, Value>>,
) -> Result<(), RouteDenial> {
    let mut denial = RouteDenial::ScopeMissing;
    for needs in alternatives {
        let mut unmet = needs.iter().filter(|need| !need.is_met(scope, claims)).peekable();
        if unmet.peek().is_none() {
            return Ok(());
        }
        if unmet.all(|need| matches!(need, Need::Claim { .. })) {
            denial = RouteDenial::ClaimMissing;
        }
    }
    Err(denial)
}

impl Need {
    /// Parses `NAME` or `NAME=VALUE`.
    fn claim(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            None => (text, None),
            Some((_, "")) => return Err("`=` is followed by a value".to_owned()),
            Some((name, value)) => (name, Some(value.to_owned())),
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_:.-".contains(&b);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(legal) {
            return Err(format!("the name of a claim is 1 to {MAX_NAME} of A-Z a-z 0-9 _ : . -"));
        }
        Ok(Self::Claim { name: name.to_owned(), value })
    }

    fn is_met(&self, scope: &str, claims: Option<&Map<String, Value>>) -> bool {
        match self {
            Self::Scope(word) => scope.split(' ').any(|held| held == word),
            Self::Claim { name, value } => {
                let claim = claims.and_then(|claims| claims.get(name));
                claim.is_some_and(|claim| {
                    value.as_ref().map_or_else(|| is_set(claim), |value| has(claim, value))
                })
            }
        }
    }
}

/// Whether a claim is neither `null`, `false` nor empty.
fn is_set(claim: &Value) -> bool {
    match claim {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Whether a claim is this string, number or boolean, or an array with this string.
fn has(claim: &Value, value: &str) -> bool {
    match claim {
        Value::String(text) => text == value,
        Value::Number(number) => number.to_string() == value,
        Value::Bool(flag) => value == if *flag { "true" } else { "false" },
        Value::Array(values) => values.iter().any(|element| element.as_str() == Some(value)),
        Value::Null | Value::Object(_) => false,
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(word) => f.write_str(word),
            Self::Claim { name, value: None } => write!(f, "{CLAIM}{name}"),
            Self::Claim { name, value: Some(value) } => write!(f, "{CLAIM}{name}={value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RouteDenial::{ClaimMissing, ScopeMissing};
    use serde_json::json;

    #[test]
    fn claims_are_compared() {
        let claims = json!({
            "tenant": "acme", "empty": "", "null": null, "no": false, "yes": true, "zero": 0, "seats": 3, "half": 0.5,
            "roles": ["admin", "a b", 7], "none": [], "org": { "unit": "x" }, "bare": {}, "a:b.c-d_e": "=",
        });
        let claims = claims.as_object();
        let check = |text: &str, expected: Result<(), RouteDenial>| {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(admit(&parse(&words).unwrap(), "read write", claims), expected, "{text}");
        };
        for met in [
            "claim:tenant",
            "claim:tenant=acme",
            "claim:yes",
            "claim:yes=true",
            "claim:no=false",
            "claim:zero",
            "claim:zero=0",
            "claim:seats=3",
            "claim:half=0.5",
            "claim:roles",
            "claim:roles=admin",
            "claim:org",
            "claim:a:b.c-d_e==",
            "read claim:tenant claim:roles=admin write",
            "other or claim:tenant",
            "claim:tenant=other or read",
        ] {
            check(met, Ok(()));
        }
        for unmet in [
            "claim:absent",
            "claim:absent=acme",
            "claim:empty",
            "claim:null",
            "claim:null=null",
            "claim:no",
            "claim:none",
            "claim:bare",
            "claim:tenant=Acme",
            "claim:tenant=acm",
            "claim:seats=3.0",
            "claim:yes=1",
            "claim:roles=a",
            "claim:roles=7",
            "claim:org=x",
            "read claim:tenant=other",
            "read other or write claim:absent",
        ] {
            check(unmet, Err(ClaimMissing));
        }
        check("other claim:tenant", Err(ScopeMissing));
        check("other claim:absent", Err(ScopeMissing));
        let without = parse(&["claim:tenant"]).unwrap();
        assert_eq!(admit(&without, "read", None), Err(ClaimMissing));
    }

    #[test]
    fn faults_are_named() {
        let check = |text: &str, problem: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let error = parse(&words).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        };
        check("", "followed by a scope or a claim");
        check("claim:a or", "followed by a scope or a claim");
        check("claim:", "name of a claim");
        check("claim:=a", "name of a claim");
        check("claim:a=", "followed by a value");
        check("claim:ä", "name of a claim");
        check(&format!("claim:{}", "a".repeat(65)), "name of a claim");
        check("\"a\"", "no scope");
    }
}
