//! `template.yaml`, read as data and compared with the code. This file has the functions and tables of the stack.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of a test fail as the test does"
)]

mod api;
mod monitoring;
mod roles;
mod settings;

use daypass_core::config;
use daypass_core::http::discovery::Discovery;
use daypass_dynamodb::schema::{Role, TABLES};
use daypass_gateway::template::parse;
use daypass_tools::FUNCTIONS;
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use serde_json::{Map, Value, json};
use settings::example;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Names = BTreeSet<String>;

/// Names for comparison without order.
fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> Names {
    of.into_iter().map(str::to_owned).collect()
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests live in a folder of the repository")
}

/// The template, with the short forms of CloudFormation written out: `!Ref X` is `{"Ref": "X"}`, `!GetAtt X.Arn` is
/// `{"Fn::GetAtt": "X.Arn"}`.
struct Template(Value);

impl Template {
    /// The main template.
    fn read() -> Self {
        Self::at("template.yaml")
    }

    /// A template, by its path from the root.
    fn at(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self(parse(&text).expect("a template is YAML"))
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

/// The parameters in a value: `!Ref A`, or `!Sub ${A} ${B}`.
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

/// Folders, the list of functions, their settings and the template name the same functions.
#[test]
fn every_function_of_the_repository_is_deployed() {
    let folders = fs::read_dir(root().join("functions")).unwrap();
    let folders: Names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let template = Template::read();
    assert_eq!(folders, names(FUNCTIONS.map(|function| function.binary)));
    assert_eq!(names(config::all_tables().map(|table| table.function)), folders);
    assert_eq!(names(template.functions().into_keys()), folders);

    for (id, function) in template.resources("AWS::Serverless::Function") {
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{id}");
    }
    let globals = &template.0["Globals"]["Function"];
    assert_eq!(globals["Runtime"], "provided.al2023");
    assert_eq!(globals["Handler"], "bootstrap");
}

/// The logical id of a table.
fn table_id(role: Role) -> &'static str {
    match role {
        Role::Users => "UsersTable",
        Role::Sessions => "SessionsTable",
        Role::Attempts => "AttemptsTable",
        Role::Outbox => "OutboxTable",
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

        let view = properties.pointer("/StreamSpecification/StreamViewType");
        let stream = table.stream.then(|| json!("NEW_IMAGE"));
        assert!(table.role == Role::Sessions || view == stream.as_ref(), "{id}");

        let ttl = table.ttl.map(|name| json!({ "AttributeName": name, "Enabled": true }));
        assert_eq!(properties.get("TimeToLiveSpecification"), ttl.as_ref(), "{id}");
    }
}

/// invariant: The main stack has at most 60 resources.
#[test]
fn a_person_can_read_all_resources() {
    let resources = Template::read().0["Resources"].as_object().unwrap().len();
    assert!(resources <= 60, "{resources} resources");
}

/// CloudFormation refuses an update that changes the type of a resource.
///
/// invariant: A resource of a released stack keeps its type.
#[test]
fn resources_of_released_stacks_keep_their_types() {
    let released = fs::read_to_string(root().join("tests/fixtures/v0.1.0/resources.json")).unwrap();
    let released: BTreeMap<String, Names> = serde_json::from_str(&released).unwrap();
    let mut kept = 0;
    for (id, resource) in Template::read().0["Resources"].as_object().unwrap() {
        let kind = text(&resource["Type"]).replace("AWS::Serverless::Function", "AWS::Lambda::Function");
        for (before, _) in released.iter().filter(|(_, ids)| ids.contains(id)) {
            assert_eq!(*before, kind, "{id}");
            kept += 1;
        }
    }
    assert!(kept >= 39, "{kept} resources");
}

/// A failed first deployment is deleted with its secrets. Tables are protected from deletion, so they stay.
///
/// invariant: A failed first deployment leaves no secret behind.
#[test]
fn a_failed_first_deployment_leaves_no_secret() {
    let template = Template::read();
    for (id, secret) in template.resources("AWS::SecretsManager::Secret") {
        let kept = ["RefreshKeysSecret", "PeppersSecret"].contains(&id);
        let policy = if kept { "RetainExceptOnCreate" } else { "Delete" };
        assert_eq!(secret["DeletionPolicy"], policy, "{id}");
    }
}

/// A region without EventBridge Pipes refuses a template that names one.
///
/// invariant: The stack's templates have only resource types of every region.
#[test]
fn the_pipe_is_a_stack_of_its_own() {
    for path in ["template.yaml", "infra/api.yaml", "infra/mail.yaml", "infra/observability.yaml"] {
        assert_eq!(Template::at(path).resources("AWS::Pipes::Pipe").count(), 0, "{path}");
    }
    let events = Template::at("infra/security-events.yaml");
    let (_, pipe) = events.resources("AWS::Pipes::Pipe").next().unwrap();
    let source = text(&pipe["Properties"]["Source"]["Fn::ImportValue"]["Fn::Sub"]);
    let output = source.strip_prefix("${DaypassStack}-").unwrap();
    let template = Template::read();
    let stream = json!({ "Fn::GetAtt": "SessionsTable.StreamArn" });
    assert_eq!(template.0["Outputs"][output]["Value"], stream);
    let stream = &template.resource("SessionsTable")["Properties"]["StreamSpecification"];
    assert_eq!(stream["StreamViewType"], "NEW_AND_OLD_IMAGES");
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
        // Protection and `Delete` together would stop the deletion of the stack halfway.
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
