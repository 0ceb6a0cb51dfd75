//! YAML in and out. The only place that knows the YAML library.
//!
//! Each fault says file, line, column, field path and rule. Input is bounded by [`MAX_SIZE`] and [`MAX_DEPTH`], before the library
//! sees it: its scanner takes time quadratic in the depth. The library bounds the expansion of aliases.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{Faults, Kind, Object};

/// Largest manifest that is read. Unit: bytes.
pub const MAX_SIZE: usize = 1 << 20;
/// Largest dump of a cluster that is read. Unit: bytes.
pub const MAX_DUMP: usize = 256 << 20;
/// Deepest nesting in one line of a manifest. Unit: brackets that are open, or `- ` that lead a line.
pub const MAX_DEPTH: usize = 100;

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// It is not YAML, or not of the wanted form.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// Field path and rule.
        message: String,
    },
    /// It is of the form, and breaks rules.
    #[error("{file}: {faults}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong.
        faults: Faults,
    },
    /// It is too large to be read.
    #[error("{file}: {size} bytes: a manifest has at most {most}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        size: usize,
        /// The most that it may have.
        most: usize,
    },
    /// It is nested too deeply to be read.
    #[error("{place}: nested too deeply: at most {MAX_DEPTH} levels")]
    TooDeep {
        /// Where.
        place: Place,
    },
    /// There is not exactly one object in it.
    #[error("{file}: {count} documents: exactly one object belongs in this file")]
    Count {
        /// The file.
        file: String,
        /// How many documents there are; 0 also for a file of nothing but comments.
        count: usize,
    },
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given.
    pub file: String,
    /// Line and column from 1, where they are known.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Which kind a document is of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeMeta {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
}

/// Reads the one object of a file and checks it.
///
/// Errors: see [`LoadError`].
pub fn object<K: Kind>(file: &str, text: &str) -> Result<Object<K>, LoadError> {
    let documents = documents(file, text)?;
    let [document] = documents.as_slice() else {
        return Err(LoadError::Count { file: file.to_owned(), count: documents.len() });
    };
    document.object()
}

/// Reads any value from the one document of a file.
///
/// Errors: see [`LoadError`].
pub fn value<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, LoadError> {
    check_bounds(file, text, MAX_SIZE)?;
    serde_yaml::from_str(text).map_err(|error| syntax(file, 0, &error))
}

/// Writes an object.
///
/// Errors: only if a kind's own serialisation fails; with a text for people.
pub fn to_yaml<K: Kind>(object: &Object<K>) -> Result<String, String> {
    value_to_yaml(object)
}

/// Writes any value.
///
/// Errors: with a text for people.
pub fn value_to_yaml(value: &impl serde::Serialize) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}

/// A manifest that somebody wrote, with the object's status in place of its own: comments, order and line breaks of the rest stay.
///
/// `None` where the text is not simple enough for that: the status is not its last field, or there are several documents.
pub fn with_status<K: Kind>(text: &str, object: &Object<K>) -> Option<String> {
    let status = serde_yaml::to_string(object.status.as_ref()?).ok()?;
    let mut kept = String::with_capacity(text.len() + status.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if inside && !line.starts_with([' ', '\t', '-', '#', '\r', '\n']) {
            return None;
        }
        inside |= line.starts_with("status:");
        if !inside {
            kept.push_str(line);
        }
    }
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    kept.push_str("status:\n");
    status.lines().for_each(|line| kept.extend(["  ", line, "\n"]));
    // Whatever else the text may be: it is used only if it reads as it should.
    let mut read: Object<K> = self::object("", &kept).ok()?;
    read.metadata.resource_version.clone_from(&object.metadata.resource_version);
    (read == *object).then_some(kept)
}

/// One document of a file of several, as `kubectl` takes them.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    first_line: usize,
}

