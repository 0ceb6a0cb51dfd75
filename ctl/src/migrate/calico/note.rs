//! What a translation has to say about what it read.

use std::fmt::{self, Display};

use serde::Serialize;

/// What became of something that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// The object is not translated: Cairn refuses what it would say.
    Refused,
    /// It is translated, and somebody has to do something besides.
    ByHand,
    /// It is translated, and means something else.
    Changed,
    /// It has no counterpart, and is left out.
    Dropped,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::ByHand => "by hand",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Calico's object, as `kind name` or `kind namespace/name`.
    pub(crate) object: String,
    /// The field's path. Empty where the whole object is meant.
    pub(crate) field: String,
    /// What was found there, cut to 128 characters.
    pub(crate) value: String,
    /// Why, and what to do.
    pub(crate) rule: String,
}

/// All findings of a translation, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<Note>);

impl Notes {
    /// Records a finding.
    pub(super) fn add(
        &mut self,
        outcome: Outcome,
        object: &str,
        field: &str,
        value: impl Display,
        rule: impl Into<String>,
    ) {
        let value = value.to_string().chars().take(128).collect();
        let (object, field) = (object.to_owned(), field.to_owned());
        self.0.push(Note { outcome, object, field, value, rule: rule.into() });
    }
}
