//! `template.yaml`, read as data and held against the code: what is deployed is what the functions expect.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::client::Clients;
use daypass_core::config;
use daypass_core::http::discovery::Discovery;
use daypass_dynamodb::schema::{Role, TABLES};
use daypass_gateway::template::parse;
use daypass_verifier::config::ConfigError;
use daypass_verifier::config::authorizer;
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

mod alarms;
mod api;

type Names = BTreeSet<String>;

/// The names of some things, for comparison without order.
fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> Names {
    of.into_iter().map(str::to_owned).collect()
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests live in a folder of the repository")
}

/// The template, with the short forms of CloudFormation written out: `!Ref X` is `{"Ref": "X"}`, `!GetAtt X.Arn` is
/// `{"Fn::GetAtt": "X.Arn"}`.
struct Template(Value);

impl Template {
    fn read() -> Self {
        let text = fs::read_to_string(root().join("template.yaml")).expect("template.yaml cannot be read");
        Self(parse(&text).expect("template.yaml is not YAML"))
    }

    /// The resources of a type, by logical id.
    fn resources(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.0["Resources"].as_object().expect("Resources is not a mapping");
        all.iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(id, resource)| (id.as_str(), resource))
    }

    fn resource(&self, id: &str) -> &Value {
        self.0["Resources"].get(id).unwrap_or_else(|| panic!("there is no resource {id}"))
    }

    /// The functions, by the name of their binary.
    fn functions(&self) -> BTreeMap<&str, &Value> {
        self.resources("AWS::Serverless::Function")
            .map(|(id, function)| {
                let binary = &function["Metadata"]["BuildProperties"]["Binary"];
                (binary.as_str().unwrap_or_else(|| panic!("{id} names no binary")), function)
            })
            .collect()
    }

    fn environment(&self, binary: &str) -> &Map<String, Value> {
        let variables = &self.functions()[binary]["Properties"]["Environment"]["Variables"];
        variables.as_object().unwrap_or_else(|| panic!("{binary} has no environment"))
    }

    /// The statements of a function's role, those under a condition included.
    fn statements(&self, binary: &str) -> Vec<&Value> {
        let role = get_att(&self.functions()[binary]["Properties"]["Role"], "Arn");
        let policies = self.resource(role)["Properties"]["Policies"].as_array().expect("a role has policies");
        policies
            .iter()
            .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]))
            .map(|statement| statement.pointer("/Fn::If/1").unwrap_or(statement))
            .collect()
    }

    /// What a function may do: each action with the resource that it is for.
    fn grants(&self, binary: &str) -> BTreeSet<(String, String)> {
        let statements = self.statements(binary);
        let pairs = statements.iter().flat_map(|statement| {
            list(&statement["Action"]).into_iter().flat_map(|action| {
                list(&statement["Resource"])
                    .into_iter()
                    .map(|resource| (text(action).to_owned(), target(resource).to_owned()))
            })
        });
        pairs.collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// A value that may stand alone or in a list, as IAM allows.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// The logical id in `!GetAtt ID.ATTRIBUTE`.
fn get_att<'a>(value: &'a Value, attribute: &str) -> &'a str {
    let path = text(&value["Fn::GetAtt"]);
    path.strip_suffix(attribute)
        .and_then(|id| id.strip_suffix('.'))
        .unwrap_or_else(|| panic!("{path} is not .{attribute}"))
}

/// The parameter or resource that the resource of a statement stands for. Never text: an ARN with a `*` in it is refused.
fn target(value: &Value) -> &str {
    if value.get("Fn::Sub").is_some() {
        assert_eq!(text(&value["Fn::Sub"]), "${SessionsTable.Arn}/index/ended");
        return "SessionsTable/index/ended";
    }
    if value.get("Ref").is_some() { text(&value["Ref"]) } else { get_att(value, "Arn") }
}

