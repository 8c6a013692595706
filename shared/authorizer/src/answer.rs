//! Answers, in the form that each kind of API expects.

use crate::arn::{MAX_RESOURCE, MethodArn};
use daypass_verifier::jose::verify::Verified;
use daypass_verifier::routes::{Pattern, Permissions};
use serde::Serialize;
use serde_json::{Map, Value};

/// The largest answer that API Gateway takes, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// `principalId` of an anonymous caller.
const ANONYMOUS: &str = "anonymous";

/// An answer in the form that the calling API expects.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// HTTP API, payload format 2.0, with simple responses.
    #[serde(rename_all = "camelCase")]
    Simple {
        /// Whether the request may pass.
        is_authorized: bool,
        /// What the integration behind may read.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<CallerContext>,
    },
    /// An IAM policy, which API Gateway may cache and then uses for **every** route of the API.
    #[serde(rename_all = "camelCase")]
    Policy {
        /// The user, for access logs.
        principal_id: String,
        /// What the caller may do.
        policy_document: Policy,
        /// What the integration behind may read.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<CallerContext>,
    },
}

/// What the integration behind the authorizer reads: flat scalars, the one form that every API type takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CallerContext {
    sub: String,
    sid: String,
    client_id: String,
    scope: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    account: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// An IAM policy document.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

/// A statement of the policy.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    action: &'static str,
    effect: &'static str,
    resource: Vec<String>,
}

/// Why an answer cannot be given: API Gateway would make a 500 of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswerable {
    /// The response exceeds [`MAX_ANSWER`].
    TooLarge,
    /// A resource over [`MAX_RESOURCE`].
    LongResource,
}

impl Unanswerable {
    /// What the operator can do.
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
    /// No, for an HTTP API with simple responses.
    pub(crate) const fn simple_refusal() -> Self {
        Self::Simple { is_authorized: false, context: None }
    }

    /// No to everything, where a policy is expected.
    pub(crate) fn policy_refusal(arn: &MethodArn<'_>) -> Self {
        let nothing = Permissions { all: false, allow: Vec::new(), deny: Vec::new() };
        Self::policy(Policy::new(arn, &nothing), None)
    }

    /// A policy for the user of the context.
    pub(crate) fn policy(policy_document: Policy, context: Option<CallerContext>) -> Self {
        let principal_id =
            context.as_ref().map_or_else(|| ANONYMOUS.to_owned(), |context| context.sub.clone());
        Self::Policy { principal_id, policy_document, context }
    }

    /// The answer, if API Gateway takes it.
    ///
    /// # Errors
    /// [`Unanswerable`].
    pub(crate) fn fitting(self) -> Result<Self, Unanswerable> {
        if self.resources().any(|resource| resource.len() > MAX_RESOURCE) {
            return Err(Unanswerable::LongResource);
        }
        // Nearly every answer is far below the limit, and need not be written twice to know it.
        if self.bytes_at_most().is_none_or(|bytes| bytes > MAX_ANSWER) {
            // Texts, numbers and lists always become JSON.
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

    /// More bytes than the JSON has, found without writing it; `None` where that takes a closer look.
    fn bytes_at_most(&self) -> Option<usize> {
        /// Names, braces and the fixed texts, twice over.
        const FRAME: usize = 600;
        /// A character of JSON takes six bytes at most, and a text two quotes and a comma.
        const fn written(text: &str) -> usize {
            text.len() * 6 + 3
        }
        let (Self::Simple { context, .. } | Self::Policy { context, .. }) = self;
        let context = match context {
            None => 0,
            Some(context) if !context.extra.is_empty() => return None,
            // The user stands there twice in a policy.
            Some(CallerContext { sub, sid, client_id, scope, .. }) => {
                written(sub) * 2 + written(sid) + written(client_id) + written(scope)
            }
        };
        Some(FRAME + context + self.resources().map(|resource| written(resource)).sum::<usize>())
    }
}

impl Policy {
    /// Everything that a caller may do in this API and stage.
    pub(crate) fn new(arn: &MethodArn<'_>, permissions: &Permissions<'_>) -> Self {
        let all = || vec![format!("{}/*", arn.stage)];
        let resources = |patterns: &[&Pattern]| -> Vec<String> {
            let ends = patterns.iter().flat_map(|pattern| pattern.resources());
            ends.map(|end| format!("{}/{end}", arn.stage)).collect()
        };
        let allow = if permissions.all { all() } else { resources(&permissions.allow) };
        // A policy needs a statement, and a statement a resource.
        let deny = if allow.is_empty() { all() } else { resources(&permissions.deny) };
        let statement = |effect, resource: Vec<String>| {
            let statement = Statement { action: "execute-api:Invoke", effect, resource };
            (!statement.resource.is_empty()).then_some(statement)
        };
        let statement = [statement("Allow", allow), statement("Deny", deny)].into_iter().flatten().collect();
        Self { version: "2012-10-17", statement }
    }
}

impl CallerContext {
    /// The context of a verified token, with the `extra` claims that it has. A claim that is no text, number or boolean
    /// stands there as its JSON.
    pub(crate) fn new(verified: Verified, extra: &[String]) -> Self {
        let mut others = Map::new();
        for name in extra {
            let value = match verified.claims.get(name) {
                None | Some(Value::Null) => continue,
                Some(scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => scalar.clone(),
                Some(other) => Value::String(other.to_string()),
            };
            others.insert(name.clone(), value);
        }
        let account = verified.claims.get("account") == Some(&Value::Bool(true));
        Self {
            sub: verified.subject,
            sid: verified.session,
            client_id: verified.client_id,
            scope: verified.scope,
            account,
            extra: others,
        }
    }
}
