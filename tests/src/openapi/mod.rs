//! A request and its response against `docs/reference/openapi.yaml`, the one description of the HTTP API.
//!
//! [`Description::check`] finds the operation, and compares status, headers, content type and body of the response. The
//! request of a success must conform, too: what the description forbids must not work. Other requests may be wrong on
//! purpose. [`crate::service::Service`] and the black box check each exchange.

pub mod schema;

use daypass_core::http::request::Request;
use daypass_core::ports::context::{Operator, Principal};
use daypass_docs::root;
use daypass_testkit::Answer;
use http::Method;
use schema::Schemas;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The media type of responses that API Gateway makes itself; those of the functions name a charset.
pub const OF_GATEWAY: &str = "application/json";

/// Headers of the connection and of API Gateway, and the media type, which OpenAPI describes elsewhere.
const OTHER_HEADERS: [&str; 5] = ["apigw-requestid", "connection", "content-length", "content-type", "date"];

/// What a checked exchange has shown: an operation, a status, and the `error` of the body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The `operationId` of the operation.
    pub operation: String,
    /// The status code, as text.
    pub status: String,
    /// The error code, `message` for a response of API Gateway itself, or nothing. A response to `HEAD` shows no code.
    pub error: String,
}

/// The description, as data.
#[derive(Debug, Clone)]
pub struct Description(pub Value);

/// The description of this checkout.
///
/// # Panics
/// When the file is missing or not YAML.
#[must_use]
pub fn description() -> &'static Description {
    static FILE: LazyLock<Description> = LazyLock::new(|| {
        let text = std::fs::read_to_string(root().join("docs/reference/openapi.yaml")).unwrap();
        Description(daypass_gateway::template::parse(&text).unwrap())
    });
    &FILE
}

/// Fails the test when an exchange is not as described.
///
/// # Panics
/// With the problems.
pub fn assert_described(request: &Request, answer: &Answer) {
    if let Err(problems) = description().check(request, answer) {
        let (method, path) = (request.method(), request.uri().path());
        panic!("openapi.yaml does not describe {method} {path}:\n{}\n{answer:?}", problems.join("\n"));
    }
}

