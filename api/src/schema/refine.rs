use serde_json::{Map, Value, json};

/// Adds to a schema what its types cannot say, field by field.
#[derive(Debug)]
pub struct Refinement<'a> {
    schema: &'a mut Value,
    missing: Option<String>,
    /// What is written to where a path leads nowhere; the path is remembered.
    nowhere: Value,
}

/// One field.
#[derive(Debug)]
pub struct Field<'a>(&'a mut Value);

impl<'a> Refinement<'a> {
    pub(super) fn new(schema: &'a mut Value) -> Self {
        Self { schema, missing: None, nowhere: Value::Object(Map::new()) }
    }

    /// The first path that led nowhere.
    pub(super) fn into_missing(self) -> Option<String> {
        self.missing
    }

    /// A field by its path, such as `spec.communities[].name`; the empty path is the object.
    pub fn at(&mut self, path: &str) -> Field<'_> {
        if walk(self.schema, path).is_none() {
            self.missing.get_or_insert_with(|| path.to_owned());
            return Field(&mut self.nowhere);
        }
        match walk(self.schema, path) {
            Some(field) => Field(field),
            None => Field(&mut self.nowhere),
        }
    }
}

fn walk<'v>(schema: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(schema, |node, part| {
        let (name, items) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
        let node = node.get_mut("properties")?.get_mut(name)?;
        if items { node.get_mut("items") } else { Some(node) }
    })
}

impl Field<'_> {
    fn set(self, key: &str, value: Value) -> Self {
        if let Some(schema) = self.0.as_object_mut() {
            schema.insert(key.to_owned(), value);
        }
        self
    }

    /// A number from the least to the most, both inclusive.
    pub fn range(self, least: u64, most: u64) -> Self {
        self.set("minimum", json!(least)).set("maximum", json!(most))
    }

    /// A list of that many items. API servers count the cost of rules by the most.
    pub fn items(self, least: usize, most: usize) -> Self {
        let field = self.set("maxItems", json!(most));
        if least == 0 { field } else { field.set("minItems", json!(least)) }
    }

    /// A text of at most so many characters.
    pub fn length(self, most: usize) -> Self {
        self.set("maxLength", json!(most))
    }

    /// A text that matches.
    pub fn pattern(self, pattern: &str) -> Self {
        self.set("pattern", json!(pattern))
    }

    /// A list of objects that this field tells apart: each value once.
    pub fn keyed_by(self, key: &str) -> Self {
        self.set("x-kubernetes-list-type", json!("map")).set("x-kubernetes-list-map-keys", json!([key]))
    }

    /// What must hold (CEL), and what is said where it does not.
    pub fn rule(self, rule: &str, message: &str) -> Self {
        if let Some(schema) = self.0.as_object_mut() {
            let rules = schema.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Some(rules) = rules.as_array_mut() {
                rules.push(json!({ "rule": rule, "message": message }));
            }
        }
        self
    }
}
