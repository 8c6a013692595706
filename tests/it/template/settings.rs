//! The parameters and environments of the template against the settings of the code.

use super::{Names, Template, names, parameters_of, text};
use daypass_core::config;
use daypass_passwords::Passwords;
use daypass_verifier::config::{SETTINGS, Setting, authorizer};
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use serde_json::{Map, Value, json};

/// Each function has the document of settings, and settings of its own table. What it lacks has a default, as
/// [`the_defaults_are_a_configuration`] shows.
#[test]
fn each_function_is_told_what_its_configuration_reads() {
    let template = Template::read();
    for table in config::all_tables() {
        let document = if table.function == "authorizer" { "AuthorizerSettings" } else { "Settings" };
        let environment = template.environment(table.function);
        assert_eq!(environment[SETTINGS], json!({ "Ref": document }), "{}", table.function);
        let read = names(table.settings.iter().map(|setting| setting.name()));
        for variable in environment.keys().filter(|variable| *variable != SETTINGS) {
            assert!(read.contains(variable), "{} does not read {variable}", table.function);
        }
    }
}

/// The keys check the settings, and each function that reads them waits for that.
#[test]
fn functions_get_settings_that_were_checked() {
    let template = Template::read();
    let keys = &template.resource("Keys")["Properties"];
    for document in ["Settings", "AuthorizerSettings"] {
        assert_eq!(keys[document], json!({ "Ref": document }));
    }
    assert_eq!(keys["Issuer"], issuer());
    for (binary, function) in template.functions() {
        let waits = match binary {
            "rotate-keys" => continue,
            "authorizer" => {
                template.environment(binary)["DAYPASS_JWKS"] == json!({ "Fn::GetAtt": "Keys.Jwks" })
            }
            _ => function["DependsOn"] == "Keys",
        };
        assert!(waits, "{binary}");
    }
}

/// A setting in both the document and a parameter would have two places.
///
/// invariant: Each setting has one place: the settings document, a parameter or a resource of the stack.
#[test]
fn a_setting_has_one_place() {
    let template = Template::read();
    for table in config::all_tables() {
        for setting in table.settings {
            let value = template.environment(table.function).get(setting.name());
            match setting {
                Setting::Number(number) => assert_eq!(value, None, "{} is in the document", number.name),
                // A list in the document, or a secret of the operator.
                Setting::Text(text) if text.json => {
                    let secret = json!({ "Ref": "ClientsSecretArn" });
                    assert_eq!(value, Some(&secret), "{} is in the document", text.name);
                    continue;
                }
                Setting::Text(_) => {}
            }
            let Some(value) = value else { continue };
            let value = if value == &issuer() { &json!({ "Ref": "Issuer" }) } else { value };
            let parameter = referenced(value).into_iter().find_map(|name| template.0["Parameters"].get(name));
            if let Some(parameter) = parameter {
                assert_eq!(text(&parameter["Description"]), setting.doc(), "{}", setting.name());
            }
        }
    }
}

/// invariant: The main stack has at most 20 parameters.
#[test]
fn a_person_can_read_all_parameters() {
    let parameters = Template::read().0["Parameters"].as_object().unwrap().len();
    assert!(parameters <= 20, "{parameters} parameters");
}

/// A document that names every setting at its greatest length is within the parameter of the stack.
#[test]
fn all_settings_fit_into_the_documents() {
    let template = Template::read();
    for (tables, parameter) in [(config::TABLES, "Settings"), (authorizer::TABLES, "AuthorizerSettings")] {
        let given: Names =
            tables.iter().flat_map(|table| template.environment(table.function).keys().cloned()).collect();
        let mut document = Map::new();
        let settings = tables.iter().flat_map(|table| table.settings);
        let in_document = |setting: &&Setting| setting.name() == CLIENTS || !given.contains(setting.name());
        for setting in settings.filter(in_document) {
            let value = match setting {
                Setting::Number(number) => json!(number.range.end()),
                // Of the clients, as many as there is room for.
                Setting::Text(text) if text.json => json!([]),
                Setting::Text(text) => json!("x".repeat(longest_text(text.name))),
            };
            document.insert(setting.member(), value);
        }
        let length = Value::from(document).to_string().len();
        let most =
            usize::try_from(template.0["Parameters"][parameter]["MaxLength"].as_u64().unwrap()).unwrap();
        assert!(length <= most, "{parameter}: {length} bytes, and the stack takes {most}");
    }
}

const CLIENTS: &str = config::CLIENTS.name;

/// Length of a text setting of a document, in bytes.
fn longest_text(name: &str) -> usize {
    match name {
        "DAYPASS_ARGON2" => "m=999999,t=99".len(),
        "DAYPASS_IMPORTED_HASHES" => 256,
        "DAYPASS_CONTEXT_CLAIMS" => 100,
        "DAYPASS_DPOP_ORIGINS" => 96,
        "DAYPASS_MAIL_FROM" => 120,
        "DAYPASS_MAIL_TEMPLATES" => 40,
        // Either this or the URL is set.
        "DAYPASS_MIGRATE_COGNITO" => "ap-southeast-2:".len() + 26,
        "DAYPASS_MIGRATE_URL" => 128,
        "DAYPASS_PASSKEY_RP_ID" => 40,
        "DAYPASS_PASSKEY_ORIGINS" => 60,
        "DAYPASS_SIGNING_ALGORITHM" | "DAYPASS_REVOCATIONS_WHEN_STALE" => "closed".len(),
        other => panic!("{other} has no limit"),
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
        assert!(Passwords::configured(config::lookup(&lookup)).is_ok(), "{}", table.function);
    }
}

/// Where functions get the issuer.
fn issuer() -> Value {
    json!({ "Fn::GetAtt": "IssuerParameter.Value" })
}

/// The name of the configuration set of SES.
fn configuration_set() -> Value {
    json!({ "Fn::Sub": "${AWS::StackName}-mail" })
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
    if value == &configuration_set() {
        return "daypass-mail".to_owned();
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
    fn jwks() -> usize {
        let key = |byte| Jwk::rs256(&[byte; 256], &[1, 0, 1]);
        json!(Jwks::new([1, 2, 3].map(key).to_vec()).to_json().unwrap()).to_string().len()
    }
    /// The greatest length of a value in bytes.
    fn longest(parameters: &Value, value: &Value) -> usize {
        if let Some(choices) = value.get("Fn::If") {
            return longest(parameters, &choices[1]).max(longest(parameters, &choices[2]));
        }
        if let Some((_, path)) = direct(value) {
            return FUNCTION_URL.len() + path.len();
        }
        if value == &configuration_set() {
            // SES takes no longer name.
            return 64;
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
            return jwks();
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
            // JSON within JSON, and each quote is escaped. The authorizer's members are mostly numbers.
            (Some(most), _) if name == "AuthorizerSettings" => usize::try_from(most).unwrap() + 20,
            (Some(most), _) if name == "Settings" => usize::try_from(most * 5 / 4).unwrap(),
            (Some(most), _) => usize::try_from(most).unwrap(),
            (None, Some(most)) => most.to_string().len(),
            (None, None) if name == "HttpAnswer" => "simple".len(),
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
