//! What a line of the route table needs of a token: words of its scope, claims, a key that it is bound to, and how and
//! when its user authenticated.

use super::RouteDenial;
use super::challenge::Challenge;
use crate::base::scope::Scope;
use crate::base::time::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::mem::discriminant;

/// Begins a need of a claim. No scope of a user or client has such a word.
const CLAIM: &str = "claim:";

/// Begins a need of an authentication context class.
const ACR: &str = "acr:";

/// The class of two factors, the one that a line can need.
const TWO_FACTORS: &str = "2";

/// Precedes the greatest age of the authentication, in seconds.
const WITHIN: &str = "within";

/// Greatest age that a line can name, in seconds: 30 days.
const MAX_AGE: u64 = 30 * 86_400;

/// The need of a key that the token is bound to.
const DPOP: &str = "dpop";

/// Follows [`DPOP`] if each proof is accepted once in all processes.
const ONCE: &str = "once";

/// Longest name of a claim, in bytes.
const MAX_NAME: usize = 64;

/// One need of an alternative. All of them must be met.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A word of the scope.
    Scope(String),
    /// A claim, with this value if there is one.
    Claim { name: String, value: Option<String> },
    /// A key that the token is bound to. The authorizer has checked the proof of each such token.
    Dpop {
        /// Whether each proof is accepted once in all processes, and not only once in each.
        once: bool,
    },
    /// The claim `acr` of two factors.
    TwoFactors,
    /// The greatest age of the claim `auth_time`, in seconds.
    Within(u64),
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
    let (mut needs, mut scopes) = (BTreeSet::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let need = if let Some(claim) = word.strip_prefix(CLAIM) {
            Need::claim(claim)?
        } else if let Some(class) = word.strip_prefix(ACR) {
            Need::class(class)?
        } else if *word == WITHIN {
            Need::within(words.next().copied().unwrap_or_default())?
        } else if *word == DPOP {
            let mut rest = words.clone();
            let once = rest.next() == Some(&ONCE);
            if once {
                words = rest;
            }
            Need::Dpop { once }
        } else {
            scopes.push(*word);
            continue;
        };
        let is_like = |other: &Need| discriminant(other) == discriminant(&need);
        if need.is_of_step_up() && needs.iter().any(is_like) {
            return Err(format!("`{need}` is the second of its kind between `needs` and `or`"));
        }
        needs.insert(need);
    }
    let scope = Scope::parse(&scopes.join(" ")).map_err(|_| "that is no scope (RFC 6749 §3.3)".to_owned())?;
    needs.extend(scope.words().map(|word| Need::Scope(word.to_owned())));
    Ok(needs.into_iter().collect())
}

/// Whether an alternative accepts each proof once in all processes.
pub(super) fn accept_proofs_once(alternatives: &[Vec<Need>]) -> bool {
    alternatives.iter().flatten().any(|need| matches!(need, Need::Dpop { once: true }))
}

/// Whether all needs of one alternative are met.
///
/// # Errors
/// What the alternative lacks that lacks the least: a new authentication ([`RouteDenial::StepUpNeeded`], or [`RouteDenial::NoUser`]
/// if the token has no user to authenticate), a key, a claim, or a scope.
pub(super) fn admit(
    alternatives: &[Vec<Need>],
    scope: &str,
    claims: Option<&Map<String, Value>>,
    now: Timestamp,
) -> Result<(), RouteDenial> {
    // The worst of what each alternative lacks.
    let lacks = |needs: &Vec<Need>| {
        needs.iter().filter(|need| !need.is_met(scope, claims, now)).map(Need::lack).max()
    };
    match alternatives.iter().map(lacks).min().flatten() {
        None => Ok(()),
        Some(Lack::Authentication) if is_of_machine(claims) => Err(RouteDenial::NoUser),
        Some(Lack::Authentication) => Err(RouteDenial::StepUpNeeded),
        Some(Lack::Key) => Err(RouteDenial::KeyMissing),
        Some(Lack::Claim) => Err(RouteDenial::ClaimMissing),
        Some(Lack::Scope) => Err(RouteDenial::ScopeMissing),
    }
}

