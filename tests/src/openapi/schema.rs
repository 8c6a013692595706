//! JSON Schema (draft 2020-12): the keywords that `openapi.yaml` and the schema of OpenAPI 3.1 use. Another keyword panics.
//!
//! docs/adr/0065-an-openapi-description.md has the reason why no crate does this.

use regex_lite::Regex;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// Keywords that decide nothing. `format` annotates, as the draft has it by default.
const ANNOTATIONS: [&str; 11] = [
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
    "$schema",
    "default",
    "description",
    "example",
    "examples",
    "format",
    "title",
];

/// A document whose schemas refer to each other.
#[derive(Clone, Copy)]
pub struct Schemas<'a> {
    /// The document in which `$ref` points.
    pub root: &'a Value,
    /// Whether an object must not have members that its schema does not list, as if each schema had
    /// `unevaluatedProperties: false`.
    pub closed: bool,
}

impl<'a> Schemas<'a> {
    /// The problems of a value; none if it conforms to the schema. Each names its place in the value.
    #[must_use]
    pub fn problems(self, schema: &'a Value, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.whole(schema, value, "", &mut problems);
        problems
    }

    /// The target of a reference within the document.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn target(self, reference: &str) -> &'a Value {
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        target.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// A value as a whole: after its schema, what no part of the schema has evaluated.
    fn whole(self, schema: &'a Value, value: &Value, place: &str, problems: &mut Vec<String>) {
        let evaluated = self.apply(schema, value, place, problems);
        if let (true, Value::Object(_), Value::Object(members)) = (self.closed, schema, value) {
            let unlisted = members.keys().filter(|name| !evaluated.contains(*name));
            problems.extend(unlisted.map(|name| format!("{place}/{name} is not listed")));
        }
    }

    fn conforms(self, schema: &'a Value, value: &Value, evaluated: &mut BTreeSet<String>) -> bool {
        let mut problems = Vec::new();
        let seen = self.apply(schema, value, "", &mut problems);
        if problems.is_empty() {
            evaluated.extend(seen);
        }
        problems.is_empty()
    }

    /// Applies a schema; returns the members of the object that it has evaluated.
    fn apply(
        self,
        schema: &'a Value,
        value: &Value,
        place: &str,
        problems: &mut Vec<String>,
    ) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let keywords = match schema {
            Value::Bool(true) => return seen,
            Value::Object(keywords) => keywords,
            _ => {
                problems.push(format!("{place} is not allowed"));
                return seen;
            }
        };
        for (keyword, argument) in keywords {
            let holds = match keyword.as_str() {
                "$ref" => {
                    seen.extend(self.apply(self.target(text(argument)), value, place, problems));
                    true
                }
                "$dynamicRef" => {
                    seen.extend(self.apply(self.dynamic(text(argument)), value, place, problems));
                    true
                }
                "allOf" => {
                    for schema in list(argument) {
                        seen.extend(self.apply(schema, value, place, problems));
                    }
                    true
                }
                "dependentSchemas" => {
                    for (name, schema) in object(argument) {
                        if value.get(name).is_some() {
                            seen.extend(self.apply(schema, value, place, problems));
                        }
                    }
                    true
                }
                "if" => {
                    let branch = if self.conforms(argument, value, &mut seen) { "then" } else { "else" };
                    if let Some(schema) = keywords.get(branch) {
                        seen.extend(self.apply(schema, value, place, problems));
                    }
                    true
                }
                "anyOf" => {
                    let fits = list(argument).iter().filter(|schema| self.conforms(schema, value, &mut seen));
                    fits.count() > 0
                }
                "oneOf" => {
                    let fits = list(argument).iter().filter(|schema| self.conforms(schema, value, &mut seen));
                    fits.count() == 1
                }
                "not" => !self.conforms(argument, value, &mut BTreeSet::new()),
                "then" | "else" => true,
                "properties"
                | "patternProperties"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "propertyNames" => true,
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.whole(argument, item, &format!("{place}/{n}"), problems);
                    }
                    true
                }
                name if ANNOTATIONS.contains(&name) || name.starts_with("x-") => true,
                name => asserts(name, argument, value),
            };
            if !holds {
                problems.push(format!("{place} {value} breaks {keyword}: {argument}"));
            }
        }
        if let Value::Object(members) = value {
            self.members(keywords, members, place, &mut seen, problems);
        }
        seen
    }

    /// The keywords about members, in the order in which they depend on each other.
    fn members(
        self,
        keywords: &'a Map<String, Value>,
        members: &Map<String, Value>,
        place: &str,
        seen: &mut BTreeSet<String>,
        problems: &mut Vec<String>,
    ) {
        let mut own = BTreeSet::new();
        for (name, value) in members {
            let place = format!("{place}/{name}");
            if let Some(schema) = keywords.get("properties").and_then(|properties| properties.get(name)) {
                self.whole(schema, value, &place, problems);
                own.insert(name.clone());
            }
            for (pattern, schema) in keywords.get("patternProperties").into_iter().flat_map(object) {
                if matches(pattern, name) {
                    self.whole(schema, value, &place, problems);
                    own.insert(name.clone());
                }
            }
            if let Some(schema) = keywords.get("propertyNames") {
                self.whole(schema, &Value::String(name.clone()), &place, problems);
            }
        }
        for (keyword, known) in [
            ("additionalProperties", &own.clone()),
            ("unevaluatedProperties", &{
                let mut known = seen.clone();
                known.extend(own.clone());
                if keywords.contains_key("additionalProperties") {
                    known.extend(members.keys().cloned());
                }
                known
            }),
        ] {
            let Some(schema) = keywords.get(keyword) else { continue };
            for (name, value) in members.iter().filter(|(name, _)| !known.contains(*name)) {
                self.whole(schema, value, &format!("{place}/{name}"), problems);
                own.insert(name.clone());
            }
        }
        seen.extend(own);
    }

    /// The one schema with this `$dynamicAnchor`: no schema of ours overrides another's.
    fn dynamic(self, reference: &str) -> &'a Value {
        let name = reference.strip_prefix('#').unwrap();
        let mut all = object(&self.root["$defs"]).values();
        all.find(|schema| schema["$dynamicAnchor"] == name)
            .unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

