//! Selectors: expressions over labels, in the syntax of Calico.
//!
//! | form | matches where |
//! |---|---|
//! | `all()`, `global()`, an empty text | always |
//! | `has(k)` | there is a label `k` |
//! | `k == 'v'` | the label is there and is `v` |
//! | `k != 'v'` | it is not there, or is not `v` |
//! | `k in { 'a', 'b' }`, `k not in { 'a' }` | as `==` of one of them, and the opposite |
//! | `k contains 's'`, `k starts with 's'`, `k ends with 's'` | the label is there and its value does |
//! | `!x`, `x && y`, `x \|\| y`, `(x)` | `&&` binds tighter than `\|\|` |
//!
//! Invariants: a text of any content is either parsed or refused, in time linear in its length; depth and length are bounded;
//! `parse(display(s)) == s`.

mod expression;
mod parse;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cairn_net::serde_as_text;
use thiserror::Error;

pub use expression::{Expression, Operator};
pub use parse::{MAX_DEPTH, MAX_LENGTH};

/// A parsed selector. Default: `all()`.
#[derive(Clone, PartialEq, Eq)]
pub struct Selector(Arc<Expression>);

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is not a valid selector: at character {at}: {rule}")]
pub struct SelectorError {
    /// The text, cut to 128 characters.
    pub value: String,
    /// Where reading stopped, counted in characters from 1.
    pub at: usize,
    /// What was expected there.
    pub rule: &'static str,
}

impl Selector {
    /// From an expression.
    pub fn new(expression: Expression) -> Self {
        Self(Arc::new(expression))
    }

    /// Does it match these labels?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(&|key| labels.get(key).map(String::as_str))
    }

    /// Does it match the labels that a function finds by key?
    pub fn matches_with<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.matches(label)
    }

    /// True for `all()`: no label can make a difference.
    pub fn is_all(&self) -> bool {
        matches!(*self.0, Expression::All | Expression::Global)
    }

    /// The expression.
    pub fn expression(&self) -> &Expression {
        &self.0
    }
}

impl Default for Selector {
    fn default() -> Self {
        Self::new(Expression::All)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        parse::selector(text).map(Self::new)
    }
}

serde_as_text!(Selector, "a selector such as rack == 'a'");

#[cfg(test)]
mod tests;