/// The authentication that the first alternative needs of which nothing else is missing.
pub(super) fn challenge(
    alternatives: &[Vec<Need>],
    scope: &str,
    claims: Option<&Map<String, Value>>,
    now: Timestamp,
) -> Option<Challenge> {
    let is_enough =
        |needs: &&Vec<Need>| needs.iter().all(|need| need.is_of_step_up() || need.is_met(scope, claims, now));
    let needs = alternatives.iter().find(is_enough)?;
    let max_age = |need: &Need| if let Need::Within(seconds) = need { Some(*seconds) } else { None };
    Some(Challenge {
        two_factors: needs.contains(&Need::TwoFactors),
        max_age: needs.iter().filter_map(max_age).min(),
    })
}

/// What a token lacks, the least first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    Authentication,
    Key,
    Claim,
    Scope,
}

impl Need {
    /// What a token lacks that does not meet the need.
    const fn lack(&self) -> Lack {
        match self {
            Self::Scope(_) => Lack::Scope,
            Self::Claim { .. } => Lack::Claim,
            Self::Dpop { .. } => Lack::Key,
            Self::TwoFactors | Self::Within(_) => Lack::Authentication,
        }
    }

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

    /// Parses the class of `acr:`.
    fn class(text: &str) -> Result<Self, String> {
        let two_factors = (text == TWO_FACTORS).then_some(Self::TwoFactors);
        two_factors.ok_or_else(|| format!("the one class is `{ACR}{TWO_FACTORS}`"))
    }

    /// Parses the seconds of `within`.
    fn within(text: &str) -> Result<Self, String> {
        // Digits alone: Rust also reads `+300`.
        let digits = text.bytes().all(|b| b.is_ascii_digit()).then_some(text);
        let seconds =
            digits.and_then(|text| text.parse().ok()).filter(|seconds| (1..=MAX_AGE).contains(seconds));
        seconds.map(Self::Within).ok_or_else(|| format!("`{WITHIN}` is followed by 1 to {MAX_AGE} seconds"))
    }

    /// Whether a new authentication of the user can meet the need.
    const fn is_of_step_up(&self) -> bool {
        matches!(self, Self::TwoFactors | Self::Within(_))
    }

