//! The document of settings: one JSON object in place of many environment variables.
//!
//! A member is a setting: the name of its variable without `DAYPASS_`, in lower case. A number is a JSON number, and text is a
//! JSON string. The list of clients is a JSON array.

use super::{Lookup, Setting, Table};
use crate::base::json::object;
use serde_json::Value;
use std::collections::BTreeMap;

/// The variable that holds the document.
pub const SETTINGS: &str = "DAYPASS_SETTINGS";

/// Values of the environment and of the document in [`SETTINGS`].
pub struct Sources<'a> {
    environment: Lookup<'a>,
    /// Values of the document, by variable.
    document: BTreeMap<&'static str, String>,
}

impl<'a> Sources<'a> {
    /// Reads the document, and returns its problems too. A member is known if a function of `tables` has the setting: all
    /// functions get the same document.
    #[must_use]
    pub fn read(environment: Lookup<'a>, tables: &[Table]) -> (Self, Vec<String>) {
        let mut sources = Self { environment, document: BTreeMap::new() };
        let text = sources.get(SETTINGS).unwrap_or_else(|| "{}".to_owned());
        let Ok(members) = object(text.as_bytes()) else {
            return (sources, vec![format!("{SETTINGS} is not one JSON object with distinct members")]);
        };
        let mut problems = Vec::new();
        for (member, value) in members {
            if let Err(problem) = sources.add(&member, &value, tables) {
                problems.push(format!("`{member}` in {SETTINGS} {problem}"));
            }
        }
        (sources, problems)
    }

    fn add(&mut self, member: &str, value: &Value, tables: &[Table]) -> Result<(), String> {
        let mut known = tables.iter().flat_map(|table| table.settings);
        let setting = known.find(|setting| setting.member() == member).ok_or("is no setting")?;
        let text = match (setting, value) {
            (Setting::Number(_), Value::Number(number)) if number.is_u64() => number.to_string(),
            (Setting::Number(_), _) => return Err("must be a whole number".to_owned()),
            (Setting::Text(text), Value::Array(_)) if text.json => value.to_string(),
            (Setting::Text(text), _) if text.json => return Err("must be an array".to_owned()),
            (Setting::Text(_), Value::String(text)) => text.clone(),
            (Setting::Text(_), _) => return Err("must be text".to_owned()),
        };
        let name = setting.name();
        if self.get(name).is_some_and(|other| other != text) {
            return Err(format!("differs from the variable {name}"));
        }
        self.document.insert(name, text);
        Ok(())
    }

    /// The value of a setting, by its variable. An empty value counts as unset, because CloudFormation cannot leave out a
    /// single variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let set = (self.environment)(name).filter(|value| !value.is_empty());
        set.or_else(|| self.document.get(name).filter(|value| !value.is_empty()).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::authorizer::{self, AuthorizerConfig};
    use crate::config::{ConfigError, Text};

    fn read(document: &str, others: &[(&str, &str)]) -> Result<AuthorizerConfig, ConfigError> {
        let required = [
            (SETTINGS, document),
            ("DAYPASS_ISSUER", "https://id.example.com"),
            ("DAYPASS_AUDIENCE", "api"),
            ("DAYPASS_JWKS_URL", "https://id.example.com/jwks"),
        ];
        authorizer::read(|name| {
            let mut all = others.iter().chain(&required);
            all.find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn numbers_and_text_come_from_the_document() {
        let document = r#"{"max_access_token_seconds": 700, "context_claims": "jti exp", "routes": ""}"#;
        let config = read(document, &[]).unwrap();
        assert_eq!(config.max_token_lifetime.as_secs(), 700);
        assert_eq!(config.context_claims, ["jti", "exp"]);
        assert_eq!(config.routes, read("{}", &[]).unwrap().routes, "empty is unset");
        assert!(read(document, &[("DAYPASS_CONTEXT_CLAIMS", "jti exp")]).is_ok(), "twice the same");
        assert!(read("", &[]).is_ok());
    }

    /// invariant: Each wrong member of the settings document is an error that names it.
    #[test]
    fn wrong_members_are_named() {
        let check = |document: &str, expected: &str| {
            let error = read(document, &[("DAYPASS_CONTEXT_CLAIMS", "jti")]).unwrap_err().to_string();
            assert!(error.contains(expected), "{document}: {error}");
        };
        let malformed = "DAYPASS_SETTINGS is not one JSON object with distinct members";
        check("[]", malformed);
        check("{", malformed);
        check(r#"{"max_access_token_seconds": 700, "max_access_token_seconds": 800}"#, malformed);
        check(r#"{"access_token_secs": 300}"#, "`access_token_secs` in DAYPASS_SETTINGS is no setting");
        // The settings of another function's document.
        check(r#"{"grace_seconds": 30}"#, "`grace_seconds` in DAYPASS_SETTINGS is no setting");
        check(r#"{"settings": "{}"}"#, "`settings` in DAYPASS_SETTINGS is no setting");
        for wrong in [r#""700""#, "700.5", "-1", "true", "null"] {
            let document = format!(r#"{{"max_access_token_seconds": {wrong}}}"#);
            check(&document, "`max_access_token_seconds` in DAYPASS_SETTINGS must be a whole number");
        }
        check(r#"{"audience": ["api"]}"#, "`audience` in DAYPASS_SETTINGS must be text");
        check(r#"{"max_access_token_seconds": 1}"#, "DAYPASS_MAX_ACCESS_TOKEN_SECONDS is not a whole number");
        check(
            r#"{"context_claims": "exp"}"#,
            "`context_claims` in DAYPASS_SETTINGS differs from the variable DAYPASS_CONTEXT_CLAIMS",
        );
        check(r#"{"a": 1, "b": 2}"#, "`a` in DAYPASS_SETTINGS is no setting; `b` in");
    }

    #[test]
    fn json_is_an_array() {
        const LIST: Text = Text { name: "DAYPASS_LIST", doc: "", json: true };
        const TABLES: &[Table] =
            &[Table { function: "", settings: &[Setting::Text(&LIST)], check: |_| Ok(()) }];
        let sources = |document: &'static str| {
            let environment = move |name: &str| (name == SETTINGS).then(|| document.to_owned());
            let (sources, problems) = Sources::read(&environment, TABLES);
            (sources.get("DAYPASS_LIST"), problems)
        };
        assert_eq!(sources(r#"{"list": [{"a": "b"}]}"#), (Some(r#"[{"a":"b"}]"#.to_owned()), vec![]));
        let (value, problems) = sources(r#"{"list": "[]"}"#);
        assert_eq!((value, problems), (None, vec!["`list` in DAYPASS_SETTINGS must be an array".to_owned()]));
    }
}
