//! The configuration reference, from the tables of settings and `template.yaml`.

use super::read;
use daypass_core::config::all_tables;
use daypass_docs::{escaped, snapshot};
use daypass_gateway::template::parse;
use daypass_verifier::config::{Number, Setting};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

struct Template(Value);

impl Template {
    fn read() -> Self {
        Self(parse(&read("template.yaml")).unwrap())
    }

    fn parameters(&self) -> &Map<String, Value> {
        self.0["Parameters"].as_object().unwrap()
    }

    /// The parameter that sets a variable, if one does.
    fn parameter_of(&self, variable: &str) -> Option<&str> {
        let functions = self.0["Resources"].as_object().unwrap().values();
        let values = functions.map(|one| &one["Properties"]["Environment"]["Variables"][variable]);
        values.filter_map(|value| self.referenced(value)).next()
    }

    /// Whether the stack sets a variable. Otherwise the setting is a member of the document.
    fn sets(&self, variable: &str) -> bool {
        let mut functions = self.0["Resources"].as_object().unwrap().values();
        functions.any(|one| !one["Properties"]["Environment"]["Variables"][variable].is_null())
    }

    fn referenced<'a>(&'a self, value: &'a Value) -> Option<&'a str> {
        match value {
            // The issuer is a parameter, the domain or the URL of the API: SSM has the result.
            Value::Object(members)
                if members.get("Fn::GetAtt").is_some_and(|it| it == "IssuerParameter.Value") =>
            {
                Some("Issuer")
            }
            Value::Object(members) => match members.get("Ref") {
                Some(Value::String(name)) if self.parameters().contains_key(name) => Some(name),
                _ => members.values().find_map(|value| self.referenced(value)),
            },
            Value::Array(values) => values.iter().find_map(|value| self.referenced(value)),
            _ => None,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Default and range of a parameter.
fn limits(parameter: &Value) -> (String, String) {
    let default = match parameter.get("Default").map(text) {
        None => "required".to_owned(),
        Some(default) if default.is_empty() => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let values = match (&parameter["AllowedValues"], &parameter["MinValue"], &parameter["MaxLength"]) {
        (Value::Array(values), ..) => {
            values.iter().map(|value| format!("`{}`", text(value))).collect::<Vec<_>>().join(", ")
        }
        (_, Value::Number(least), _) => format!("{least} to {}", parameter["MaxValue"]),
        (_, _, Value::Number(most)) => format!("at most {most} characters"),
        _ => String::new(),
    };
    (default, values)
}

fn configuration() -> String {
    let template = Template::read();
    let mut page = "# Configuration\n\n\
        The functions read environment variables at start. The stack sets some from its template parameters. It passes all \
        other settings as members of a JSON object: the parameter `Settings` for the functions of the issuer, and \
        `AuthorizerSettings` for the authorizer.\n\
        Both arrive in the variable `DAYPASS_SETTINGS`. A member is the name of a variable without `DAYPASS_`, in lower case. \
        A number is a JSON number, the clients are an array, and everything else is a string.\n\n\
        ```json\n{\"clients\": [{\"client_id\": \"web\", \"scope\": \"orders:read\"}], \"idle_seconds\": 86400}\n```\n\n\
        `daypass config check FILE` checks a document as the functions do.\n\
        A deployment with an invalid document fails, and the running functions keep the old one.\n\
        A function that starts with an invalid setting ends at once. So does a function with an unknown member, or with a member that differs from its variable. \
        The event `init.failed` names every problem.\n\
        A deployment does not check the route table: an error in `Routes` ends the authorizer at its start.\n\
        An empty variable counts as unset.\n\n\
        This page is generated from the tables in `shared/core/src/config/mod.rs` and \
        `shared/verify/src/config/authorizer.rs`, and from `template.yaml`.\n\n\
        ## Settings\n\n\
        | Variable | Functions | Default | Range | Parameter or member | Meaning |\n|---|---|---|---|---|---|\n"
        .to_owned();
    let mut settings: BTreeMap<&str, (&Setting, Vec<String>)> = BTreeMap::new();
    for table in all_tables() {
        for setting in table.settings {
            let (_, functions) = settings.entry(setting.name()).or_insert((setting, Vec::new()));
            let function = format!("`{}`", table.function);
            // Two fields of a function can read one setting.
            if !functions.contains(&function) {
                functions.push(function);
            }
        }
    }
    for (name, (setting, functions)) in &settings {
        let parameter = template.parameter_of(name);
        let (default, range) = match (setting, parameter) {
            (Setting::Number(Number { default, range, unit, .. }), _) => {
                (format!("`{default}`"), format!("{} to {} {unit}", range.start(), range.end()))
            }
            (Setting::Text(text), _) if text.json => ("optional".to_owned(), String::new()),
            (Setting::Text(_), Some(parameter)) => limits(&template.parameters()[parameter]),
            (Setting::Text(_), None) if template.sets(name) => ("required".to_owned(), String::new()),
            (Setting::Text(_), None) => ("optional".to_owned(), String::new()),
        };
        let functions = functions.join(", ");
        let parameter = match parameter {
            // A list in the document, or a secret of the operator.
            Some(name) if matches!(setting, Setting::Text(text) if text.json) => {
                format!("`{}` or `{name}`", setting.member())
            }
            Some(name) => format!("`{name}`"),
            None if template.sets(name) => String::new(),
            None => format!("`{}`", setting.member()),
        };
        let meaning = escaped(setting.doc());
        writeln!(page, "| `{name}` | {functions} | {default} | {range} | {parameter} | {meaning} |").unwrap();
    }
    page.push_str(
        "\nThe command `daypass` reads `DAYPASS_SETTINGS`, `DAYPASS_KEYS`, `DAYPASS_STACK`, the `DAYPASS_…_TABLE` variables, `DAYPASS_ARGON2`, \
         `DAYPASS_IMPORTED_HASHES`, `DAYPASS_MIN_PASSWORD_CHARS` and the usual `AWS_…` variables.\n\n\
         ## Template parameters\n",
    );
    let groups = &template.0["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped = BTreeSet::new();
    for group in groups.as_array().unwrap() {
        let label = text(&group["Label"]["default"]);
        write!(page, "\n### {label}\n\n| Parameter | Default | Values | Meaning |\n|---|---|---|---|\n")
            .unwrap();
        for name in group["Parameters"].as_array().unwrap().iter().map(text) {
            let parameter = &template.parameters()[&name];
            let (default, values) = limits(parameter);
            let meaning = escaped(&text(&parameter["Description"]));
            writeln!(page, "| `{name}` | {default} | {values} | {meaning} |").unwrap();
            assert!(grouped.insert(name.clone()), "{name} is in two groups");
        }
    }
    let all: BTreeSet<String> = template.parameters().keys().cloned().collect();
    assert_eq!(grouped, all, "each parameter is in a group");
    page.push_str(
        "\n## Outputs\n\nThe stack exports each output as `STACK-NAME`.\n\n| Output | Meaning |\n|---|---|\n",
    );
    for (name, output) in template.0["Outputs"].as_object().unwrap() {
        writeln!(page, "| `{name}` | {} |", escaped(&text(&output["Description"]))).unwrap();
    }
    page
}

/// `UPDATE_SNAPSHOTS=1` writes the page. It has every variable, parameter and output.
#[test]
fn the_configuration_reference_is_up_to_date() {
    snapshot("docs/reference/configuration.md", &configuration());
}
