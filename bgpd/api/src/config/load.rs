//! Text to [`Config`]. The only module that knows the YAML library.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::locate::{locate, scalar};
use super::{Config, ConfigError, Fault, Name};

/// Longest document that is read. Unit: bytes.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// Reads and checks a document. `source` is what messages call it: a file's path, or `Apply`.
///
/// # Errors
/// Every fault of meaning, or the first fault of syntax or type.
pub fn load(text: &str, source: &str) -> Result<Config, ConfigError> {
    let config: Config = typed(text, source)?;
    refused(text, source, config.faults()).map_or(Ok(config), Err)
}

/// Reads a text as a type.
pub(super) fn typed<T: serde::de::DeserializeOwned>(text: &str, source: &str) -> Result<T, ConfigError> {
    let refuse = |fault| ConfigError { source_name: source.to_owned(), faults: vec![fault] };
    if text.len() > MAX_DOCUMENT {
        return Err(refuse(Fault {
            line: 0,
            column: 0,
            path: String::new(),
            value: format!("{} bytes", text.len()),
            rule: format!("a document has at most {MAX_DOCUMENT} bytes"),
        }));
    }
    serde_yaml::from_str(text).map_err(|error| refuse(fault_of(text, &error)))
}

/// The faults of a text with their places; `None` if there are none.
pub(super) fn refused(text: &str, source: &str, mut faults: Vec<Fault>) -> Option<ConfigError> {
    for fault in &mut faults {
        (fault.line, fault.column) = locate(text, &fault.path).unwrap_or((0, 0));
    }
    faults.sort_by_key(|fault| (fault.line, fault.column));
    (!faults.is_empty()).then(|| ConfigError { source_name: source.to_owned(), faults })
}

/// A document as YAML.
pub fn to_yaml(config: &Config) -> String {
    serde_yaml::to_string(config).expect("every field of a document has a YAML form")
}

/// The library writes `path: message at line 1 column 2`; the parts are wanted apart.
fn fault_of(document: &str, error: &serde_yaml::Error) -> Fault {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let text = error.to_string();
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    let (path, rule) = match message.split_once(": ") {
        Some((path, rule)) if !path.contains(char::is_whitespace) => (path, rule),
        _ => ("", message),
    };
    // Most messages quote the value. Those that do not (std's about addresses) get it from the text.
    let value = if path.is_empty() { None } else { scalar(document, path) };
    let value = value.filter(|value| !rule.contains(value.as_str())).unwrap_or_default();
    Fault { line, column, path: path.to_owned(), value, rule: rule.to_owned() }
}

/// Deserialises anything that has one text form.
pub(super) fn text<'de, D, T>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Text<T>(&'static str, PhantomData<T>);
    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
        // `1` in a list of paths or names is a number to YAML, but means its text here.
        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            number.to_string().parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Text(expecting, PhantomData))
}

/// A map that refuses a name given twice, where the collection itself would keep the last one in silence.
pub(super) fn unique_map<'de, D, T>(deserializer: D) -> Result<BTreeMap<Name, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Unique<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<Name, T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of names")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(name) = access.next_key::<Name>()? {
                let value = access.next_value()?;
                match map.entry(name) {
                    Entry::Vacant(entry) => entry.insert(value),
                    Entry::Occupied(entry) => {
                        return Err(A::Error::custom(format!("{:?} is defined twice", entry.key().as_str())));
                    }
                };
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}

#[cfg(test)]
mod tests;
