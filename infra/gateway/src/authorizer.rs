//! Lambda authorizers of an HTTP API: event, answer and cache.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use crate::event;
use crate::identity::Authorizer;
use crate::lambda::{InvokeError, Lambda};
use crate::request::Incoming;
use crate::routes::Found;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Largest answer of an authorizer, in bytes.
const MAX_ANSWER: usize = 8 * 1024;
/// The action that API Gateway evaluates in policies.
const ACTION: &str = "execute-api:Invoke";

/// Decision on one request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Allowed, with the context for the integration; null if the function gave none.
    Allow(Value),
    /// 401: the identity is missing, or the function's error is `Unauthorized`.
    Unauthorized,
    /// 403: denied.
    Forbidden,
    /// 503: too many requests wait for the authorizer.
    Busy,
    /// 500: no valid answer. The text is for the developer.
    Broken(String),
}

/// A well-formed answer.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Simple { allowed: bool, context: Value },
    Policy { statements: Vec<Statement>, context: Value },
}

#[derive(Debug, Clone, PartialEq)]
struct Statement {
    allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
}

/// Name of the function and identity of the caller.
type CacheKey = (String, Vec<String>);

/// Cached results, each with its end.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<CacheKey, (Instant, Answer)>>);

impl Cache {
    fn get(&self, function: &str, identity: &[String]) -> Option<Answer> {
        let key = (function.to_owned(), identity.to_vec());
        let results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        results.get(&key).filter(|(until, _)| Instant::now() < *until).map(|(_, answer)| answer.clone())
    }

    fn put(&self, authorizer: &Authorizer, identity: Vec<String>, answer: &Answer) {
        if authorizer.ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        results.retain(|_, (until, _)| now < *until);
        results.insert((authorizer.function.clone(), identity), (now + authorizer.ttl, answer.clone()));
    }
}

/// Decides on a request by the cache, or by an invocation of the authorizer.
pub(crate) async fn authorize(
    authorizer: &Authorizer,
    request: &Incoming,
    found: &Found<'_>,
    lambda: &Lambda,
    cache: &Cache,
    limit: Duration,
) -> Verdict {
    let Some(identity) = authorizer.identity_of(request) else { return Verdict::Unauthorized };
    let arn = event::route_arn(request);
    if let Some(answer) = cache.get(&authorizer.function, &identity) {
        return decide(answer, &arn);
    }
    let event = event::authorizer(request, found, &identity);
    match lambda.invoke(&authorizer.function, &event, limit).await {
        Ok(answer) => match parse(&answer, authorizer.simple_responses) {
            Ok(answer) => {
                cache.put(authorizer, identity, &answer);
                decide(answer, &arn)
            }
            Err(why) => Verdict::Broken(why),
        },
        // Errors are not cached.
        Err(InvokeError::Function(Some(message))) if message == "Unauthorized" => Verdict::Unauthorized,
        Err(InvokeError::Function(_)) => {
            Verdict::Broken("the authorizer failed; its log shows the cause".to_owned())
        }
        Err(InvokeError::Busy) => Verdict::Busy,
        Err(InvokeError::TimedOut) => {
            Verdict::Broken(format!("the authorizer did not answer within {} s", limit.as_secs_f32()))
        }
        Err(InvokeError::Unavailable(why)) => Verdict::Broken(why),
    }
}

/// Decides on the route with this ARN. A cached policy is evaluated for each request.
fn decide(answer: Answer, arn: &str) -> Verdict {
    let (allowed, context) = match answer {
        Answer::Simple { allowed, context } => (allowed, context),
        Answer::Policy { statements, context } => (allows(&statements, arn), context),
    };
    if allowed { Verdict::Allow(context) } else { Verdict::Forbidden }
}

/// A policy allows if an Allow matches and no Deny does.
fn allows(statements: &[Statement], arn: &str) -> bool {
    let matching = |allow: bool| {
        statements.iter().filter(move |statement| statement.allow == allow).any(|statement| {
            // IAM ignores the case of actions, and respects the case of resources.
            statement.actions.iter().any(|action| {
                glob(action.to_ascii_lowercase().as_bytes(), ACTION.to_ascii_lowercase().as_bytes())
            }) && statement.resources.iter().any(|resource| glob(resource.as_bytes(), arn.as_bytes()))
        })
    };
    matching(true) && !matching(false)
}

