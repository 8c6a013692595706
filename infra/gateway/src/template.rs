//! Routes of the stack's templates, so that the gateway serves what they deploy.
//!
//! `template.yaml` has the functions, and passes their ARNs to the nested stack `infra/api.yaml`. That has the routes, the
//! integrations and the Lambda authorizers. `Metadata.BuildProperties.Binary` names a function for `cargo lambda`.

use crate::error::RouteError;
use crate::identity::{Authorizer, IdentitySource};
use crate::routes::Routes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// Path of the template of the API, from the root of the repository.
pub const API: &str = "infra/api.yaml";

/// Longest cache time of an authorizer's result, in seconds (`AuthorizerResultTtlInSeconds`).
const MAX_TTL_SECONDS: u64 = 3600;

/// Routes and authorizers of the stack. `main` is the text of `template.yaml`, and `api` that of [`API`].
///
/// # Errors
/// A text is not YAML, or describes an API that this gateway does not support.
pub fn routes(main: &str, api: &str) -> Result<Routes, RouteError> {
    let (main, api) = (parse(main)?, parse(api)?);
    let functions = Functions(&main);
    let resources = resources(&api)?;
    let mut routes = Routes::default();
    for (name, properties) in of_type(resources, "AWS::ApiGatewayV2::Authorizer") {
        routes.add_authorizer(name, authorizer(name, properties, &functions)?)?;
    }
    for (name, properties) in of_type(resources, "AWS::ApiGatewayV2::Route") {
        let target = properties.pointer("/Target/Fn::Sub").and_then(Value::as_str);
        let target = target.and_then(|target| target.strip_prefix("integrations/${")?.strip_suffix('}'));
        let Some(integration) = target.and_then(|target| resources.get(target)?.get("Properties")) else {
            return wrong(format!("{name}: Target must be `!Sub integrations/${{AN_INTEGRATION}}`"));
        };
        if integration.get("PayloadFormatVersion").map(number_or_text).as_deref() != Some("2.0") {
            return wrong(format!("{name}: only PayloadFormatVersion \"2.0\" is imitated"));
        }
        let uri = integration.pointer("/IntegrationUri/Ref").and_then(Value::as_str);
        let function = functions.of_parameter(name, uri)?;
        let authorizer = properties.pointer("/AuthorizerId/Ref").and_then(Value::as_str);
        let kind = properties.get("AuthorizationType").and_then(Value::as_str);
        if authorizer.is_none() && kind.is_some_and(|kind| kind != "AWS_IAM") {
            return wrong(format!("{name}: AuthorizerId must be `!Ref AN_AUTHORIZER`"));
        }
        let Some(key) = properties.get("RouteKey").and_then(Value::as_str) else {
            return wrong(format!("{name}: RouteKey must be plain text"));
        };
        routes.add_function(key, function, authorizer)?;
        if kind == Some("AWS_IAM") {
            routes.require_iam(key)?;
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

fn resources(template: &Value) -> Result<&Map<String, Value>, RouteError> {
    let resources = template.get("Resources").and_then(Value::as_object);
    resources.ok_or_else(|| RouteError("the template has no Resources".to_owned()))
}

/// The main template, with the functions and the parameters of the nested stack.
struct Functions<'a>(&'a Value);

impl<'a> Functions<'a> {
    /// Binary of the function whose ARN the main template passes in a parameter.
    fn of_parameter(&self, place: &str, parameter: Option<&str>) -> Result<&'a str, RouteError> {
        let Some(parameter) = parameter else {
            return wrong(format!("{place} must name a function by a parameter, as `!Ref LoginFunctionArn`"));
        };
        let main = resources(self.0)?;
        let nested = of_type(main, "AWS::CloudFormation::Stack")
            .find(|(_, nested)| nested.get("TemplateURL").is_some_and(|path| path == API));
        let value = nested.and_then(|(_, nested)| nested.get("Parameters")?.get(parameter));
        let id = value.and_then(|value| value.get("Fn::GetAtt")?.as_str()?.strip_suffix(".Arn"));
        let Some(id) = id else {
            return wrong(format!(
                "{place}: template.yaml does not pass {parameter} as `!GetAtt FUNCTION.Arn`"
            ));
        };
        let function = main.get(id);
        let binary = function.and_then(|it| it.pointer("/Metadata/BuildProperties/Binary")?.as_str());
        binary.map_or_else(
            || wrong(format!("{id} needs Metadata.BuildProperties.Binary: the name of the binary to invoke")),
            Ok,
        )
    }
}

fn authorizer(name: &str, properties: &Value, functions: &Functions<'_>) -> Result<Authorizer, RouteError> {
    if properties.get("AuthorizerType").is_none_or(|kind| kind != "REQUEST") {
        return wrong(format!("authorizer {name} is not a Lambda authorizer: others are not supported"));
    }
    if properties.get("AuthorizerPayloadFormatVersion").map(number_or_text).as_deref() != Some("2.0") {
        return wrong(format!("authorizer {name} needs AuthorizerPayloadFormatVersion: \"2.0\""));
    }
    let uri = properties.pointer("/AuthorizerUri/Fn::Sub").and_then(Value::as_str);
    let function = uri.and_then(|uri| uri.split_once("/functions/${")?.1.strip_suffix("}/invocations"));
    Ok(Authorizer {
        function: functions.of_parameter(name, function)?.to_owned(),
        simple_responses: simple_responses(name, properties)?,
        identity: identity(name, properties)?,
        ttl: ttl(name, properties)?,
    })
}

/// `EnableSimpleResponses`. Of `!If [CONDITION, …]`, the value under the condition: it holds for the default parameters.
fn simple_responses(name: &str, properties: &Value) -> Result<bool, RouteError> {
    let Some(value) = properties.get("EnableSimpleResponses") else { return Ok(false) };
    match value.pointer("/Fn::If/1").unwrap_or(value).as_bool() {
        Some(enabled) => Ok(enabled),
        None => {
            wrong(format!("authorizer {name}: EnableSimpleResponses must be true or false, and is {value}"))
        }
    }
}

fn identity(name: &str, properties: &Value) -> Result<Vec<IdentitySource>, RouteError> {
    let sources = properties.get("IdentitySource").and_then(Value::as_array);
    let source = |text: &Value| {
        let text = text.as_str()?;
        let header =
            text.strip_prefix("$request.header.").map(|name| IdentitySource::Header(name.to_owned()));
        header.or_else(|| {
            text.strip_prefix("$request.querystring.").map(|name| IdentitySource::Query(name.to_owned()))
        })
    };
    let sources: Option<Vec<_>> = sources.and_then(|sources| sources.iter().map(source).collect());
    sources.map_or_else(
        || {
            wrong(format!(
                "authorizer {name}: IdentitySource must be a list of `$request.header.NAME` and `$request.querystring.NAME`"
            ))
        },
        Ok,
    )
}

fn ttl(name: &str, properties: &Value) -> Result<Duration, RouteError> {
    let Some(seconds) = properties.get("AuthorizerResultTtlInSeconds") else { return Ok(Duration::ZERO) };
    match number_or_text(seconds).parse() {
        Ok(seconds) if seconds <= MAX_TTL_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => wrong(format!(
            "authorizer {name}: AuthorizerResultTtlInSeconds must be 0 to {MAX_TTL_SECONDS} seconds"
        )),
    }
}

/// The properties of the resources of a type, by logical id.
fn of_type<'a>(
    resources: &'a Map<String, Value>,
    kind: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    resources
        .iter()
        .filter(move |(_, resource)| resource.get("Type").is_some_and(|own| own == kind))
        .map(|(name, resource)| (name.as_str(), resource.get("Properties").unwrap_or(&Value::Null)))
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

    const MAIN: &str = r#"
Resources:
  Routing:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: infra/api.yaml
      Parameters: { Guard: !GetAtt AuthorizerFunction.Arn, Orders: !GetAtt OrdersFunction.Arn, Other: !Ref Table }
  AuthorizerFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: authorizer } }
  OrdersFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: orders } }
  Table:
    Type: AWS::DynamoDB::Table
    Properties: { TableName: !If [Never, !Ref AWS::NoValue, users] }
