use std::sync::Arc;

use super::change::Change;
use super::condition::Condition;

/// What follows a match, or the end of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Use the route, ask no further.
    Accept,
    /// Do not use the route, ask no further.
    Reject,
    /// Go on: to the next rule, and after a filter's last to the next filter.
    Next,
}

impl Disposition {
    pub(super) const fn decision(self) -> Option<bool> {
        match self {
            Self::Accept => Some(true),
            Self::Reject => Some(false),
            Self::Next => None,
        }
    }
}

/// If the condition holds, make the changes, ask the called filter, and then accept, reject or go on.
///
/// A rule that rejects makes no changes and calls nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What people call it.
    pub name: Option<String>,
    /// When.
    pub condition: Condition,
    /// What, in this order. Later rules see the result.
    pub changes: Vec<Change>,
    /// A filter to be asked next, with its changes: if it rejects, that is the decision; otherwise `then` follows.
    pub call: Option<Arc<Filter>>,
    /// What then.
    pub then: Disposition,
}

impl Rule {
    /// A rule without name and call.
    pub const fn new(condition: Condition, changes: Vec<Change>, then: Disposition) -> Self {
        Self { name: None, condition, changes, call: None, then }
    }
}

/// Ordered rules under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The name by which peers refer to it.
    pub name: String,
    /// The rules; the first one that accepts or rejects decides.
    pub rules: Vec<Rule>,
    /// What happens to a route on which no rule decided.
    pub default: Disposition,
}

#[cfg(test)]
mod tests;