/// Whether a text matches a pattern. `*` matches any text, `?` any byte.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // Dynamic programming over the pattern: the time is its length times the length of the text, with any number of
    // stars. `reached` holds for each length whether the pattern so far matches that prefix of the text.
    let mut reached: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    for symbol in pattern {
        let mut next = vec![*symbol == b'*' && reached.first() == Some(&true)];
        for (byte, before) in text.iter().zip(reached.windows(2)) {
            let &[shorter, same] = before else { continue };
            let star = same || next.last() == Some(&true);
            next.push(match symbol {
                b'*' => star,
                b'?' => shorter,
                _ => shorter && symbol == byte,
            });
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

/// Parses an authorizer's answer.
///
/// # Errors
/// Why the answer is malformed, for the developer. API Gateway responds with 500.
fn parse(answer: &[u8], simple_responses: bool) -> Result<Answer, String> {
    if answer.len() > MAX_ANSWER {
        return Err(format!("the authorizer's answer is larger than {MAX_ANSWER} bytes"));
    }
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| format!("the authorizer's answer is not JSON: {error}"))?;
    let Some(answer) = answer.as_object() else {
        return Err("the authorizer's answer is not an object".to_owned());
    };
    let context = match answer.get("context") {
        None => Value::Null,
        Some(context @ (Value::Null | Value::Object(_))) => context.clone(),
        Some(_) => return Err("the context of the authorizer's answer is not an object".to_owned()),
    };
    if answer.contains_key("policyDocument") {
        return policy(answer, context);
    }
    if !simple_responses {
        return Err(
            "the authorizer's answer has no policyDocument, and EnableSimpleResponses is off".to_owned()
        );
    }
    match answer.get("isAuthorized").and_then(Value::as_bool) {
        Some(allowed) => Ok(Answer::Simple { allowed, context }),
        None => Err("isAuthorized in the authorizer's answer is not a boolean".to_owned()),
    }
}

fn policy(answer: &Map<String, Value>, context: Value) -> Result<Answer, String> {
    if answer.get("principalId").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("the authorizer's policy has no principalId".to_owned());
    }
    let statements = match answer.get("policyDocument").and_then(|document| document.get("Statement")) {
        Some(Value::Array(statements)) => statements.iter().map(statement).collect::<Result<_, _>>()?,
        Some(one @ Value::Object(_)) => vec![statement(one)?],
        _ => return Err("the policyDocument of the authorizer's answer has no Statement".to_owned()),
    };
    Ok(Answer::Policy { statements, context })
}