"#;

    const NESTED: &str = r#"
Resources:
  Authorizer:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      AuthorizerType: REQUEST
      AuthorizerUri: !Sub arn:${AWS::Partition}:apigateway:x:lambda:path/2015-03-31/functions/${Guard}/invocations
      AuthorizerPayloadFormatVersion: "2.0"
      EnableSimpleResponses: !If [AnswersSimply, true, false]
      IdentitySource: [$request.header.Authorization]
      AuthorizerResultTtlInSeconds: 60
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { IntegrationUri: !Ref Orders, PayloadFormatVersion: 2.0 }
  One:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: GET /orders/{id}
      Target: !Sub integrations/${Integration}
      AuthorizationType: CUSTOM
      AuthorizerId: !Ref Authorizer
  Public:
    Type: AWS::ApiGatewayV2::Route
    Properties: { RouteKey: ANY /orders, Target: !Sub "integrations/${Integration}" }
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
        let routes = routes(MAIN, NESTED).unwrap();
        let guard = "Authorizer";
        assert_eq!(
            listed(&routes),
            [row("GET /orders/{id}", "orders", Some(guard)), row("ANY /orders", "orders", None)]
        );
        assert_eq!(
            *routes.authorizer(guard).unwrap(),
            Authorizer {
                function: "authorizer".to_owned(),
                simple_responses: true,
                identity: vec![IdentitySource::Header("Authorization".to_owned())],
                ttl: Duration::from_secs(60),
            }
        );
    }

    #[test]
    fn the_templates_that_are_deployed_can_be_read() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let text = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();
        let routes = routes(&text("template.yaml"), &text(API)).unwrap();
        let name = routes.sole_authorizer().unwrap();
        for (key, function, authorizer) in [
            ("ANY /login", "login", None),
            ("ANY /refresh", "refresh", None),
            ("ANY /token", "refresh", None),
            ("ANY /introspect", "introspect", None),
            ("ANY /revoke", "revoke", None),
            ("ANY /sessions", "sessions", Some(name)),
            ("ANY /sessions/{id}", "sessions", Some(name)),
            ("ANY /password", "password", Some(name)),
            ("OPTIONS /password", "password", None),
            ("OPTIONS /sessions", "sessions", None),
            ("OPTIONS /sessions/{id}", "sessions", None),
            ("ANY /.well-known/{document+}", "discovery", None),
        ] {
            let listed = listed(&routes);
            assert!(listed.contains(&row(key, function, authorizer)), "{key}: {listed:?}");
        }
        assert!(listed(&routes).contains(&row("ANY /admin/{operation+}", "admin", None)));
        let by_iam: Vec<_> =
            routes.iter().filter(|route| route.needs_iam()).map(crate::routes::Route::key).collect();
        assert_eq!(by_iam, ["ANY /admin/{operation+}"]);
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
    fn what_cannot_be_imitated_is_an_error_that_says_so() {
        let table = [
            ("Resources:", "Things:", "has no Resources"),
            ("Resources:", "Resources: [", "not YAML"),
            ("AuthorizerType: REQUEST", "AuthorizerType: JWT", "not a Lambda authorizer"),
            ("AuthorizerUri: !Sub", "AuthorizerUri: !GetAtt", "must name a function by a parameter"),
            ("/${Guard}/", "/${Unknown}/", "does not pass Unknown"),
            ("/${Guard}/", "/${Other}/", "does not pass Other"),
            ("FormatVersion: \"2.0\"", "FormatVersion: 1.0", "needs AuthorizerPayloadFormatVersion"),
            ("!If [AnswersSimply, true, false]", "yes", "must be true or false"),
            ("InSeconds: 60", "InSeconds: 3601", "AuthorizerResultTtlInSeconds must be"),
            ("[$request.header.Authorization]", "[$context.routeKey]", "must be a list"),
            ("[$request.header.Authorization]", "[]", "no identity source"),
            (
                "!Ref Orders, PayloadFormatVersion: 2.0",
                "!Ref Orders, PayloadFormatVersion: 1.0",
                "only PayloadFormatVersion",
            ),
            ("!Sub integrations/${Integration}", "integrations/x", "Target must be"),
            ("AuthorizerId: !Ref Authorizer", "", "AuthorizerId must be"),
            ("RouteKey: GET /orders/{id}", "RouteKey: !Ref Key", "RouteKey must be plain text"),
        ];
        for (old, new, expected) in table {
            assert!(NESTED.contains(old), "the fixture lacks {old:?}");
            let error = routes(MAIN, &NESTED.replacen(old, new, 1)).expect_err(new).to_string();
            assert!(error.contains(expected), "{new}: {error}");
        }
        let unnamed = MAIN.replace("BuildProperties: { Binary: orders }", "BuildProperties: {}");
        let error = routes(&unnamed, NESTED).unwrap_err().to_string();
        assert!(error.contains("needs Metadata.BuildProperties.Binary"), "{error}");
    }
}