impl Document<'_> {
    /// Which kind it is of.
    ///
    /// Errors: [`LoadError::Syntax`].
    pub fn type_meta(&self) -> Result<TypeMeta, LoadError> {
        self.read()
    }

    /// Reads it as an object of a kind, and checks it.
    ///
    /// Errors: [`LoadError::Syntax`], [`LoadError::Invalid`].
    pub fn object<K: Kind>(&self) -> Result<Object<K>, LoadError> {
        let object: Object<K> = self.read()?;
        match object.validate() {
            Ok(()) => Ok(object),
            Err(faults) => Err(LoadError::Invalid { file: self.file.to_owned(), faults }),
        }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, LoadError> {
        serde_yaml::from_str(self.text).map_err(|error| syntax(self.file, self.first_line, &error))
    }
}

/// Cuts a file at its `---` lines. Documents of nothing but comments are left out.
///
/// Errors: [`LoadError::TooLarge`], [`LoadError::TooDeep`].
pub fn documents<'a>(file: &'a str, text: &'a str) -> Result<Vec<Document<'a>>, LoadError> {
    check_bounds(file, text, MAX_SIZE)?;
    Ok(cut(file, text))
}

/// Reads whatever a dump of a cluster has, as `kubectl get --output yaml` or `--output json` print it: any number of documents, of any kinds.
///
/// Errors: [`LoadError::TooLarge`] beyond [`MAX_DUMP`], [`LoadError::TooDeep`], [`LoadError::Syntax`].
pub fn dump(file: &str, text: &str) -> Result<Vec<serde_json::Value>, LoadError> {
    if text.trim_start().starts_with(['{', '[']) {
        // A list of thousands of objects, where the library for YAML would take minutes.
        if text.len() > MAX_DUMP {
            return Err(LoadError::TooLarge { file: file.to_owned(), size: text.len(), most: MAX_DUMP });
        }
        let documents = serde_json::Deserializer::from_str(text).into_iter();
        return documents.collect::<Result<_, _>>().map_err(|error| json_syntax(file, &error));
    }
    check_bounds(file, text, MAX_DUMP)?;
    cut(file, text).iter().map(Document::read).collect()
}

fn cut<'a>(file: &'a str, text: &'a str) -> Vec<Document<'a>> {
    let mut found = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.trim_end();
        if marker == "---" || marker.starts_with("--- ") {
            found.push(Document { file, text: &text[start..at], first_line });
            // What follows the marker on its line belongs to the next document.
            start = at + 3;
            first_line = number;
        }
        at += line.len();
    }
    found.push(Document { file, text: &text[start..], first_line });
    found.retain(|document| document.text.lines().any(has_content));
    found
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && line != "..."
}

fn check_bounds(file: &str, text: &str, most: usize) -> Result<(), LoadError> {
    if text.len() > most {
        return Err(LoadError::TooLarge { file: file.to_owned(), size: text.len(), most });
    }
    let mut open = 0usize;
    for (number, line) in text.lines().enumerate() {
        let lead = line.split([' ', '\t']).take_while(|word| matches!(*word, "" | "-" | "?"));
        let dashes = lead.filter(|word| !word.is_empty()).count();
        for (at, byte) in line.bytes().enumerate() {
            // Brackets inside quotes are counted too: more than a hundred unclosed ones are no manifest of ours.
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_DEPTH || dashes > MAX_DEPTH {
                let place = Place { file: file.to_owned(), position: Some((number + 1, at + 1)) };
                return Err(LoadError::TooDeep { place });
            }
        }
    }
    Ok(())
}

fn syntax(file: &str, first_line: usize, error: &serde_yaml::Error) -> LoadError {
    let position = error.location().map(|location| (first_line + location.line(), location.column()));
    let mut message = error.to_string();
    // The position stands in front; the library's own is relative to the document.
    if let Some(at) = message.rfind(" at line ").filter(|_| position.is_some()) {
        message.truncate(at);
    }
    LoadError::Syntax { place: Place { file: file.to_owned(), position }, message }
}

fn json_syntax(file: &str, error: &serde_json::Error) -> LoadError {
    let position = (error.line() > 0).then(|| (error.line(), error.column()));
    let mut message = error.to_string();
    if let Some(at) = message.rfind(" at line ").filter(|_| position.is_some()) {
        message.truncate(at);
    }
    LoadError::Syntax { place: Place { file: file.to_owned(), position }, message }
}

#[cfg(test)]
mod tests;
