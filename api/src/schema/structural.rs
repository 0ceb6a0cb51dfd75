//! From a JSON schema to the structural form of CustomResourceDefinitions (apiextensions.k8s.io/v1): one type per node, no references,
//! alternatives only as enumerations.

use serde_json::{Map, Value, json};

/// Formats that API servers check; others say nothing to them.
const FORMATS: [&str; 3] = ["int32", "int64", "date-time"];

/// Rewrites a schema and all below it.
pub fn rewrite(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    only_alternative(node);
    enumeration(node);
    // Absent and null are the same to our readers, and API servers take null for absent.
    if let Some(Value::Array(types)) = node.get("type")
        && let Some(first) = types.iter().find(|name| *name != "null").cloned()
    {
        node.insert("type".to_owned(), first);
    }
    // Unknown fields are refused or pruned by the server; where it says so it may not say `false` too.
    if node.get("additionalProperties") == Some(&Value::Bool(false)) {
        node.remove("additionalProperties");
    }
    node.retain(|key, value| match key.as_str() {
        "$schema" | "title" => false,
        "default" => !value.is_null(),
        "format" => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        _ => true,
    });
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = plain(text);
    }
    if let Some(Value::Object(fields)) = node.get_mut("properties") {
        fields.values_mut().for_each(rewrite);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = node.get_mut(key) {
            rewrite(inner);
        }
    }
}

/// What is reported is neither filled in nor judged by a server: only its fields and types are known there.
pub fn as_reported(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    node.remove("default");
    node.remove("x-kubernetes-validations");
    if let Some(Value::Object(fields)) = node.get_mut("properties") {
        fields.values_mut().for_each(as_reported);
    }
    if let Some(items) = node.get_mut("items") {
        as_reported(items);
    }
}

/// `anyOf` of something and null, and `allOf` of one thing, are that thing.
fn only_alternative(node: &mut Map<String, Value>) {
    for key in ["anyOf", "allOf"] {
        let Some(Value::Array(alternatives)) = node.get(key) else { continue };
        let mut real = alternatives.iter().filter(|alternative| alternative["type"] != "null");
        let (Some(Value::Object(one)), None) = (real.next().cloned(), real.next()) else { continue };
        node.remove(key);
        for (key, value) in one {
            // What is said of the field goes before what is said of its type.
            node.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` of constants is an enumeration. What is said of each word is said of all of them together.
fn enumeration(node: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = node.get("oneOf") else { return };
    let mut words = Vec::new();
    let mut lines = Vec::new();
    for alternative in alternatives {
        let said = alternative["description"].as_str();
        let listed = alternative["enum"].as_array().cloned().unwrap_or_default();
        for word in alternative.get("const").into_iter().chain(&listed) {
            lines.extend(said.map(|said| format!("{}: {}", word.as_str().unwrap_or_default(), plain(said))));
            words.push(word.clone());
        }
    }
    if words.is_empty() {
        return;
    }
    node.remove("oneOf");
    node.insert("type".to_owned(), json!("string"));
    node.insert("enum".to_owned(), Value::Array(words));
    if !lines.is_empty() {
        let own = node.get("description").and_then(Value::as_str).map(plain);
        let text: Vec<String> = own.into_iter().chain(lines).collect();
        node.insert("description".to_owned(), json!(text.join(" ")));
    }
}

/// Documentation without the marks of links between types, in one line.
fn plain(text: &str) -> String {
    let text = text.replace("[`", "`").replace("`]", "`").replace("crate::", "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_enumeration_becomes_one_list_of_words() {
        let mut schema = json!({
            "$schema": "x",
            "title": "T",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "mode": {
                    "description": "How. See\n[`Other`].",
                    "default": null,
                    "anyOf": [
                        { "oneOf": [
                            { "const": "A", "type": "string", "description": "One." },
                            { "const": "B", "type": "string" },
                        ] },
                        { "type": "null" },
                    ],
                },
                "port": { "type": ["integer", "null"], "format": "uint16", "minimum": 0 },
            },
        });
        rewrite(&mut schema);
        let expected = json!({
            "type": "object",
            "properties": {
                "mode": { "type": "string", "enum": ["A", "B"], "description": "How. See `Other`. A: One." },
                "port": { "type": "integer", "minimum": 0 },
            },
        });
        assert_eq!(schema, expected);
    }
}