#[test]
fn every_function_of_the_repository_is_deployed() {
    let folders = fs::read_dir(root().join("functions")).unwrap();
    let crates: Names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let template = Template::read();
    let deployed = names(template.functions().into_keys());
    assert_eq!(deployed, crates);

    for (id, function) in template.resources("AWS::Serverless::Function") {
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
    }
    let globals = &template.0["Globals"]["Function"];
    assert_eq!(globals["Runtime"], "provided.al2023");
    assert_eq!(globals["Handler"], "bootstrap");
}

/// Each function with the names that its configuration reads.
const READ: [(&str, &[&str]); 9] = [
    ("rotate-keys", config::ROTATE_KEYS),
    ("login", config::LOGIN),
    ("refresh", config::REFRESH),
    ("revoke", config::REVOKE),
    ("sessions", config::SESSIONS),
    ("password", config::PASSWORD),
    ("authorizer", authorizer::AUTHORIZER),
    ("revocations", config::REVOCATIONS),
    ("discovery", config::DISCOVERY),
];

#[test]
fn each_function_is_told_what_its_configuration_reads() {
    let template = Template::read();
    assert_eq!(names(template.functions().into_keys()), names(READ.map(|(binary, _)| binary)));
    for (binary, read) in READ {
        let told = template.environment(binary).keys().map(String::as_str);
        // What checks passwords reads how, too.
        let mut read = read.to_vec();
        if ["login", "password"].contains(&binary) {
            read.extend(daypass_passwords::CHECKING);
        }
        if binary == "password" {
            read.push(daypass_passwords::MIN_CHARS);
        }
        assert_eq!(names(told), names(read), "{binary}");
    }
}

#[test]
fn numbers_have_the_limits_and_defaults_of_the_code() {
    let template = Template::read();
    for setting in config::SETTINGS {
        let readers = READ.iter().filter(|(_, read)| read.contains(&setting.name));
        let told: Vec<&Value> =
            readers.map(|(binary, _)| &template.environment(binary)[setting.name]).collect();
        assert!(!told.is_empty(), "nobody reads {}", setting.name);
        for value in told {
            let parameter = &template.0["Parameters"][text(&value["Ref"])];
            assert_eq!(parameter["Type"], "Number", "{}", setting.name);
            assert_eq!(parameter["Default"], setting.default, "{}", setting.name);
            assert_eq!(parameter["MinValue"], *setting.range.start(), "{}", setting.name);
            assert_eq!(parameter["MaxValue"], *setting.range.end(), "{}", setting.name);
        }
    }
}

/// A stack that sets nothing but what has no default starts, in all its functions.
#[test]
fn the_defaults_are_a_configuration() {
    let template = Template::read();
    let lookup = |binary: &'static str| {
        let environment = template.environment(binary).clone();
        let parameters = template.0["Parameters"].clone();
        move |name: &str| environment.get(name).map(|value| example(&parameters, value))
    };
    let starts = |binary: &str, outcome: Option<ConfigError>| assert_eq!(outcome, None, "{binary}");
    starts("login", config::login(lookup("login")).err());
    for binary in ["login", "password"] {
        assert!(daypass_passwords::Passwords::configured(lookup(binary)).is_ok(), "{binary}");
    }
    starts("refresh", config::refresh(lookup("refresh")).err());
    starts("revoke", config::revoke(lookup("revoke")).err());
    starts("sessions", config::sessions(lookup("sessions")).err());
    starts("password", config::password(lookup("password")).err());
    starts("authorizer", authorizer::read(lookup("authorizer")).err());
    starts("revocations", config::revocations(lookup("revocations")).err());
    starts("discovery", config::discovery(lookup("discovery")).err());
    starts("rotate-keys", config::rotate_keys(lookup("rotate-keys")).err());
}

/// A URL that Lambda makes for a function, in the region with the longest name.
const FUNCTION_URL: &str = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.ap-northeast-1.on.aws/";

