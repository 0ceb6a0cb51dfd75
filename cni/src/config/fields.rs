//! Keys out of a JSON object, each with an error that names it and its value.

use felix_api::value::shown;
pub(super) use felix_api::value::{invalid, rule, text, texts, wrong_type};
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