    fn is_met(&self, scope: &str, claims: Option<&Map<String, Value>>, now: Timestamp) -> bool {
        match self {
            Self::TwoFactors => {
                claims.and_then(|claims| claims.get("acr")).and_then(Value::as_str) == Some(TWO_FACTORS)
            }
            Self::Within(seconds) => {
                let at = claims.and_then(|claims| claims.get("auth_time")).and_then(Value::as_u64);
                let needed = Challenge { two_factors: false, max_age: Some(*seconds) };
                needed.is_met(at.map(Timestamp::from_seconds), false, now)
            }
            Self::Dpop { .. } => claims.is_some_and(|claims| claims.contains_key("cnf")),
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

/// Whether the token is that of a machine client: its subject is the client (RFC 9068 §2.2).
fn is_of_machine(claims: Option<&Map<String, Value>>) -> bool {
    let claim = |name| claims.and_then(|claims| claims.get(name));
    claim("sub").is_some_and(|subject| Some(subject) == claim("client_id"))
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
            Self::Dpop { once: false } => f.write_str(DPOP),
            Self::Dpop { once: true } => write!(f, "{DPOP} {ONCE}"),
            Self::Claim { name, value: None } => write!(f, "{CLAIM}{name}"),
            Self::Claim { name, value: Some(value) } => write!(f, "{CLAIM}{name}={value}"),
            Self::TwoFactors => write!(f, "{ACR}{TWO_FACTORS}"),
            Self::Within(seconds) => write!(f, "{WITHIN} {seconds}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RouteDenial::{ClaimMissing, NoUser, ScopeMissing};
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_seconds(10_000);

    #[test]
    fn claims_are_compared() {
        let claims = json!({
            "tenant": "acme", "empty": "", "null": null, "no": false, "yes": true, "zero": 0, "seats": 3, "half": 0.5,
            "roles": ["admin", "a b", 7], "none": [], "org": { "unit": "x" }, "bare": {}, "a:b.c-d_e": "=",
        });
        let claims = claims.as_object();
        let check = |text: &str, expected: Result<(), RouteDenial>| {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(admit(&parse(&words).unwrap(), "read write", claims, NOW), expected, "{text}");
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
        assert_eq!(admit(&without, "read", None, NOW), Err(ClaimMissing));
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
        for other in ["acr:", "acr:1", "acr:3", "acr:2=x"] {
            check(other, "the one class");
        }
        for other in [
            "within",
            "within 0",
            "within -1",
            "within +1",
            "within 2592001",
            "within 99999999999999999999",
            "within x",
            "within or read",
        ] {
            check(other, "followed by 1 to 2592000 seconds");
        }
        for other in ["within 600 within 300", "acr:2 acr:2", "acr:2 read acr:2", "read or within 6 within 6"]
        {
            check(other, "second of its kind");
        }
    }

    /// A line needs an authentication that is new enough, by two factors, or both.
    #[test]
    fn authentications_are_compared() {
        let check = |text: &str, claims: &Value, expected: Result<(), RouteDenial>| {
            let words: Vec<&str> = text.split(' ').collect();
            let needs = parse(&words).unwrap();
            assert_eq!(admit(&needs, "read", claims.as_object(), NOW), expected, "{text} {claims}");
        };
        let aged = |age: u64, acr: &str| json!({ "auth_time": 10_000 - age, "acr": acr });
        for (text, claims, is_met) in [
            ("within 300", aged(0, "1"), true),
            ("within 300", aged(300, "1"), true),
            ("within 300", aged(301, "2"), false),
            ("within 300", json!({ "auth_time": 10_030 }), true),
            ("within 300", json!({}), false),
            ("within 300", json!({ "auth_time": "9999" }), false),
            ("within 300", json!({ "auth_time": -1 }), false),
            ("acr:2", aged(9_000, "2"), true),
            ("acr:2", aged(0, "1"), false),
            ("acr:2", json!({}), false),
            ("acr:2", json!({ "acr": 2 }), false),
            ("acr:2 within 300", aged(300, "2"), true),
            ("acr:2 within 300", aged(301, "2"), false),
            ("acr:2 within 300", aged(0, "1"), false),
            ("read acr:2 within 300", aged(0, "2"), true),
            ("within 300", json!({ "auth_time": 10_031 }), false),
            ("within 600 or within 300", aged(600, "1"), true),
            ("within 300 or acr:2", aged(9_000, "2"), true),
        ] {
            check(text, &claims, if is_met { Ok(()) } else { Err(RouteDenial::StepUpNeeded) });
        }
        // A machine client has no user who could authenticate.
        let machine = json!({ "sub": "client_a", "client_id": "client_a" });
        check("within 300", &machine, Err(NoUser));
        check("acr:2", &machine, Err(NoUser));
        check("write acr:2", &machine, Err(ScopeMissing));
        check("within 300 or read", &machine, Ok(()));
        check("within 300", &json!({ "sub": "usr_a", "client_id": "web" }), Err(RouteDenial::StepUpNeeded));
        // A new authentication does not help without the scope or the claim.
        check("write within 300", &aged(301, "1"), Err(ScopeMissing));
        check("claim:tenant within 300", &aged(301, "1"), Err(ClaimMissing));
        check("write or read acr:2", &aged(0, "1"), Err(RouteDenial::StepUpNeeded));
        check("read acr:2 or claim:tenant", &aged(0, "1"), Err(RouteDenial::StepUpNeeded));
    }
}
