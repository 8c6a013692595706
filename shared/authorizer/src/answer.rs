//! Responses of the authorizer, in the form that each kind of API expects.

use crate::arn::{MAX_RESOURCE, MethodArn};
use daypass_verifier::jose::dpop::Thumbprint;
use daypass_verifier::jose::verify::{Verified, has_control_character};
use daypass_verifier::routes::{Challenge, Pattern, Permissions, Target};
use serde::Serialize;
use serde_json::{Map, Value};

/// The largest response that API Gateway accepts, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// `principalId` of a request without a token.
const ANONYMOUS: &str = "anonymous";

/// A response in the form that the calling API expects.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Simple response of an HTTP API with payload format 2.0.
    #[serde(rename_all = "camelCase")]
    Simple {
        /// Whether API Gateway calls the integration.
        is_authorized: bool,
        /// Values for the integration.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<CallerContext>,
    },
    /// An IAM policy. API Gateway may cache it, and then applies it to **every** route of the API.
    #[serde(rename_all = "camelCase")]
    Policy {
        /// The user id, for access logs.
        principal_id: String,
        /// The routes that the caller may call.
        policy_document: Policy,
        /// Values for the integration.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<CallerContext>,
    },
}

/// The context that the integration reads. Its values are scalars, the one form that every kind of API accepts.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CallerContext {
    sub: String,
    sid: String,
    client_id: String,
    scope: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    account: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    /// The key that the token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    jkt: Option<Thumbprint>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// An IAM policy document of version 2012-10-17.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

/// A statement of the policy for `execute-api:Invoke`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    action: &'static str,
    effect: &'static str,
    resource: Vec<String>,
}

/// A response that API Gateway would turn into a 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswerable {
    /// The response exceeds [`MAX_ANSWER`].
    TooLarge,
    /// A resource is over [`MAX_RESOURCE`].
    LongResource,
}

impl Unanswerable {
    /// The remedy, for the log.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "the answer is over the 8 KB that API Gateway takes: fewer routes, context claims or scopes"
            }
            Self::LongResource => {
                "a resource is over the 512 characters that API Gateway takes: shorten a path of the routes"
            }
        }
    }
}

impl Answer {
    /// The denial for an HTTP API with simple responses.
    pub(crate) const fn simple_refusal() -> Self {
        Self::Simple { is_authorized: false, context: None }
    }

    /// The denial of every route, where the API expects a policy.
    pub(crate) fn policy_refusal(arn: &MethodArn<'_>) -> Self {
        let nothing = Permissions { all: false, allow: Vec::new(), deny: Vec::new() };
        Self::policy(Policy::new(arn, &nothing), None)
    }

    /// A policy, with the user of the context as its principal.
    pub(crate) fn policy(policy_document: Policy, context: Option<CallerContext>) -> Self {
        let principal_id =
            context.as_ref().map_or_else(|| ANONYMOUS.to_owned(), |context| context.sub.clone());
        Self::Policy { principal_id, policy_document, context }
    }

    /// The response, if API Gateway accepts it.
    ///
    /// # Errors
    /// [`Unanswerable`] when it or a resource is too large.
    pub(crate) fn fitting(self) -> Result<Self, Unanswerable> {
        if self.resources().any(|resource| resource.len() > MAX_RESOURCE) {
            return Err(Unanswerable::LongResource);
        }
        // Nearly every response is far below the limit, which the upper bound shows without serialising it.
        if self.bytes_at_most().is_none_or(|bytes| bytes > MAX_ANSWER) {
            // Strings, numbers and lists always become JSON.
            let bytes = serde_json::to_vec(&self).map_or(usize::MAX, |json| json.len());
            if bytes > MAX_ANSWER {
                return Err(Unanswerable::TooLarge);
            }
        }
        Ok(self)
    }

    fn resources(&self) -> impl Iterator<Item = &String> {
        let statements = match self {
            Self::Policy { policy_document, .. } => policy_document.statement.as_slice(),
            Self::Simple { .. } => &[],
        };
        statements.iter().flat_map(|statement| &statement.resource)
    }

