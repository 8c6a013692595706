//! The parameters and environments of the template against the settings of the code.

use super::{Template, names, parameters_of, text};
use daypass_core::client::Clients;
use daypass_core::config;
use daypass_passwords::Passwords;
use daypass_verifier::config::Setting;
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use serde_json::{Value, json};

#[test]
fn each_function_is_told_what_its_configuration_reads() {
    let template = Template::read();
    for table in config::all_tables() {
        let told = template.environment(table.function).keys().map(String::as_str);
        let read = table.settings.iter().map(|setting| setting.name());
        assert_eq!(names(told), names(read), "{}", table.function);
    }
}

/// The parameter of a setting has its default, range and meaning. A setting without a parameter names a resource of the stack.
#[test]
fn parameters_agree_with_their_settings() {
    let template = Template::read();
    for table in config::all_tables() {
        for setting in table.settings {
            let value = &template.environment(table.function)[setting.name()];
            let value = if value == &issuer() { &json!({ "Ref": "Issuer" }) } else { value };
            let name =
                referenced(value).into_iter().find(|name| template.0["Parameters"].get(name).is_some());
            let parameter = name.map(|name| &template.0["Parameters"][name]);
            if let Setting::Number(number) = setting {
                let parameter = parameter.unwrap_or_else(|| panic!("{} has no parameter", number.name));
                assert_eq!(parameter["Type"], "Number", "{}", number.name);
                assert_eq!(parameter["Default"], number.default, "{}", number.name);
                assert_eq!(parameter["MinValue"], *number.range.start(), "{}", number.name);
                assert_eq!(parameter["MaxValue"], *number.range.end(), "{}", number.name);
            }
            if let Some(parameter) = parameter {
                assert_eq!(text(&parameter["Description"]), setting.doc(), "{}", setting.name());
            }
        }
    }
}

/// The names in the `!Ref` of a value, at any depth.
fn referenced(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("Ref").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(referenced)).collect()
        }
        Value::Array(values) => values.iter().flat_map(referenced).collect(),
        _ => Vec::new(),
    }
}

/// All functions of a stack start if only the parameters without a default are set.
#[test]
fn the_defaults_are_a_configuration() {
    let template = Template::read();
    for table in config::all_tables() {
        let environment = template.environment(table.function);
        let lookup = |name: &str| Some(example(&template.0["Parameters"], environment.get(name)?));
        assert_eq!((table.check)(&lookup), Ok(()), "{}", table.function);
        assert!(Passwords::configured(lookup).is_ok(), "{}", table.function);
    }
}

/// Where functions get the issuer.
fn issuer() -> Value {
    json!({ "Fn::GetAtt": "IssuerParameter.Value" })
}

/// A URL that Lambda makes for a function, in the region with the longest name.
const FUNCTION_URL: &str = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.ap-northeast-1.on.aws/";

/// The resource and the path of `!Sub ${Resource.FunctionUrl}path`.
pub(super) fn direct(value: &Value) -> Option<(&str, &str)> {
    let (resource, path) = value.get("Fn::Sub")?.as_str()?.strip_prefix("${")?.split_once("}")?;
    Some((resource.strip_suffix(".FunctionUrl")?, path))
}

/// The value as CloudFormation resolves it: the default of a parameter, an example if it has none, or the name of a table.
pub(super) fn example(parameters: &Value, value: &Value) -> String {
    if value.get("Fn::If").is_some() {
        // The conditions of the defaults.
        assert!(["FeedIsDirect", "KeysAreDirect"].contains(&text(&value["Fn::If"][0])), "{value}");
        return example(parameters, &value["Fn::If"][1]);
    }
    if let Some((_, path)) = direct(value) {
        return format!("{FUNCTION_URL}{path}");
    }
    if value.get("Fn::GetAtt").is_some() {
        if value == &issuer() {
            return "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com".to_owned();
        }
        assert_eq!(text(&value["Fn::GetAtt"]), "Keys.Jwks");
        return Jwks::new(vec![Jwk::ed25519(&[1; 32])]).to_json().expect("a key set is JSON");
    }
    let Some(name) = value.get("Ref").map(text) else {
        let parts = parameters_of(value).into_iter().map(|name| example(parameters, &json!({ "Ref": name })));
        return parts.collect::<Vec<_>>().join(" ");
    };
    match parameters.get(name).map(|parameter| &parameter["Default"]) {
        None if name.ends_with("Secret") => {
            format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf")
        }
        None => format!("daypass-{name}-1A2B3C4D5E6F"),
        Some(Value::Null) => format!("https://{name}.example"),
        Some(Value::String(default)) => default.clone(),
        Some(default) => default.to_string(),
    }
}