/// The resource and the path of `!Sub ${Resource.FunctionUrl}path`.
fn direct(value: &Value) -> Option<(&str, &str)> {
    let (resource, path) = value.get("Fn::Sub")?.as_str()?.strip_prefix("${")?.split_once("}")?;
    Some((resource.strip_suffix(".FunctionUrl")?, path))
}

/// What CloudFormation would make of a value: defaults, an example where there is none, and a name for a table.
fn example(parameters: &Value, value: &Value) -> String {
    if value.get("Fn::If").is_some() {
        // The conditions of the defaults.
        assert!(["FeedIsDirect", "KeysAreDirect"].contains(&text(&value["Fn::If"][0])), "{value}");
        return example(parameters, &value["Fn::If"][1]);
    }
    if let Some((_, path)) = direct(value) {
        return format!("{FUNCTION_URL}{path}");
    }
    if value.get("Fn::GetAtt").is_some() {
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

/// The client that the code falls back on is the one that the template names.
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
    /// The same, with the most that stands before it, and Secrets Manager's own six characters behind.
    fn arn_of_secret(id: &str) -> usize {
        "arn:aws-us-gov:secretsmanager:ap-northeast-1:123456789012:secret:".len() + table_name(id) + 7
    }
    /// Three RSA keys of 2048 bits: what a JWKS has after a rotation. Quotes are escaped.
    const JWKS: usize = 1600 * 5 / 4;
    /// The bytes that a value may take.
    fn longest(parameters: &Value, value: &Value) -> usize {
        if let Some(choices) = value.get("Fn::If") {
            return longest(parameters, &choices[1]).max(longest(parameters, &choices[2]));
        }
        if let Some((_, path)) = direct(value) {
            return FUNCTION_URL.len() + path.len();
        }
        if let Some(path) = value.get("Fn::Sub").and_then(|value| text(value).strip_prefix("${Issuer}/")) {
            return longest(parameters, &json!({ "Ref": "Issuer" })) + "/".len() + path.len();
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
        if name.ends_with("Secret") {
            return arn_of_secret(name);
        }
        let Some(parameter) = parameters.get(name) else { return table_name(name) };
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

/// invariant: Each role has the rights that its function needs and no others.
#[test]
fn each_function_may_do_what_it_does_and_nothing_else() {
    /// `action resource`, the logs left out: they are the same for all.
    fn check(template: &Template, binary: &str, expected: &[&str]) {
        let mut grants = template.grants(binary);
        let logs = get_att(&json!({ "Fn::GetAtt": log_group_arn(template, binary) }), "Arn").to_owned();
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert!(grants.remove(&(action.to_owned(), logs.clone())), "{binary} cannot {action} to {logs}");
        }
        let grants: Names =
            grants.into_iter().map(|(action, resource)| format!("{action} {resource}")).collect();
        assert_eq!(grants, names(expected.iter().copied()), "{binary}");
    }

    /// The ARN of the log group that the function is configured to write to.
    fn log_group_arn(template: &Template, binary: &str) -> String {
        format!(
            "{}.Arn",
            text(&template.functions()[binary]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"])
        )
    }

    let template = Template::read();
    check(
        &template,
        "login",
        &[
            // begin: the user and the first counter, in parallel; count; settle.
            "dynamodb:GetItem UsersTable",
            "dynamodb:UpdateItem AttemptsTable",
            // open_session: one transaction, in which a rehash takes the place of the check.
            "dynamodb:ConditionCheckItem UsersTable",
            "dynamodb:UpdateItem UsersTable",
            "dynamodb:PutItem SessionsTable",
            "dynamodb:DeleteItem AttemptsTable",
            "secretsmanager:GetSecretValue SigningKeysSecret",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue PeppersSecret",
            "kms:Decrypt SecretsKmsKeyArn",
        ],
    );
    check(
        &template,
        "refresh",
        &[
            // rotate, and revoke_session on reuse.
            "dynamodb:UpdateItem SessionsTable",
            "secretsmanager:GetSecretValue SigningKeysSecret",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "kms:Decrypt SecretsKmsKeyArn",
        ],
    );
    check(
        &template,
        "revoke",
        &[
            // revoke_session.
            "dynamodb:UpdateItem SessionsTable",
            // revoke_all.
            "dynamodb:Query SessionsTable",
            "secretsmanager:GetSecretValue RefreshKeysSecret",
            "secretsmanager:GetSecretValue JwksSecret",
            "kms:Decrypt SecretsKmsKeyArn",
        ],
    );
    check(
        &template,
        "sessions",
        &[
            // stored_sessions, stored_session, end_session.
            "dynamodb:Query SessionsTable",
            "dynamodb:GetItem SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
        ],
    );
    check(
        &template,
        "password",
        &[
            // session_and_name.
            "dynamodb:GetItem SessionsTable",
            // begin, count, settle.
            "dynamodb:GetItem UsersTable",
            "dynamodb:UpdateItem AttemptsTable",
            "dynamodb:DeleteItem AttemptsTable",
            // change_password.
            "dynamodb:UpdateItem UsersTable",
            // end_others.
            "dynamodb:Query SessionsTable",
            "dynamodb:UpdateItem SessionsTable",
            "secretsmanager:GetSecretValue PeppersSecret",
            "kms:Decrypt SecretsKmsKeyArn",
        ],
    );
    // ended_since: the index and not the table.
    check(&template, "revocations", &["dynamodb:Query SessionsTable/index/ended"]);
    check(&template, "authorizer", &[]);
    check(
        &template,
        "discovery",
        &["secretsmanager:GetSecretValue JwksSecret", "kms:Decrypt SecretsKmsKeyArn"],
    );
    let verbs = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];
    let secrets = ["SigningKeysSecret", "RefreshKeysSecret", "PeppersSecret"];
    let mut rotation: Vec<String> = secrets
        .iter()
        .flat_map(|secret| verbs.map(|verb| format!("secretsmanager:{verb} {secret}")))
        .collect();
    rotation
        .extend(["GetSecretValue", "PutSecretValue"].map(|verb| format!("secretsmanager:{verb} JwksSecret")));
    rotation.extend(["Decrypt", "GenerateDataKey"].map(|verb| format!("kms:{verb} SecretsKmsKeyArn")));
    check(&template, "rotate-keys", &rotation.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn no_statement_is_wider_than_it_reads() {
    let template = Template::read();
    for binary in template.functions().into_keys() {
        for statement in template.statements(binary) {
            assert_eq!(statement["Effect"], "Allow", "{binary}: {statement}");
            for member in ["NotAction", "NotResource"] {
                assert_eq!(statement.get(member), None, "{binary}: {statement}");
            }
        }
        for (action, resource) in template.grants(binary) {
            assert!(!action.contains('*') && !resource.contains('*'), "{binary}: {action} {resource}");
        }
        let properties = &template.functions()[binary]["Properties"];
        assert_eq!(
            properties.get("Policies"),
            None,
            "{binary}: SAM policies grant more than their name says"
        );
    }
    // Those that no function's role has in itself, with what they may do to everything.
    let mut wide = Vec::new();
    for kind in ["AWS::IAM::ManagedPolicy", "AWS::IAM::Role"] {
        for (id, resource) in template.resources(kind) {
            let own = resource["Properties"].get("PolicyDocument");
            let within = resource["Properties"]["Policies"].as_array().into_iter().flatten();
            for document in own.into_iter().chain(within.map(|policy| &policy["PolicyDocument"])) {
                for statement in list(&document["Statement"]) {
                    let statement = statement.pointer("/Fn::If/1").unwrap_or(statement);
                    for action in list(&statement["Action"]) {
                        assert!(!text(action).contains('*'), "{id}: {action}");
                        if list(&statement["Resource"]).contains(&&json!("*")) {
                            wide.push(format!("{id} {}", text(action)));
                        }
                    }
                }
            }
        }
    }
    wide.sort();
    let expected = [
        "SecurityEventsRole dynamodb:ListStreams",
        "TracingPolicy xray:PutTelemetryRecords",
        "TracingPolicy xray:PutTraceSegments",
    ];
    assert_eq!(wide, expected, "AWS takes no name there");
    for (id, role) in template.resources("AWS::IAM::Role") {
        for policy in role["Properties"]["ManagedPolicyArns"].as_array().into_iter().flatten() {
            // Our own, and only where somebody asks for it.
            let (condition, name) = (text(&policy["Fn::If"][0]), text(&policy["Fn::If"][1]["Ref"]));
            let ours = [("Traced", "TracingPolicy"), ("DataHasItsOwnKey", "DataKeyPolicy")];
            assert!(ours.contains(&(condition, name)), "{id}: {policy}");
        }
    }
}

#[test]
fn roles_and_logs_belong_to_one_function_each() {
    let template = Template::read();
    let functions = template.functions();
    let roles: Names =
        functions.values().map(|f| get_att(&f["Properties"]["Role"], "Arn").to_owned()).collect();
    let mut all = names(template.resources("AWS::IAM::Role").map(|(id, _)| id));
    // No function's: the pipe that reads the stream.
    assert!(all.remove("SecurityEventsRole"));
    assert_eq!(roles, all);

    let mut logs = names(["ApiLogs"]);
    logs.extend(
        functions.values().map(|f| text(&f["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]).to_owned()),
    );
    assert_eq!(logs, names(template.resources("AWS::Logs::LogGroup").map(|(id, _)| id)));
    for (id, group) in template.resources("AWS::Logs::LogGroup") {
        assert_eq!(group["Properties"]["RetentionInDays"], json!({ "Ref": "LogRetentionDays" }), "{id}");
    }
}

#[test]
fn tables_and_secrets_reach_the_functions_that_may_use_them() {
    let template = Template::read();
    for binary in template.functions().into_keys() {
        let environment = template.environment(binary);
        let granted = |service: &str| -> Names {
            let grants = template.grants(binary).into_iter();
            // An index by the table that it is of.
            let whole = |resource: String| resource.split('/').next().unwrap_or_default().to_owned();
            grants
                .filter(|(action, _)| action.starts_with(service))
                .map(|(_, resource)| whole(resource))
                .collect()
        };

        let mut tables = Names::new();
        for (variable, table) in [
            ("DAYPASS_USERS_TABLE", "UsersTable"),
            ("DAYPASS_SESSIONS_TABLE", "SessionsTable"),
            ("DAYPASS_ATTEMPTS_TABLE", "AttemptsTable"),
        ] {
            if let Some(value) = environment.get(variable) {
                assert_eq!(value, &json!({ "Ref": table }), "{binary}: {variable}");
                tables.insert(table.to_owned());
            }
        }
        assert_eq!(tables, granted("dynamodb:"), "{binary}");

        let mut secrets: Names = environment.get("DAYPASS_KEYS").map(parameters_of).unwrap_or_default();
        let named =
            environment.iter().filter(|(name, _)| name.ends_with("_SECRET") || *name == "DAYPASS_JWKS");
        secrets.extend(named.filter_map(|(_, value)| value.get("Ref")).map(|name| text(name).to_owned()));
        assert_eq!(secrets, granted("secretsmanager:"), "{binary}");
    }
}

/// The parameters that a value is made of: `!Ref A`, or `!Sub ${A} ${B}`.
fn parameters_of(value: &Value) -> Names {
    match value.get("Ref") {
        Some(name) => names([text(name)]),
        None => text(&value["Fn::Sub"])
            .split(' ')
            .map(|part| {
                let name = part.strip_prefix("${").and_then(|part| part.strip_suffix('}'));
                name.unwrap_or_else(|| panic!("{part} is not a parameter")).to_owned()
            })
            .collect(),
    }
}

/// The logical id of a table.
fn table_id(role: Role) -> &'static str {
    match role {
        Role::Users => "UsersTable",
        Role::Sessions => "SessionsTable",
        Role::Attempts => "AttemptsTable",
    }
}

#[test]
fn tables_are_those_of_the_store() {
    let template = Template::read();
    let deployed = names(template.resources("AWS::DynamoDB::Table").map(|(id, _)| id));
    assert_eq!(deployed, names(TABLES.map(|table| table_id(table.role))));

    for table in TABLES {
        let id = table_id(table.role);
        let properties = &template.resource(id)["Properties"];
        let keys = [(Some(table.partition_key), "HASH"), (table.sort_key, "RANGE")];
        let keys = || keys.into_iter().filter_map(|(name, kind)| Some((name?, kind)));

        let schema: Vec<Value> =
            keys().map(|(name, kind)| json!({ "AttributeName": name, "KeyType": kind })).collect();
        assert_eq!(properties["KeySchema"], json!(schema), "{id}");
        let attribute = |name: &str, kind: &str| json!({ "AttributeName": name, "AttributeType": kind });
        let mut attributes: Vec<Value> = keys().map(|(name, _)| attribute(name, "S")).collect();
        let index = table.index.map(|index| {
            attributes.push(attribute(index.partition_key, "S"));
            attributes.push(attribute(index.sort_key, "N"));
            json!([{
                "IndexName": index.name,
                "KeySchema": [
                    { "AttributeName": index.partition_key, "KeyType": "HASH" },
                    { "AttributeName": index.sort_key, "KeyType": "RANGE" },
                ],
                "Projection": { "ProjectionType": "KEYS_ONLY" },
            }])
        });
        assert_eq!(properties["AttributeDefinitions"], json!(attributes), "{id}");
        assert_eq!(properties.get("GlobalSecondaryIndexes"), index.as_ref(), "{id}");
        assert_eq!(properties.get("LocalSecondaryIndexes"), None, "{id}");

        let ttl = table.ttl.map(|name| json!({ "AttributeName": name, "Enabled": true }));
        assert_eq!(properties.get("TimeToLiveSpecification"), ttl.as_ref(), "{id}");
    }
}

#[test]
fn tables_are_encrypted_and_kept_as_the_store_says() {
    let template = Template::read();
    for table in TABLES {
        let id = table_id(table.role);
        let deployed = template.resource(id);
        let properties = &deployed["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{id}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], true, "{id}");

        assert_eq!(properties["DeletionProtectionEnabled"] == true, table.deletion_protection, "{id}");
        // With protection and `Delete`, deleting the stack would stop halfway.
        let policy = if table.deletion_protection { "Retain" } else { "Delete" };
        assert_eq!(deployed["DeletionPolicy"], policy, "{id}");
        assert_eq!(deployed["UpdateReplacePolicy"], policy, "{id}");
        let restorable = &properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"];
        assert_eq!(*restorable == true, table.point_in_time_recovery, "{id}");
    }
}

#[test]
fn what_other_stacks_need_is_exported_under_the_name_of_the_output() {
    let template = Template::read();
    let outputs = template.0["Outputs"].as_object().unwrap();
    for (name, output) in outputs {
        assert_eq!(output["Export"]["Name"], json!({ "Fn::Sub": format!("${{AWS::StackName}}-{name}") }));
    }
    for needed in ["ApiUrl", "Issuer", "JwksUrl", "AuthorizerFunctionArn"] {
        assert!(outputs.contains_key(needed), "{needed} is not exported");
    }
    for (id, _) in template.resources("AWS::DynamoDB::Table") {
        for suffix in ["Name", "Arn"] {
            assert!(outputs.contains_key(&format!("{id}{suffix}")), "{id}{suffix} is not exported");
        }
    }
}
