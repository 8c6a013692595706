//! Routes of a SAM template, so that the gateway serves what `template.yaml` deploys.
//!
//! It reads `AWS::Serverless::HttpApi` with its Lambda authorizers, and the `HttpApi` events of
//! `AWS::Serverless::Function`. `Metadata.BuildProperties.Binary` names the function for `cargo lambda`.

use crate::error::RouteError;
use crate::identity::{Authorizer, IdentitySource};
use crate::routes::Routes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

const FUNCTION: &str = "AWS::Serverless::Function";
const HTTP_API: &str = "AWS::Serverless::HttpApi";

/// Longest cache time of an authorizer's result, in seconds (`AuthorizerResultTtlInSeconds`).
const MAX_TTL_SECONDS: u64 = 3600;

/// Routes and authorizers of the SAM template `text`.
///
/// # Errors
/// The text is not YAML, or describes an API that this gateway does not support.
pub fn routes(text: &str) -> Result<Routes, RouteError> {
    let template = parse(text)?;
    if template.pointer("/Globals/HttpApi/Auth").is_some() {
        return wrong(
            "Globals.HttpApi.Auth is not supported: write Auth into the AWS::Serverless::HttpApi resource",
        );
    }
    let Some(resources) = template.get("Resources").and_then(Value::as_object) else {
        return wrong("the template has no Resources");
    };
    let api = Api::read(resources)?;
    let mut routes = Routes::default();
    for (name, properties) in &api.authorizers {
        routes.add_authorizer(name, authorizer(name, properties, resources)?)?;
    }
    for (name, function) in of_type(resources, FUNCTION) {
        for (event, properties) in http_api_events(function) {
            let place = format!("event {event} of {name}");
            api.check_event(&place, properties)?;
            let key = route_key(&place, properties)?;
            routes.add_function(&key, binary(name, function)?, api.authorizer_of(&place, properties)?)?;
        }
    }
    Ok(routes)
}

/// A template as JSON, with the long forms of CloudFormation's functions: `!Ref X` becomes `{"Ref": "X"}`,
/// `!GetAtt X.Arn` becomes `{"Fn::GetAtt": "X.Arn"}`.
///
/// # Errors
/// The text is not YAML. The message shows the place.
pub fn parse(text: &str) -> Result<Value, RouteError> {
    // Without this, a resource named `Y` would be the boolean true.
    let options = serde_saphyr::options! { strict_booleans: true };
    let node: Node = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| RouteError(format!("the template is not YAML: {error}")))?;
    Ok(node.0)
}

fn wrong<T>(message: impl Into<String>) -> Result<T, RouteError> {
    Err(RouteError(message.into()))
}

/// The only HTTP API of a template: explicit, or SAM's implicit API of events without one.
struct Api {
    name: Option<String>,
    authorizers: Map<String, Value>,
    default_authorizer: Option<String>,
}

impl Api {
    fn read(resources: &Map<String, Value>) -> Result<Self, RouteError> {
        let mut apis = of_type(resources, HTTP_API);
        let Some((name, api)) = apis.next() else {
            return Ok(Self { name: None, authorizers: Map::new(), default_authorizer: None });
        };
        if apis.next().is_some() {
            return wrong(
                "the template has more than one AWS::Serverless::HttpApi: one gateway serves one API",
            );
        }
        let properties = api.get("Properties").unwrap_or(&Value::Null);
        // Throttles (RouteSettings) are not imitated: this machine has one user.
        for unread in ["CorsConfiguration", "DefinitionBody", "DefinitionUri"] {
            if properties.get(unread).is_some() {
                return wrong(format!("{name}.Properties.{unread} is not supported: remove it"));
            }
        }
        let auth = properties.get("Auth").unwrap_or(&Value::Null);
        Ok(Self {
            name: Some(name.to_owned()),
            authorizers: auth.get("Authorizers").and_then(Value::as_object).cloned().unwrap_or_default(),
            default_authorizer: optional_text(auth, "DefaultAuthorizer", name)?,
        })
    }

    fn check_event(&self, place: &str, properties: &Value) -> Result<(), RouteError> {
        let named =
            properties.get("ApiId").map(|id| id.get("Ref").and_then(Value::as_str).unwrap_or_default());
        if named != self.name.as_deref() {
            return match &self.name {
                Some(name) => wrong(format!("{place} is not of the API {name}: add `ApiId: !Ref {name}`")),
                None => {
                    wrong(format!("{place} is of an API that the template does not define: remove ApiId"))
                }
            };
        }
        match properties.get("PayloadFormatVersion").map(number_or_text).as_deref() {
            None | Some("2.0") => Ok(()),
            Some(other) => {
                wrong(format!("{place} has PayloadFormatVersion {other}: only \"2.0\" is imitated"))
            }
        }
    }

