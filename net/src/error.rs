use thiserror::Error;

/// A text that is not what it should be: names the kind of value, the text and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct ParseError {
    /// What was expected: `prefix`, `AS number`, `router id`, `MAC address`.
    pub what: &'static str,
    /// The offending text, cut to 64 characters.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl ParseError {
    /// The error for a text, which is cut to 64 characters.
    pub fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(64).collect(), rule }
    }
}
