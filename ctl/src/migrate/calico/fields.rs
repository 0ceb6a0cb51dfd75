//! The fields of one object: every one of them is carried over, changed, dropped with a reason, or reported as unknown.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document::Source;
use super::note::{Notes, Outcome};

/// Fields that mean nothing in Cairn, with the reason.
pub(super) type Reasons = &'static [(&'static str, &'static [&'static str])];

/// What is left to read of an object.
pub(super) struct Fields<'n> {
    object: String,
    values: Map<String, Value>,
    notes: &'n mut Notes,
}

impl<'n> Fields<'n> {
    /// All of an object's spec. What says nothing (null, an empty text) is as good as absent in Calico.
    pub(super) fn of(source: &Source, notes: &'n mut Notes) -> Self {
        let mut values = source.spec.clone();
        values.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        Self { object: source.label(), values, notes }
    }

    /// The value of a field, before it is read.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name)
    }

    /// Puts a field in the place of what was read.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// Records a finding about a field.
    pub(super) fn note(&mut self, outcome: Outcome, name: &str, value: &Value, rule: impl Into<String>) {
        self.notes.add(outcome, &self.object, &path(name), Shown(value), rule);
    }

    /// Takes a field out, with a reason for it.
    pub(super) fn drop(&mut self, name: &str, rule: &str) {
        if let Some(value) = self.values.remove(name) {
            self.note(Outcome::Dropped, name, &value, rule);
        }
    }

    /// Takes out all fields of a table.
    pub(super) fn drop_all(&mut self, reasons: Reasons) {
        for (rule, names) in reasons {
            for name in *names {
                self.drop(name, rule);
            }
        }
    }

    /// Reads the named fields as Cairn reads them, and reports every other one as unknown. `None` where Cairn cannot read one.
    pub(super) fn carry<T: DeserializeOwned>(mut self, names: &[&str]) -> Option<T> {
        let mut carried = Map::new();
        for (name, value) in std::mem::take(&mut self.values) {
            if names.contains(&name.as_str()) {
                carried.insert(name, value);
            } else {
                self.note(
                    Outcome::Dropped,
                    &name,
                    &value,
                    "a field that this version of cairnctl does not know",
                );
            }
        }
        match serde_path_to_error::deserialize(&Value::Object(carried.clone())) {
            Ok(spec) => Some(spec),
            Err(error) => {
                let at = error.path().to_string();
                let value = value_at(&carried, error.path());
                self.note(Outcome::Refused, &at, &value, error.into_inner().to_string());
                None
            }
        }
    }
}

fn path(name: &str) -> String {
    if name.is_empty() || name == "." { "spec".to_owned() } else { format!("spec.{name}") }
}

/// What stands at the place where reading stopped.
fn value_at(map: &Map<String, Value>, path: &serde_path_to_error::Path) -> Value {
    use serde_path_to_error::Segment;
    let mut segments = path.iter();
    let first = match segments.next() {
        Some(Segment::Map { key }) => map.get(key),
        _ => None,
    };
    let found = segments.try_fold(first, |at, segment| match (at, segment) {
        (Some(Value::Object(map)), Segment::Map { key }) => Some(map.get(key)),
        (Some(Value::Array(items)), Segment::Seq { index }) => Some(items.get(*index)),
        _ => None,
    });
    found.flatten().cloned().unwrap_or(Value::Null)
}

/// A value as people write it: text without quotes.
pub(super) struct Shown<'a>(pub(super) &'a Value);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Value::Null => Ok(()),
            Value::String(text) => f.write_str(text),
            value => value.fmt(f),
        }
    }
}