/// Whether a keyword without subschemas holds.
///
/// # Panics
/// For another keyword than those that are known here.
fn asserts(keyword: &str, argument: &Value, value: &Value) -> bool {
    let size = |least: bool, size: Option<usize>| {
        let limit = usize::try_from(argument.as_u64().unwrap()).unwrap();
        size.is_none_or(|size| if least { size >= limit } else { size <= limit })
    };
    let chars = value.as_str().map(|text| text.chars().count());
    let members = value.as_object().map(Map::len);
    let items = value.as_array();
    match keyword {
        "type" => match argument {
            Value::Array(types) => types.iter().any(|one| is_of(text(one), value)),
            one => is_of(text(one), value),
        },
        "const" => argument == value,
        "enum" => list(argument).contains(value),
        "required" => value
            .as_object()
            .is_none_or(|value| list(argument).iter().all(|name| value.contains_key(text(name)))),
        "pattern" => value.as_str().is_none_or(|value| matches(text(argument), value)),
        "minLength" => size(true, chars),
        "maxLength" => size(false, chars),
        "minProperties" => size(true, members),
        "maxProperties" => size(false, members),
        "minItems" => size(true, items.map(Vec::len)),
        "maxItems" => size(false, items.map(Vec::len)),
        "uniqueItems" => {
            let twice = |items: &Vec<Value>| (1..items.len()).any(|n| items[..n].contains(&items[n]));
            argument == false || !items.is_some_and(twice)
        }
        "minimum" => value.as_f64().is_none_or(|value| value >= argument.as_f64().unwrap()),
        _ => panic!("the keyword {keyword} is not known here"),
    }
}