    fn authorizer_of(&self, place: &str, properties: &Value) -> Result<Option<&str>, RouteError> {
        let own = match properties.pointer("/Auth/Authorizer") {
            None => self.default_authorizer.as_deref(),
            Some(own) => match own.as_str() {
                Some(own) => Some(own),
                None => return wrong(format!("the authorizer of {place} must be a name or NONE")),
            },
        };
        match own {
            None | Some("NONE") => Ok(None),
            // The name from the API's own list, for its lifetime.
            Some(own) => match self.authorizers.get_key_value(own) {
                Some((name, _)) => Ok(Some(name)),
                None => {
                    wrong(format!("{place} asks for the authorizer {own}, which the API does not define"))
                }
            },
        }
    }
}

fn authorizer(
    name: &str,
    properties: &Value,
    resources: &Map<String, Value>,
) -> Result<Authorizer, RouteError> {
    if properties.get("JwtConfiguration").is_some() || properties.get("FunctionArn").is_none() {
        return wrong(format!("authorizer {name} is not a Lambda authorizer: others are not supported"));
    }
    match properties.get("AuthorizerPayloadFormatVersion").map(number_or_text).as_deref() {
        Some("2.0") => {}
        _ => return wrong(format!("authorizer {name} needs AuthorizerPayloadFormatVersion: \"2.0\"")),
    }
    let identity = properties.get("Identity").unwrap_or(&Value::Null);
    for unread in ["Context", "StageVariables"] {
        if identity.get(unread).is_some() {
            return wrong(format!(
                "authorizer {name}: Identity.{unread} is not supported, only Headers and QueryStrings"
            ));
        }
    }
    let headers = names(name, identity, "Headers")?.into_iter().map(IdentitySource::Header);
    let queries = names(name, identity, "QueryStrings")?.into_iter().map(IdentitySource::Query);
    Ok(Authorizer {
        function: authorizer_function(name, properties, resources)?,
        simple_responses: simple_responses(name, properties)?,
        identity: headers.chain(queries).collect(),
        ttl: ttl(name, identity)?,
    })
}

fn authorizer_function(
    name: &str,
    properties: &Value,
    resources: &Map<String, Value>,
) -> Result<String, RouteError> {
    let target = properties.pointer("/FunctionArn/Fn::GetAtt").and_then(|attribute| match attribute {
        Value::String(text) => text.strip_suffix(".Arn"),
        Value::Array(parts) => match parts.as_slice() {
            [resource, arn] if arn == "Arn" => resource.as_str(),
            _ => None,
        },
        _ => None,
    });
    let Some(target) = target else {
        return wrong(format!("authorizer {name}: FunctionArn must be `!GetAtt SomeFunction.Arn`"));
    };
    match resources.get(target) {
        Some(function) if function.get("Type").is_some_and(|kind| kind == FUNCTION) => {
            binary(target, function).map(str::to_owned)
        }
        _ => wrong(format!("authorizer {name}: {target} is not an {FUNCTION} of this template")),
    }
}

fn simple_responses(name: &str, properties: &Value) -> Result<bool, RouteError> {
    match properties.get("EnableSimpleResponses") {
        None => Ok(false),
        Some(Value::Bool(enabled)) => Ok(*enabled),
        Some(other) => {
            wrong(format!("authorizer {name}: EnableSimpleResponses must be true or false, and is {other}"))
        }
    }
}

fn ttl(name: &str, identity: &Value) -> Result<Duration, RouteError> {
    let Some(every) = identity.get("ReauthorizeEvery") else { return Ok(Duration::ZERO) };
    match number_or_text(every).parse() {
        Ok(seconds) if seconds <= MAX_TTL_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => wrong(format!("authorizer {name}: ReauthorizeEvery must be 0 to {MAX_TTL_SECONDS} seconds")),
    }
}

fn names(authorizer: &str, identity: &Value, list: &str) -> Result<Vec<String>, RouteError> {
    let Some(value) = identity.get(list) else { return Ok(Vec::new()) };
    let names =
        value.as_array().and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    names.map_or_else(
        || wrong(format!("authorizer {authorizer}: Identity.{list} must be a list of names")),
        Ok,
    )
}

fn route_key(place: &str, properties: &Value) -> Result<String, RouteError> {
    let path = optional_text(properties, "Path", place)?;
    let method = optional_text(properties, "Method", place)?;
    match (path.as_deref(), method) {
        (None | Some("$default"), None) => Ok("$default".to_owned()),
        (Some(path), Some(method)) => {
            let method = match method.to_ascii_uppercase().as_str() {
                "X-AMAZON-APIGATEWAY-ANY-METHOD" => "ANY".to_owned(),
                method => method.to_owned(),
            };
            Ok(format!("{method} {path}"))
        }
        _ => wrong(format!("{place} needs both Path and Method, or neither for the $default route")),
    }
}