/// Code and template have the same default client.
#[test]
fn without_clients_the_code_and_the_template_mean_the_same() {
    let template = Template::read();
    let clients = Clients::parse(text(&template.0["Parameters"]["Clients"]["Default"])).unwrap();
    let lookup = |name: &str| match name {
        "DAYPASS_CLIENTS" => None,
        name => Some(example(&template.0["Parameters"], template.environment("login").get(name)?)),
    };
    assert_eq!(config::login(lookup).unwrap().clients, clients);
}

/// Lambda takes 4 KB of environment per function and measures it as JSON.
#[test]
fn the_longest_parameters_fit_into_the_environment() {
    /// CloudFormation's own names: stack (128), logical id, random part (12).
    fn table_name(id: &str) -> usize {
        128 + 1 + id.len() + 1 + 12
    }
    /// The same in the longest region and partition, with the six characters that Secrets Manager appends.
    fn arn_of_secret(id: &str) -> usize {
        "arn:aws-us-gov:secretsmanager:ap-northeast-1:123456789012:secret:".len() + table_name(id) + 7
    }
    /// Three RSA keys of 2048 bits: what a JWKS has after a rotation. Quotes are escaped.
    const JWKS: usize = 1600 * 5 / 4;
    /// The greatest length of a value in bytes.
    fn longest(parameters: &Value, value: &Value) -> usize {
        if let Some(choices) = value.get("Fn::If") {
            return longest(parameters, &choices[1]).max(longest(parameters, &choices[2]));
        }
        if let Some((_, path)) = direct(value) {
            return FUNCTION_URL.len() + path.len();
        }
        let below_issuer =
            value.get("Fn::Sub").and_then(|value| text(value).strip_prefix("${IssuerParameter.Value}/"));
        if let Some(path) = below_issuer {
            return longest(parameters, &issuer()) + "/".len() + path.len();
        }
        if value == &issuer() {
            // A domain, or a URL of API Gateway, is shorter.
            return longest(parameters, &json!({ "Ref": "Issuer" }));
        }
        if value.get("Fn::GetAtt").is_some() {
            assert_eq!(text(&value["Fn::GetAtt"]), "Keys.Jwks");
            return JWKS;
        }
        let Some(name) = value.get("Ref").map(text) else {
            let parts =
                parameters_of(value).into_iter().map(|name| longest(parameters, &json!({ "Ref": name })) + 1);
            return parts.sum::<usize>() - 1;
        };
        let Some(parameter) = parameters.get(name) else {
            return if name.ends_with("Secret") { arn_of_secret(name) } else { table_name(name) };
        };
        match (parameter["MaxLength"].as_u64(), parameter["MaxValue"].as_u64()) {
            // Each line break is two characters.
            (Some(most), _) if name == "Routes" => usize::try_from(most * 9 / 8).unwrap(),
            // JSON within JSON: up to one character in four is a quote, and each is escaped.
            (Some(most), _) if name == "Clients" => usize::try_from(most * 5 / 4).unwrap(),
            (Some(most), _) => usize::try_from(most).unwrap(),
            (None, Some(most)) => most.to_string().len(),
            (None, None) if ["HttpAnswer", "RevocationsWhenStale", "SigningAlgorithm"].contains(&name) => {
                "simple".len()
            }
            (None, None) => panic!("{name} has no limit"),
        }
    }

    let template = Template::read();
    for binary in template.functions().into_keys() {
        // Four quotes, a colon and a comma around each pair.
        let pairs = template.environment(binary).iter();
        let bytes: usize =
            pairs.map(|(name, value)| name.len() + longest(&template.0["Parameters"], value) + 6).sum();
        assert!(bytes <= 4096, "the environment of {binary} may take {bytes} bytes");
    }
}