/// Whether a pattern occurs in a text. A pattern is compiled once in each thread.
fn matches(pattern: &str, text: &str) -> bool {
    thread_local!(static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default());
    COMPILED.with_borrow_mut(|compiled| match compiled.get(pattern) {
        Some(regex) => regex.is_match(text),
        None => {
            let regex = Regex::new(pattern).unwrap();
            compiled.entry(pattern.to_owned()).or_insert(regex).is_match(text)
        }
    })
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_number() && value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => panic!("there is no type {name}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{value} is not an object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(schema: &Value, good: &Value, bad: &Value) {
        let problems = |value| Schemas { root: schema, closed: false }.problems(schema, value);
        assert_eq!(problems(good), [""; 0], "{schema}");
        assert_ne!(problems(bad), [""; 0], "{schema}");
    }

    #[test]
    fn keywords() {
        check(&json!({ "type": "integer" }), &json!(1.0), &json!(1.5));
        check(&json!({ "type": ["string", "null"] }), &json!(null), &json!(false));
        check(&json!({ "const": [1] }), &json!([1]), &json!([]));
        check(&json!({ "enum": ["a", null] }), &json!(null), &json!("b"));
        check(&json!({ "required": ["a"] }), &json!({ "a": 1 }), &json!({}));
        check(&json!({ "pattern": "^a+$" }), &json!("aa"), &json!("ab"));
        check(&json!({ "minLength": 2, "maxLength": 3 }), &json!("äöü"), &json!("ä"));
        check(&json!({ "minProperties": 1 }), &json!({ "a": 1 }), &json!({}));
        check(&json!({ "maxProperties": 0 }), &json!({}), &json!({ "a": 1 }));
        check(&json!({ "minItems": 1, "maxItems": 2 }), &json!([1]), &json!([1, 2, 3]));
        check(&json!({ "uniqueItems": true }), &json!([1, 2]), &json!([1, 2, 1]));
        check(&json!({ "minimum": 1 }), &json!(1), &json!(0));
        check(&json!({ "items": { "type": "string" } }), &json!(["a"]), &json!(["a", 1]));
        check(&json!({ "properties": { "a": false } }), &json!({ "b": 1 }), &json!({ "a": 1 }));
        check(
            &json!({ "patternProperties": { "^x-": { "const": 1 } } }),
            &json!({ "y": 2 }),
            &json!({ "x-y": 2 }),
        );
        check(&json!({ "propertyNames": { "maxLength": 1 } }), &json!({ "a": 1 }), &json!({ "ab": 1 }));
        check(
            &json!({ "properties": { "a": true }, "additionalProperties": false }),
            &json!({ "a": 1 }),
            &json!({ "b": 1 }),
        );
        check(&json!({ "dependentSchemas": { "a": { "required": ["b"] } } }), &json!({}), &json!({ "a": 1 }));
        check(&json!({ "allOf": [{ "minimum": 1 }, { "type": "integer" }] }), &json!(1), &json!(1.5));
        check(&json!({ "anyOf": [{ "const": 1 }, { "type": "integer" }] }), &json!(1), &json!("a"));
        check(&json!({ "oneOf": [{ "const": 1 }, { "type": "integer" }] }), &json!(2), &json!(1));
        check(&json!({ "not": { "const": 1 } }), &json!(2), &json!(1));
        let branches = json!({ "if": { "const": 1 }, "then": true, "else": { "type": "string" } });
        check(&branches, &json!(1), &json!(2));
        let references = json!({
            "$defs": { "a": { "$dynamicAnchor": "meta", "properties": { "a": { "$dynamicRef": "#meta" } } } },
            "$ref": "#/$defs/a", "unevaluatedProperties": false,
        });
        check(&references, &json!({ "a": { "b": 1 } }), &json!({ "b": 1 }));
    }

    #[test]
    fn a_closed_object_has_listed_members_alone() {
        let schema = json!({ "properties": { "a": { "properties": { "b": true } } } });
        let problems = |value: &Value| Schemas { root: &schema, closed: true }.problems(&schema, value);
        assert_eq!(problems(&json!({ "a": { "b": 1 } })), [""; 0]);
        assert_eq!(problems(&json!({ "a": { "c": 1 }, "d": 1 })), ["/a/c is not listed", "/d is not listed"]);
    }

    #[test]
    #[should_panic(expected = "the keyword exclusiveMinimum is not known here")]
    fn an_unknown_keyword_fails() {
        let schema = json!({ "exclusiveMinimum": 1 });
        let _ = Schemas { root: &schema, closed: false }.problems(&schema, &json!(2));
    }
}