fn http_api_events(function: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let events = function.pointer("/Properties/Events").and_then(Value::as_object);
    events
        .into_iter()
        .flatten()
        .filter(|(_, event)| event.get("Type").is_some_and(|kind| kind == "HttpApi"))
        .map(|(name, event)| (name.as_str(), event.get("Properties").unwrap_or(&Value::Null)))
}

fn binary<'a>(name: &str, function: &'a Value) -> Result<&'a str, RouteError> {
    let binary = function.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
    binary.map_or_else(
        || wrong(format!("{name} needs Metadata.BuildProperties.Binary: the name of the binary to invoke")),
        Ok,
    )
}

fn of_type<'a>(
    resources: &'a Map<String, Value>,
    kind: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    resources
        .iter()
        .filter(move |(_, resource)| resource.get("Type").is_some_and(|own| own == kind))
        .map(|(name, resource)| (name.as_str(), resource))
}

fn optional_text(of: &Value, member: &str, place: &str) -> Result<Option<String>, RouteError> {
    match of.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => wrong(format!("{member} of {place} must be plain text, and is {other}")),
    }
}

/// An unquoted `2.0` is a number in YAML, and a quoted one is text. Both mean the same.
fn number_or_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A YAML node with its tag resolved.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_saphyr::Tagged(content, tag) = serde_saphyr::Tagged::<Content>::deserialize(deserializer)?;
        // YAML's own tags such as `!!str` do not change the value.
        let short = tag.as_deref().and_then(|tag| tag.strip_prefix('!')).filter(|tag| !tag.starts_with('!'));
        Ok(Self(match short {
            None | Some("") => content.0,
            Some(name @ ("Ref" | "Condition")) => json!({ name: content.0 }),
            Some(name) => json!({ format!("Fn::{name}"): content.0 }),
        }))
    }
}

/// Value of a YAML node without its tag.
struct Content(Value);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor).map(Self)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Node(value)) = sequence.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Node(value))) = mapping.next_entry::<String, Node>()? {
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Target;

    const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Issuer: { Type: String }
Conditions:
  Never: !Equals [!Ref Issuer, ""]
Globals:
  Function:
    Environment:
      Variables: { DAYPASS_ISSUER: !Ref Issuer, OTHER: !Sub "${Issuer}/x" }
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Guard
        Authorizers:
          Guard:
            FunctionArn: !GetAtt AuthorizerFunction.Arn
            AuthorizerPayloadFormatVersion: "2.0"
            EnableSimpleResponses: true
            Identity:
              Headers: [Authorization]
              ReauthorizeEvery: 60
  AuthorizerFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: authorizer } }
  LoginFunction:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties: { Binary: login }
    Properties:
      Events:
        Login:
          Type: HttpApi
          Properties: { ApiId: !Ref Api, Path: /login, Method: any, Auth: { Authorizer: NONE } }
        Nightly:
          Type: Schedule
          Properties: { Schedule: rate(1 day) }
  OrdersFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: orders } }
    Properties:
      Events:
        One:
          Type: HttpApi
          Properties: { ApiId: !Ref Api, Path: "/orders/{id}", Method: GET, PayloadFormatVersion: 2.0 }
        Rest:
          Type: HttpApi
          Properties: { ApiId: !Ref Api }
  Table:
    Type: AWS::DynamoDB::Table
    Condition: Never
    Properties: { TableName: !If [Never, !Ref AWS::NoValue, users] }