    /// An upper bound of the bytes of the JSON, without serialising it. `None` where only serialising tells.
    fn bytes_at_most(&self) -> Option<usize> {
        /// Member names, braces and fixed strings, twice over.
        const FRAME: usize = 600;
        /// Upper bound of a JSON string: six bytes for each byte, two quotes and a comma.
        const fn written(text: &str) -> usize {
            text.len() * 6 + 3
        }
        let (Self::Simple { context, .. } | Self::Policy { context, .. }) = self;
        let context = match context {
            None => 0,
            Some(context) if !context.extra.is_empty() => return None,
            // A policy contains the user twice.
            Some(CallerContext { sub, sid, client_id, scope, .. }) => {
                written(sub) * 2 + written(sid) + written(client_id) + written(scope)
            }
        };
        Some(FRAME + context + self.resources().map(|resource| written(resource)).sum::<usize>())
    }
}

impl Policy {
    /// The policy of a caller for this API and stage.
    pub(crate) fn new(arn: &MethodArn<'_>, permissions: &Permissions<'_>) -> Self {
        let all = || vec![format!("{}/*", arn.stage)];
        let resources = |patterns: &[&Pattern]| -> Vec<String> {
            let ends = patterns.iter().flat_map(|pattern| pattern.resources());
            ends.map(|end| format!("{}/{end}", arn.stage)).collect()
        };
        let allow = if permissions.all { all() } else { resources(&permissions.allow) };
        // A policy needs a statement, and a statement a resource.
        let deny = if allow.is_empty() { all() } else { resources(&permissions.deny) };
        Self::of(allow, deny)
    }

    /// The policy that allows the called method alone. `None` if its resource is too long, or has a character that a policy reads as
    /// a wildcard.
    pub(crate) fn of_call(arn: &MethodArn<'_>) -> Option<Self> {
        let resource = match arn.target {
            Target::Http { method, path } => format!("{}/{method}{path}", arn.stage),
            Target::Connect => format!("{}/$connect", arn.stage),
        };
        let fits = resource.len() <= MAX_RESOURCE && !resource.contains(['*', '?', '$']);
        (fits || arn.is_connect()).then(|| Self::of(vec![resource], Vec::new()))
    }

    fn of(allow: Vec<String>, deny: Vec<String>) -> Self {
        let statement = |effect, resource: Vec<String>| {
            let statement = Statement { action: "execute-api:Invoke", effect, resource };
            (!statement.resource.is_empty()).then_some(statement)
        };
        let statement = [statement("Allow", allow), statement("Deny", deny)].into_iter().flatten().collect();
        Self { version: "2012-10-17", statement }
    }
}

/// Whether a claim that the context carries besides those of every token contains a control character. The verifier checks
/// the others.
pub(crate) fn context_has_control_character(verified: &Verified, extra: &[String]) -> bool {
    extra.iter().filter_map(|name| context_value(verified.claims.get(name)?)).any(|value| match value {
        Value::String(text) => has_control_character(&text),
        _ => false,
    })
}

/// A claim as the context carries it: a string, number or boolean, and another value as its JSON. `None` for `null`.
fn context_value(claim: &Value) -> Option<Value> {
    match claim {
        Value::Null => None,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(claim.clone()),
        Value::Array(_) | Value::Object(_) => Some(Value::String(claim.to_string())),
    }
}

impl CallerContext {
    /// The context of a verified token, with those of the `extra` claims that the token has.
    pub(crate) fn new(verified: Verified, extra: &[String]) -> Self {
        let value = |name: &String| Some((name.clone(), context_value(verified.claims.get(name)?)?));
        // Those are members of their own.
        let is_own = |name: &&String| ["account", "auth_time", "acr"].contains(&name.as_str());
        let extra = extra.iter().filter(|name| !is_own(name)).filter_map(value).collect();
        let acr = verified.claims.get("acr").and_then(Value::as_str);
        let account = verified.claims.get("account") == Some(&Value::Bool(true));
        Self {
            sub: verified.subject,
            sid: verified.session,
            client_id: verified.client_id,
            scope: verified.scope,
            account,
            auth_time: verified.claims.get("auth_time").and_then(Value::as_u64),
            acr: ["1", "2"].into_iter().find(|class| acr == Some(class)),
            jkt: verified.key,
            extra,
        }
    }

    /// The same context with a challenge, which a gateway response can turn into the header `WWW-Authenticate`.
    pub(crate) fn with_challenge(mut self, challenge: Challenge) -> Self {
        self.extra.extend(challenge.members());
        self.extra.insert("challenge".to_owned(), challenge.to_string().into());
        self
    }
}
