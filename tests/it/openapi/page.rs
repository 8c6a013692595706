//! The page of the HTTP API, from `openapi.yaml`.

use daypass_docs::escaped;
use daypass_tests::openapi::{Description, OF_GATEWAY};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The page up to its section about cost.
pub(super) fn page(description: &Description) -> String {
    let document = &description.0;
    let mut page = format!(
        "# HTTP API\n\n{}\n\nThis page is generated from [`openapi.yaml`](openapi.yaml) (OpenAPI 3.1).\n",
        text(&document["info"], "description")
    );
    let mut shown = BTreeSet::new();
    for tag in document["tags"].as_array().unwrap() {
        let name = text(tag, "name");
        write!(page, "\n## {name}\n\n{}\n", text(tag, "description")).unwrap();
        // A summary makes a section; preflights and HEAD requests have none.
        for (path, method, operation) in description.operations() {
            if operation["tags"][0] == name && operation.get("summary").is_some() {
                write!(page, "\n### {} {path}\n", method.to_uppercase()).unwrap();
                self::operation(&mut page, description, &document["paths"][path], operation, &mut shown);
            }
        }
    }
    page.push_str("\n## Headers\n\n| Header | Meaning |\n|---|---|\n");
    page.push_str(&headers(description));
    page
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn operation<'a>(
    page: &mut String,
    description: &'a Description,
    item: &'a Value,
    operation: &'a Value,
    shown: &mut BTreeSet<&'a str>,
) {
    let paragraphs = [format!("{}.", text(operation, "summary")), text(operation, "description").to_owned()];
    for paragraph in paragraphs.iter().filter(|paragraph| !paragraph.is_empty()) {
        write!(page, "\n{paragraph}\n").unwrap();
    }
    let described = [item, operation].into_iter().filter_map(|one| one["parameters"].as_array()).flatten();
    let mut rows = String::new();
    let mut row = |name: &str, place: &str, required: bool, meaning: &str| {
        let required = if required { "yes" } else { "" };
        writeln!(rows, "| `{name}` | {place} | {required} | {} |", escaped(meaning)).unwrap();
    };
    for parameter in described.map(|parameter| description.resolve(parameter)) {
        let required = parameter["required"] == true;
        row(text(parameter, "name"), text(parameter, "in"), required, text(parameter, "description"));
    }
    // Both media types of a body have one schema.
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let schema = description.resolve(&content.values().next().unwrap()["schema"]);
        for (name, required, meaning) in members(schema) {
            row(name, "body", required, meaning);
        }
    }
    if !rows.is_empty() {
        write!(page, "\n| Parameter | In | Required | Meaning |\n|---|---|---|---|\n{rows}").unwrap();
    }
    page.push_str("\n| Status | `error` | Meaning |\n|---|---|---|\n");
    for (status, response) in operation["responses"].as_object().unwrap() {
        let response = description.resolve(response);
        let codes = codes(description, response);
        let meaning = text(response, "description").split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(page, "| {status} | {codes} | {} |", escaped(&meaning)).unwrap();
    }
    let success = &operation["responses"]["200"]["content"];
    for content in success.as_object().into_iter().flat_map(Map::values) {
        body(page, description, content, shown);
    }
}

/// The error codes of a response, and `message` where API Gateway makes it.
fn codes(description: &Description, response: &Value) -> String {
    let contents = response["content"].as_object().into_iter().flatten();
    let codes = contents.flat_map(|(media, content)| match media.as_str() {
        OF_GATEWAY => vec!["message"],
        _ => description.codes(&content["schema"]),
    });
    let mut codes: Vec<String> = codes.map(|code| format!("`{code}`")).collect();
    // The media type of API Gateway comes first in the order of names.
    if codes.len() > 1 && codes[0] == "`message`" {
        codes.rotate_left(1);
    }
    codes.join(", ")
}

/// The body of a success: its example, and once on the page, its members.
fn body<'a>(
    page: &mut String,
    description: &'a Description,
    content: &'a Value,
    shown: &mut BTreeSet<&'a str>,
) {
    let mut open = vec![("", &content["schema"])];
    let mut tables = String::new();
    while let Some((member, schema)) = open.pop() {
        let resolved = description.resolve(schema);
        let Some(properties) = resolved["properties"].as_object() else { continue };
        let (title, name) = match text(schema, "$ref").rsplit('/').next() {
            Some("") | None => (format!("An element of `{member}`"), member),
            Some(name) => (format!("`{name}`"), name),
        };
        if !shown.insert(name) {
            continue;
        }
        let about = text(resolved, "description");
        let about = if about.is_empty() { String::new() } else { format!(" {about}") };
        write!(tables, "\n{title} has these members.{about}\n\n| Member | Meaning |\n|---|---|\n").unwrap();
        for (name, _, meaning) in members(resolved) {
            writeln!(tables, "| `{name}` | {} |", escaped(meaning)).unwrap();
        }
        open.extend(
            properties.iter().filter_map(|(name, property)| Some((name.as_str(), property.get("items")?))),
        );
    }
    if let Some(example) = content.get("example").filter(|_| !tables.is_empty()) {
        write!(page, "\n```json\n{}\n```\n{tables}", serde_json::to_string_pretty(example).unwrap()).unwrap();
    }
}

/// The members of an object: name, whether it is required, and meaning. Those that are required come first.
fn members(schema: &Value) -> Vec<(&str, bool, &str)> {
    let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
    let place = |name: &str| required.iter().position(|one| *one == name).unwrap_or(usize::MAX);
    let all = schema["properties"].as_object().into_iter().flatten();
    let mut all: Vec<_> = all.map(|(name, property)| (place(name), name.as_str(), property)).collect();
    all.sort_by_key(|(place, name, _)| (*place, *name));
    let row = |(place, name, property)| (name, place < usize::MAX, text(property, "description"));
    all.into_iter().map(row).collect()
}

/// The headers of responses: which of them each response has is in the file.
fn headers(description: &Description) -> String {
    let responses =
        description.operations().flat_map(|(_, _, operation)| operation["responses"].as_object().unwrap());
    let own = responses.map(|(_, response)| description.resolve(response));
    let own = own.chain(description.0["components"]["responses"].as_object().unwrap().values());
    let mut rows = BTreeSet::new();
    for (name, header) in own.filter_map(|response| response["headers"].as_object()).flatten() {
        let header = description.resolve(header);
        let value =
            header["schema"]["const"].as_str().map(|value| format!("`{value}`: ")).unwrap_or_default();
        rows.insert(format!(
            "| `{name}` | {} |\n",
            escaped(&format!("{value}{}", text(header, "description")))
        ));
    }
    rows.into_iter().collect()
}