"#;

    fn listed(routes: &Routes) -> Vec<(String, String, Option<String>)> {
        let line = |route: &crate::routes::Route| {
            let Target::Function(function) = route.target() else { panic!("not a function") };
            (route.key().to_owned(), function.clone(), route.authorizer().map(str::to_owned))
        };
        routes.iter().map(line).collect()
    }

    fn row(key: &str, function: &str, authorizer: Option<&str>) -> (String, String, Option<String>) {
        (key.to_owned(), function.to_owned(), authorizer.map(str::to_owned))
    }

    #[test]
    fn routes_functions_and_authorizers_are_read() {
        let routes = routes(TEMPLATE).unwrap();
        assert_eq!(
            listed(&routes),
            [
                row("ANY /login", "login", None),
                row("GET /orders/{id}", "orders", Some("Guard")),
                row("$default", "orders", Some("Guard")),
            ]
        );
        let guard = routes.authorizer("Guard").unwrap();
        assert_eq!(
            *guard,
            Authorizer {
                function: "authorizer".to_owned(),
                simple_responses: true,
                identity: vec![IdentitySource::Header("Authorization".to_owned())],
                ttl: Duration::from_secs(60),
            }
        );
    }

    #[test]
    fn the_template_that_is_deployed_can_be_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
        let routes = routes(&std::fs::read_to_string(path).unwrap()).unwrap();
        let name = routes.sole_authorizer().unwrap();
        for (key, function, authorizer) in [
            ("ANY /login", "login", None),
            ("ANY /refresh", "refresh", None),
            ("ANY /revoke", "revoke", None),
            ("ANY /sessions", "sessions", Some(name)),
            ("ANY /sessions/{id}", "sessions", Some(name)),
            ("ANY /password", "password", Some(name)),
            ("OPTIONS /password", "password", None),
            ("OPTIONS /sessions", "sessions", None),
            ("OPTIONS /sessions/{id}", "sessions", None),
            ("ANY /.well-known/{document+}", "discovery", None),
        ] {
            assert!(
                listed(&routes).contains(&row(key, function, authorizer)),
                "{key}: {:?}",
                listed(&routes)
            );
        }
        let authorizer = routes.authorizer(name).unwrap();
        assert_eq!(authorizer.function, "authorizer");
        assert!(authorizer.simple_responses);
        assert_eq!(authorizer.identity, [IdentitySource::Header("Authorization".to_owned())]);
    }

    #[test]
    fn short_forms_are_written_out() {
        let parsed =
            parse("a: !Ref X\nb: !GetAtt X.Arn\nc: !If [N, !Ref Y, 1]\nd: !!str 5\ne: !Sub ''").unwrap();
        assert_eq!(
            parsed,
            json!({
                "a": {"Ref": "X"}, "b": {"Fn::GetAtt": "X.Arn"}, "c": {"Fn::If": ["N", {"Ref": "Y"}, 1]},
                "d": "5", "e": {"Fn::Sub": ""},
            })
        );
    }

    #[test]
    fn an_api_that_the_template_leaves_to_sam() {
        let text = "
Resources:
  F:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: f } }
    Properties:
      Events: { E: { Type: HttpApi, Properties: { Path: /f, Method: post } } }
";
        assert_eq!(listed(&routes(text).unwrap()), [row("POST /f", "f", None)]);
    }

    #[test]
    fn what_cannot_be_imitated_is_an_error_that_says_so() {
        let table = [
            ("Resources:", "Things:", "has no Resources"),
            ("Globals:", "Globals:\n  HttpApi: { Auth: {} }", "Globals.HttpApi.Auth"),
            ("      Auth:\n", "      CorsConfiguration: true\n      Auth:\n", "CorsConfiguration"),
            (
                "  Table:\n    Type: AWS::DynamoDB::Table",
                "  Two:\n    Type: AWS::Serverless::HttpApi",
                "more than one",
            ),
            ("!GetAtt AuthorizerFunction.Arn", "!ImportValue x", "FunctionArn must be"),
            ("!GetAtt AuthorizerFunction.Arn", "!GetAtt Table.Arn", "Table is not an"),
            (
                "FunctionArn: !GetAtt AuthorizerFunction.Arn",
                "JwtConfiguration: {}",
                "not a Lambda authorizer",
            ),
            (
                "AuthorizerPayloadFormatVersion: \"2.0\"",
                "AuthorizerPayloadFormatVersion: 1.0",
                "needs AuthorizerPayloadFormatVersion",
            ),
            ("EnableSimpleResponses: true", "EnableSimpleResponses: yes", "must be true or false"),
            ("ReauthorizeEvery: 60", "ReauthorizeEvery: 3601", "ReauthorizeEvery must be"),
            ("Headers: [Authorization]", "Headers: Authorization", "must be a list of names"),
            ("Headers: [Authorization]", "Context: [routeKey]", "Identity.Context"),
            ("Headers: [Authorization]", "", "no identity source"),
            ("Authorizer: NONE", "Authorizer: Other", "asks for the authorizer Other"),
            ("Authorizer: NONE", "Authorizer: !Ref X", "must be a name or NONE"),
            ("PayloadFormatVersion: 2.0", "PayloadFormatVersion: 1.0", "only \"2.0\""),
            ("ApiId: !Ref Api, Path: /login", "Path: /login", "add `ApiId: !Ref Api`"),
            ("Path: /login, Method: any", "Path: !Ref X, Method: any", "must be plain text"),
            ("Path: /login, Method: any", "Path: /login", "both Path and Method"),
            (
                "BuildProperties: { Binary: orders }",
                "BuildProperties: {}",
                "needs Metadata.BuildProperties.Binary",
            ),
            ("Resources:", "Resources: [", "not YAML"),
        ];
        for (old, new, expected) in table {
            assert!(TEMPLATE.contains(old), "the fixture lacks {old:?}");
            let error = routes(&TEMPLATE.replacen(old, new, 1)).expect_err(new).to_string();
            assert!(error.contains(expected), "{new}: {error}");
        }
    }
}
