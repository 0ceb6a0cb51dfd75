//! Keys out of a JSON object, each with an error that names it and its value.

use std::fmt;

use felix_api::{Code, Refusal};
use serde_json::{Map, Value};

/// An object whose keys are taken out one by one.
pub(super) struct Fields {
    /// What stands before a key in messages: empty, or `ipam`.
    of: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(super) fn new(of: impl Into<String>, map: Map<String, Value>) -> Self {
        Self { of: of.into(), map }
    }

    /// Of what runtimes give by capabilities. They spell keys as they like, for Go's reader does not mind: containerd writes `HostPort`
    /// and `IngressRate` where the conventions have `hostPort` and `ingressRate`.
    pub(super) fn in_any_case(of: impl Into<String>, map: Map<String, Value>, keys: &[&str]) -> Self {
        let spelled = |key: String| {
            keys.iter()
                .find(|known| known.eq_ignore_ascii_case(&key))
                .map_or(key, |known| (*known).to_owned())
        };
        Self::new(of, map.into_iter().map(|(key, value)| (spelled(key), value)).collect())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Refusal> {
        let value = self.take(key);
        text(&self.path(key), value)
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| wrong_type(&self.path(key), &value, "a whole number from 0"))
    }

    /// A boolean, or one of the strings `true` and `false`, as Calico's configurations have it.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(other) => Err(wrong_type(&self.path(key), &other, "true or false")),
        }
    }

    pub(super) fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(wrong_type(&self.path(key), &other, "an object")),
        }
    }

    /// Refuses what was not taken.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.map.iter().next() {
            None => Ok(()),
            Some((key, value)) => {
                let key: String = key.chars().take(64).collect();
                let msg =
                    format!("the key {} with the value {} is not supported", self.path(&key), shown(value));
                Err(Refusal::new(Code::UNSUPPORTED_FIELD, msg))
            }
        }
    }

    fn path(&self, key: &str) -> String {
        if self.of.is_empty() { key.to_owned() } else { format!("{}.{key}", self.of) }
    }
}

pub(super) fn text(path: &str, value: Option<Value>) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(path, &other, "a string")),
    }
}

/// A list of strings.
pub(super) fn texts(path: &str, value: Option<Value>) -> Result<Vec<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.into_iter().map(|item| text(path, Some(item)).map(Option::unwrap_or_default)).collect()
        }
        Some(other) => Err(wrong_type(path, &other, "a list of strings")),
    }
}

/// The value is JSON of another type than it should be.
pub(super) fn wrong_type(path: &str, value: &Value, wanted: &str) -> Refusal {
    Refusal::new(Code::DECODE, format!("{path}: {} is not {wanted}", shown(value)))
}

/// The value breaks a rule.
pub(super) fn invalid(path: &str, value: impl fmt::Display, rule: &str) -> Refusal {
    let value: String = value.to_string().chars().take(64).collect();
    Refusal::new(Code::INVALID_CONFIG, format!("{path}: {value:?} is not valid")).because(rule)
}

/// The same where the error says it all.
pub(super) fn rule(path: &str, error: impl fmt::Display) -> Refusal {
    Refusal::new(Code::INVALID_CONFIG, format!("{path} is not valid")).because(error)
}

/// JSON, cut to what a person will read.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(64).collect()
}
