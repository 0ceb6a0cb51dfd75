use std::collections::BTreeSet;
use std::fmt;

/// An expression over labels.
#[derive(Clone, PartialEq, Eq)]
pub enum Expression {
    /// `all()`.
    All,
    /// `global()`: the same as `all()` where there is no namespace to look at.
    Global,
    /// `has(key)`.
    Has(String),
    /// A label against one value.
    Compare(String, Operator, String),
    /// `key in { ... }`.
    In(String, BTreeSet<String>),
    /// `key not in { ... }`.
    NotIn(String, BTreeSet<String>),
    /// `!x`.
    Not(Box<Self>),
    /// `x && y && ...`: two or more, none of them an `And`.
    And(Vec<Self>),
    /// `x || y || ...`: two or more, none of them an `Or`.
    Or(Vec<Self>),
}

/// How a label is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `contains`.
    Contains,
    /// `starts with`.
    StartsWith,
    /// `ends with`.
    EndsWith,
}

impl Operator {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
        }
    }

    fn holds(self, found: Option<&str>, value: &str) -> bool {
        match (self, found) {
            (Self::NotEqual, found) => found != Some(value),
            (_, None) => false,
            (Self::Equal, Some(found)) => found == value,
            (Self::Contains, Some(found)) => found.contains(value),
            (Self::StartsWith, Some(found)) => found.starts_with(value),
            (Self::EndsWith, Some(found)) => found.ends_with(value),
        }
    }
}

impl Expression {
    pub(super) fn matches<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::All | Self::Global => true,
            Self::Has(key) => label(key).is_some(),
            Self::Compare(key, operator, value) => operator.holds(label(key), value),
            Self::In(key, values) => label(key).is_some_and(|found| values.contains(found)),
            Self::NotIn(key, values) => !label(key).is_some_and(|found| values.contains(found)),
            Self::Not(inner) => !inner.matches(label),
            Self::And(all) => all.iter().all(|inner| inner.matches(label)),
            Self::Or(any) => any.iter().any(|inner| inner.matches(label)),
        }
    }

    /// Joins with `&&`; a single one stays itself.
    pub(super) fn and(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::And, |part| match part {
            Self::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// Joins with `||`; a single one stays itself.
    pub(super) fn or(parts: Vec<Self>) -> Self {
        Self::join(parts, Self::Or, |part| match part {
            Self::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn join(
        parts: Vec<Self>,
        make: fn(Vec<Self>) -> Self,
        open: fn(Self) -> Result<Vec<Self>, Self>,
    ) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(inner) => flat.extend(inner),
                Err(other) => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { make(flat) }
    }

    /// Writes an operand: in parentheses where it binds looser than what is around it.
    fn write_operand(&self, f: &mut fmt::Formatter<'_>, loose: bool) -> fmt::Result {
        if loose { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

/// A value in the quotes that it does not contain itself.
fn quoted(value: &str) -> impl fmt::Display {
    let quote = if value.contains('\'') { '"' } else { '\'' };
    format!("{quote}{value}{quote}")
}

fn set(values: &BTreeSet<String>) -> String {
    let values: Vec<_> = values.iter().map(|value| quoted(value).to_string()).collect();
    if values.is_empty() { "{ }".to_owned() } else { format!("{{ {} }}", values.join(", ")) }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all()"),
            Self::Global => f.write_str("global()"),
            Self::Has(key) => write!(f, "has({key})"),
            Self::Compare(key, operator, value) => {
                write!(f, "{key} {} {}", operator.symbol(), quoted(value))
            }
            Self::In(key, values) => write!(f, "{key} in {}", set(values)),
            Self::NotIn(key, values) => write!(f, "{key} not in {}", set(values)),
            Self::Not(inner) => {
                f.write_str("!")?;
                inner.write_operand(f, matches!(**inner, Self::And(_) | Self::Or(_)))
            }
            Self::And(all) => {
                for (index, inner) in all.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { " && " })?;
                    inner.write_operand(f, matches!(inner, Self::Or(_)))?;
                }
                Ok(())
            }
            Self::Or(any) => {
                for (index, inner) in any.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { " || " })?;
                    write!(f, "{inner}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