fn statement(statement: &Value) -> Result<Statement, String> {
    let wrong = |what: &str| format!("a statement of the authorizer's policy {what}");
    let Some(members) = statement.as_object() else { return Err(wrong("is not an object")) };
    // An ignored member could widen or narrow the decision.
    if let Some(other) =
        members.keys().find(|name| !["Sid", "Effect", "Action", "Resource"].contains(&name.as_str()))
    {
        return Err(wrong(&format!("has {other}, which this gateway does not support")));
    }
    let texts = |name: &str| match members.get(name) {
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(texts)) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    Ok(Statement {
        allow: match members.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err(wrong("has an Effect that is neither Allow nor Deny")),
        },
        actions: texts("Action").ok_or_else(|| wrong("has no Action"))?,
        resources: texts("Resource").ok_or_else(|| wrong("has no Resource"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentitySource;
    use crate::request::tests::incoming;
    use serde_json::json;

    const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:local/$default/GET/orders/1";

    fn verdict(answer: &Value) -> Verdict {
        match parse(answer.to_string().as_bytes(), true) {
            Ok(answer) => decide(answer, ARN),
            Err(why) => Verdict::Broken(why),
        }
    }

    #[test]
    fn a_simple_answer_allows_or_denies() {
        let allow = verdict(&json!({"isAuthorized": true, "context": {"sub": "u"}}));
        assert!(matches!(allow, Verdict::Allow(context) if context == json!({"sub": "u"})));
        assert!(
            matches!(verdict(&json!({"isAuthorized": true})), Verdict::Allow(context) if context.is_null())
        );
        assert!(matches!(verdict(&json!({"isAuthorized": false})), Verdict::Forbidden));
    }

    #[test]
    fn anything_but_a_real_boolean_is_malformed() {
        for answer in [
            json!({"isAuthorized": "true"}),
            json!({"isAuthorized": "false"}),
            json!({"isAuthorized": 1}),
            json!({"isAuthorized": null}),
            json!({"isauthorized": true}),
            json!({}),
            json!([]),
            json!(true),
            json!(null),
            json!({"isAuthorized": true, "context": "x"}),
            json!({"isAuthorized": true, "context": {"x": "y".repeat(MAX_ANSWER)}}),
        ] {
            assert!(matches!(verdict(&answer), Verdict::Broken(_)), "{answer}");
        }
        assert!(parse(b"{", true).is_err());
        assert!(parse(br#"{"isAuthorized":true}"#, false).is_err());
    }

    fn policy_answer(statements: &Value) -> Value {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        json!({"principalId": "u", "policyDocument": document})
    }

    #[test]
    fn a_policy_is_evaluated_for_the_route() {
        let allow = |resource: &str| json!({"Effect": "Allow", "Action": ACTION, "Resource": resource});
        let deny = |resource: &str| json!({"Effect": "Deny", "Action": ACTION, "Resource": resource});
        for (statements, allowed) in [
            (json!([allow(ARN)]), true),
            (allow("*"), true),
            (json!([allow("arn:aws:execute-api:*:*:local/*/GET/orders/?")]), true),
            (json!([allow("arn:aws:execute-api:*:*:local/*/POST/*")]), false),
            (json!([allow("arn:aws:execute-api:*:*:local/*/GET/orders/?"), deny("*/orders/*")]), false),
            (json!([allow("*"), deny("*/customers/*")]), true),
            (json!([deny("*/customers/*")]), false),
            (json!([]), false),
            (json!([{"Effect": "Allow", "Action": ["a:b", "execute-api:*"], "Resource": ["x", "*"]}]), true),
            (json!([{"Effect": "Allow", "Action": "EXECUTE-API:invoke", "Resource": "*"}]), true),
            (json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]), false),
            (json!([{"Effect": "Allow", "Action": "execute-api:ManageConnections", "Resource": "*"}]), false),
        ] {
            let verdict = verdict(&policy_answer(&statements));
            let expected = matches!(verdict, Verdict::Allow(_)) == allowed
                && matches!(verdict, Verdict::Forbidden) != allowed;
            assert!(expected, "{statements}: {verdict:?}");
        }
    }

    #[test]
    fn a_policy_that_is_not_understood_is_malformed() {
        let whole = policy_answer(&json!([]));
        assert!(matches!(verdict(&whole), Verdict::Forbidden));
        for (member, value) in [
            ("principalId", json!("")),
            ("principalId", json!(null)),
            ("policyDocument", json!({})),
            ("policyDocument", json!(null)),
        ] {
            let mut answer = whole.clone();
            answer[member] = value;
            assert!(matches!(verdict(&answer), Verdict::Broken(_)), "{answer}");
        }
        for statement in [
            json!("x"),
            json!({"Effect": "allow", "Action": ACTION, "Resource": "*"}),
            json!({"Effect": "Allow", "Resource": "*"}),
            json!({"Effect": "Allow", "Action": ACTION}),
            json!({"Effect": "Allow", "Action": ACTION, "Resource": [1]}),
            json!({"Effect": "Allow", "NotAction": "a", "Action": ACTION, "Resource": "*"}),
            json!({"Effect": "Allow", "Condition": {}, "Action": ACTION, "Resource": "*"}),
        ] {
            let verdict = verdict(&policy_answer(&json!([statement])));
            assert!(matches!(verdict, Verdict::Broken(_)), "{statement}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*", "abc", true),
            ("abc", "abcd", false),
            ("a**", "a", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(!glob("*a".repeat(500).as_bytes(), "a".repeat(499).as_bytes()));
    }

    fn guard(ttl: u64) -> Authorizer {
        Authorizer {
            function: "authorizer".to_owned(),
            simple_responses: true,
            identity: vec![
                IdentitySource::Header("Authorization".to_owned()),
                IdentitySource::Query("k".to_owned()),
            ],
            ttl: Duration::from_secs(ttl),
        }
    }

    #[test]
    fn every_identity_source_must_have_a_value() {
        let of = |target: &str, headers: &[(&str, &str)]| {
            guard(0).identity_of(&incoming("GET", target, headers, b""))
        };
        let header = [("authorization", "Bearer x")];
        assert_eq!(of("/?k=1&k=2", &header), Some(vec!["Bearer x".to_owned(), "1,2".to_owned()]));
        assert_eq!(of("/", &header), None);
        assert_eq!(of("/?k=", &header), None);
        assert_eq!(of("/?k=1", &[]), None);
        assert_eq!(of("/?k=1", &[("authorization", "")]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_kept_for_their_time_and_their_identity() {
        let cache = Cache::default();
        let answer = Answer::Simple { allowed: false, context: Value::Null };
        let identity = |text: &str| vec![text.to_owned()];
        cache.put(&guard(0), identity("off"), &answer);
        assert_eq!(cache.get("authorizer", &identity("off")), None);

        cache.put(&guard(60), identity("a"), &answer);
        assert_eq!(cache.get("authorizer", &identity("a")), Some(answer.clone()));
        assert_eq!(cache.get("authorizer", &identity("b")), None);
        assert_eq!(cache.get("other", &identity("a")), None);

        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert_eq!(cache.get("authorizer", &identity("a")), Some(answer.clone()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get("authorizer", &identity("a")), None);
        cache.put(&guard(60), identity("b"), &answer);
        assert_eq!(cache.0.lock().unwrap().len(), 1, "expired results are removed");
    }
}