impl Description {
    /// Compares an exchange with the description. `None` means that the description names neither path nor method, and the
    /// response is the one that these get.
    ///
    /// # Errors
    /// The problems.
    pub fn check(&self, request: &Request, answer: &Answer) -> Result<Option<Shown>, Vec<String>> {
        let status = answer.status.to_string();
        let method = request.method().as_str().to_lowercase();
        let described = self.path(request.uri().path()).map(|item| (item, item.get(&method)));
        let response = match described {
            None if status == "404" => self.component("NotFound"),
            None | Some((_, None)) if status == "405" => self.component("MethodNotAllowed"),
            Some((_, Some(operation))) => match operation["responses"].get(&status) {
                Some(response) => self.resolve(response),
                None => return Err(vec![format!("the status {status} is not listed")]),
            },
            _ => return Err(vec![format!("{status} for a path or method that is not listed")]),
        };
        let mut problems = Vec::new();
        self.response(response, request.method() == Method::HEAD, answer, &mut problems);
        if let (Some((item, _)), Some(allow)) = (described, answer.header("allow")) {
            let own = ["get", "head", "post", "put", "patch", "delete"]
                .into_iter()
                .filter(|method| item.get(method).is_some());
            let own = own.map(str::to_uppercase).collect::<Vec<_>>().join(", ");
            if own != allow {
                problems.push(format!("Allow is {allow}, and the path has {own}"));
            }
        }
        let operation = described.and_then(|(item, operation)| Some((item, operation?)));
        if let Some((item, operation)) = operation
            && answer.status < 300
        {
            self.request(item, operation, request, &mut problems);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(operation.map(|(_, operation)| Shown {
            operation: operation["operationId"].as_str().unwrap().to_owned(),
            status,
            error: if method == "head" { String::new() } else { error_of(answer) },
        }))
    }

    /// Each status of each operation, with each error code that the description lists.
    #[must_use]
    pub fn listed(&self) -> Vec<Shown> {
        let mut all = Vec::new();
        for (_, method, operation) in self.operations() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let mut shown = |error: &str| {
                    let operation = operation["operationId"].as_str().unwrap().to_owned();
                    all.push(Shown { operation, status: status.clone(), error: error.to_owned() });
                };
                match self.resolve(response).get("content") {
                    None => shown(""),
                    Some(content) => content.as_object().unwrap().iter().for_each(|(media, content)| {
                        match self.codes(&content["schema"]) {
                            _ if media == OF_GATEWAY => shown("message"),
                            codes if codes.is_empty() || method == "head" => shown(""),
                            codes => codes.into_iter().for_each(&mut shown),
                        }
                    }),
                }
            }
        }
        all
    }

    /// The error codes that the schema of a response lists.
    #[must_use]
    pub fn codes<'a>(&self, schema: &'a Value) -> Vec<&'a str> {
        let error = &schema["properties"]["error"];
        let listed = error["enum"].as_array().into_iter().flatten().chain(error.get("const"));
        listed.filter_map(Value::as_str).collect()
    }

    /// All operations, each with its path and method.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
    }

    /// What a `$ref` refers to, or the value itself.
    #[must_use]
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.schemas(false).target(reference),
            None => value,
        }
    }

    fn schemas(&self, closed: bool) -> Schemas<'_> {
        Schemas { root: &self.0, closed }
    }

    fn component(&self, name: &str) -> &Value {
        &self.0["components"]["responses"][name]
    }

    /// The item of a path, whatever a stage or the base path of a domain puts before. Fixed segments go first.
    fn path(&self, path: &str) -> Option<&Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').skip(1).collect();
            segments.len() > template.len()
                && segments
                    .iter()
                    .rev()
                    .zip(template.iter().rev())
                    .all(|(one, template)| one == template || template.starts_with('{'))
        };
        let paths = self.0["paths"].as_object().unwrap().iter();
        let fitting = paths.filter(|(template, _)| fits(template));
        fitting.min_by_key(|(template, _)| template.contains('{')).map(|(_, item)| item)
    }

    fn response(&self, response: &Value, head: bool, answer: &Answer, problems: &mut Vec<String>) {
        let own_type = answer.header("content-type");
        match response.get("content").and_then(Value::as_object) {
            None if answer.body.is_empty() => {}
            None => problems.push("a body where none is listed".to_owned()),
            Some(_) if head && answer.body.is_empty() => {}
            Some(content) => match own_type.and_then(|own| content.get(own)) {
                None => problems.push(format!("the content type {own_type:?} is not listed")),
                Some(content) => match serde_json::from_slice(&answer.body) {
                    Err(error) => problems.push(format!("the body is not JSON: {error}")),
                    Ok(body) => {
                        let found = self.schemas(true).problems(&content["schema"], &body);
                        problems.extend(found.into_iter().map(|problem| format!("body: {problem}")));
                    }
                },
            },
        }
        if own_type != Some(OF_GATEWAY) {
            self.headers(response, answer, problems);
        }
    }

    /// All headers of a response of a function are listed, and have the values that the description allows.
    fn headers(&self, response: &Value, answer: &Answer, problems: &mut Vec<String>) {
        let none = Map::new();
        let listed = response.get("headers").and_then(Value::as_object).unwrap_or(&none);
        for (name, header) in listed {
            let header = self.resolve(header);
            let own = answer.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            let own: Vec<&str> = own.map(|(_, value)| value.as_str()).collect();
            if own.is_empty() {
                if header["required"] == true {
                    problems.push(format!("the header {name} is missing"));
                }
                continue;
            }
            self.text(&format!("the header {name}"), header, &own.join(", "), problems);
        }
        for (name, _) in &answer.headers {
            let known = listed.keys().any(|listed| listed.eq_ignore_ascii_case(name));
            if !known && !OTHER_HEADERS.contains(&name.as_str()) {
                problems.push(format!("the header {name} is not listed"));
            }
        }
    }

    /// The text of a header or a parameter.
    fn text(&self, name: &str, described: &Value, text: &str, problems: &mut Vec<String>) {
        let schema = &described["schema"];
        let number = if schema["type"] == "integer" { text.parse().ok() } else { None };
        let value = number.map_or_else(|| Value::from(text), |number: i64| Value::from(number));
        let found = self.schemas(false).problems(schema, &value);
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
    }

    /// The request of a success.
    fn request(&self, item: &Value, operation: &Value, request: &Request, problems: &mut Vec<String>) {
        let bearer = request.headers().get("authorization").is_some_and(|value| {
            value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
        });
        let guarded =
            operation["security"].as_array().unwrap().iter().any(|one| one.get("accessToken").is_some());
        if guarded && !bearer && request.extensions().get::<Principal>().is_none() {
            problems.push("a success without an access token".to_owned());
        }
        let by_iam = operation["security"].as_array().unwrap().iter().any(|one| one.get("iam").is_some());
        let signed = request
            .headers()
            .get("authorization")
            .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
        if by_iam && !signed && request.extensions().get::<Operator>().is_none() {
            problems.push("a success without an operator".to_owned());
        }
        let parameters =
            [item, operation].into_iter().filter_map(|one| one["parameters"].as_array()).flatten();
        for parameter in parameters.map(|parameter| self.resolve(parameter)) {
            let name = parameter["name"].as_str().unwrap();
            let value = match parameter["in"].as_str() {
                Some("header") => {
                    let all = request.headers().get_all(name).iter();
                    let all: Vec<&str> = all.map(|value| value.to_str().unwrap_or_default()).collect();
                    (!all.is_empty()).then(|| all.join(", "))
                }
                Some("query") => {
                    let query = request.uri().query().unwrap_or_default().as_bytes();
                    let mut found = form_urlencoded::parse(query).filter(|(own, _)| own == name);
                    found.next().map(|(_, value)| value.into_owned())
                }
                _ => request.uri().path().rsplit('/').next().map(str::to_owned),
            };
            if let Some(value) = value {
                self.text(&format!("the parameter {name}"), parameter, &value, problems);
            }
        }
        let Some(body) = operation.get("requestBody") else { return };
        let media =
            request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_lowercase();
        let Some(content) = body["content"].get(&media) else {
            problems.push(format!("a success with the content type {media}"));
            return;
        };
        let parsed = match media.as_str() {
            "application/json" => serde_json::from_slice(request.body()).unwrap_or_default(),
            _ => {
                let pairs = form_urlencoded::parse(request.body());
                pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
            }
        };
        let found = self.schemas(false).problems(&content["schema"], &parsed);
        problems.extend(found.into_iter().map(|problem| format!("the request of a success: {problem}")));
    }
}

fn error_of(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (body["error"].as_str(), body.get("message")) {
        (Some(error), _) => error.to_owned(),
        (None, Some(_)) => "message".to_owned(),
        (None, None) => String::new(),
    }
}
