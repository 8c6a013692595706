//! Answers, in the form that each kind of API expects.

use crate::arn::{MAX_RESOURCE, MethodArn};
use daypass_core::access::Verified;
use daypass_core::routes::{Pattern, Permissions};
use serde::Serialize;
use serde_json::{Map, Value};

/// The largest answer that API Gateway takes, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// `principalId` where nobody has proved who they are.
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
        #[serde(skip_serializing_if = "Map::is_empty")]
        context: Context,
    },
    /// An IAM policy, which API Gateway may cache and then uses for **every** route of the API.
    #[serde(rename_all = "camelCase")]
    Policy {
        /// The user, for access logs.
        principal_id: String,
        /// What the caller may do.
        policy_document: Policy,
        /// What the integration behind may read.
        #[serde(skip_serializing_if = "Map::is_empty")]
        context: Context,
    },
}

/// What the integration behind the authorizer reads: flat scalars, the one form that every API type takes.
pub type Context = Map<String, Value>;

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
    /// Over [`MAX_ANSWER`].
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
    pub(crate) fn simple_refusal() -> Self {
        Self::Simple { is_authorized: false, context: Context::new() }
    }

    /// No to everything, where a policy is expected.
    pub(crate) fn policy_refusal(arn: &MethodArn<'_>) -> Self {
        let nothing = Permissions { all: false, allow: Vec::new(), deny: Vec::new() };
        Self::policy(arn, &nothing, None, Context::new())
    }

    /// Everything that a caller may do in this API and stage.
    pub(crate) fn policy(
        arn: &MethodArn<'_>,
        permissions: &Permissions<'_>,
        principal: Option<String>,
        context: Context,
    ) -> Self {
        let all = || vec![format!("{}/*", arn.stage)];
        let resources = |patterns: &[&Pattern]| -> Vec<String> {
            let ends = patterns.iter().flat_map(|pattern| pattern.resources());
            ends.map(|end| format!("{}/{end}", arn.stage)).collect()
        };
        let (allow, mut deny) = (resources(&permissions.allow), resources(&permissions.deny));
        let allow = if permissions.all { all() } else { allow };
        if allow.is_empty() {
            // A policy needs a statement, and a statement a resource.
            deny = all();
        }
        let statement = |effect, resource: Vec<String>| {
            let statement = Statement { action: "execute-api:Invoke", effect, resource };
            (!statement.resource.is_empty()).then_some(statement)
        };
        let statement = [statement("Allow", allow), statement("Deny", deny)].into_iter().flatten().collect();
        Self::Policy {
            principal_id: principal.unwrap_or_else(|| ANONYMOUS.to_owned()),
            policy_document: Policy { version: "2012-10-17", statement },
            context,
        }
    }

    /// The answer, if API Gateway takes it.
    ///
    /// # Errors
    /// [`Unanswerable`].
    pub(crate) fn fitting(self) -> Result<Self, Unanswerable> {
        if let Self::Policy { policy_document, .. } = &self {
            let mut resources = policy_document.statement.iter().flat_map(|statement| &statement.resource);
            if resources.any(|resource| resource.len() > MAX_RESOURCE) {
                return Err(Unanswerable::LongResource);
            }
        }
        // Texts, numbers and lists always become JSON.
        let bytes = serde_json::to_vec(&self).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_ANSWER { Err(Unanswerable::TooLarge) } else { Ok(self) }
    }
}

/// The context of a verified token: `sub`, `sid`, `client_id`, `scope`, and the `extra` claims that it has. A claim that is
/// no text, number or boolean stands there as its JSON.
pub(crate) fn context(verified: &Verified, extra: &[String]) -> Context {
    let mut context = Context::new();
    for (name, value) in [
        ("sub", &verified.subject),
        ("sid", &verified.session),
        ("client_id", &verified.client_id),
        ("scope", &verified.scope),
    ] {
        context.insert(name.to_owned(), Value::String(value.clone()));
    }
    for name in extra {
        let value = match verified.claims.get(name) {
            None | Some(Value::Null) => continue,
            Some(scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => scalar.clone(),
            Some(other) => Value::String(other.to_string()),
        };
        context.insert(name.clone(), value);
    }
    context
}
