//! The process environment: variables, current folder, and the ways to select a store.

use crate::output::Failure;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables that select a store or a key set. Any of them disables the local stack. Variables that select nothing,
/// such as `AWS_CA_BUNDLE`, are not in the list.
const CHOOSING: [&str; 18] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "DAYPASS_ATTEMPTS_TABLE",
    "DAYPASS_KEYS",
    "DAYPASS_MACHINES",
    "DAYPASS_SESSIONS_TABLE",
    "DAYPASS_USERS_TABLE",
];

/// Variables of [`CHOOSING`] that provide credentials or a region.
const IDENTIFYING: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];

pub(crate) const WAYS: &str = "start the local stack with `cargo dev` in a checkout of Daypass, or name a DynamoDB on this machine \
    with --endpoint URL or AWS_ENDPOINT_URL, or select an AWS account with AWS_PROFILE (or AWS_ACCESS_KEY_ID and \
    AWS_SECRET_ACCESS_KEY) and AWS_REGION, and a stack in it with --stack";

/// The process environment: variables and current folder.
pub struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that a deployed stack replaces.
    stack: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
}

impl<'a> Environment<'a> {
    /// From a lookup of variables and the current folder.
    #[must_use]
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>, folder: PathBuf) -> Self {
        Self { lookup, stack: BTreeMap::new(), folder }
    }

    /// Value of a variable. An empty variable counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = self.stack.get(name).cloned().or_else(|| (self.lookup)(name));
        value.filter(|value| !value.trim().is_empty())
    }

    /// The same environment with the variables of a stack.
    pub(crate) fn with(&self, stack: Option<BTreeMap<String, String>>) -> Self {
        Self { lookup: self.lookup, stack: stack.unwrap_or_default(), folder: self.folder.clone() }
    }

    /// Checks that no variable names tables or keys, which could be those of another stack.
    ///
    /// # Errors
    /// The first such variable.
    pub(crate) fn without_names(&self) -> Result<(), Failure> {
        match CHOOSING.iter().find(|name| name.starts_with("DAYPASS_") && self.get(name).is_some()) {
            None => Ok(()),
            Some(name) => Err(Failure::usage(
                format!("--stack and {name} both name tables or keys"),
                format!("unset {name}, or omit --stack (and DAYPASS_STACK)"),
            )),
        }
    }

    /// Whether a stack names the tables.
    pub(crate) fn has_stack(&self) -> bool {
        !self.stack.is_empty()
    }

    pub(crate) fn has_choice(&self) -> bool {
        CHOOSING.iter().any(|name| self.get(name).is_some())
    }

    /// Whether variables provide AWS credentials or a region.
    pub(crate) fn has_identity(&self) -> bool {
        IDENTIFYING.iter().any(|name| self.get(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_chooses_nothing_is_no_choice() {
        let has = |set: &str, value: &str| {
            Environment::new(&|name| (name == set).then(|| value.to_owned()), PathBuf::new()).has_choice()
        };
        assert!(has("AWS_PROFILE", "work") && has("DAYPASS_KEYS", "keys.json"));
        assert!(!has("AWS_CA_BUNDLE", "ca.pem") && !has("AWS_PROFILE", "") && !has("HOME", "x"));
    }
}
