//! Values that people write for the plugin and for pods, each with an error that names its place, the value and the rule.

use std::fmt;

use serde_json::Value;

use crate::{Code, Refusal};

/// A string, if there is a value.
///
/// # Errors
/// The value is another one.
pub fn text(path: &str, value: Option<Value>) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(path, &other, "a string")),
    }
}

/// A list of strings; none where there is no value.
///
/// # Errors
/// The value is another one.
pub fn texts(path: &str, value: Option<Value>) -> Result<Vec<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.into_iter().map(|item| text(path, Some(item)).map(Option::unwrap_or_default)).collect()
        }
        Some(other) => Err(wrong_type(path, &other, "a list of strings")),
    }
}

/// What an annotation holds, whose value is text: a JSON list.
///
/// # Errors
/// The text is no JSON.
pub fn list_in_text(path: &str, text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|error| invalid(path, text, &format!("not a JSON list: {error}")))
}

/// Names or CIDRs of pools, as a list.
///
/// # Errors
/// The value is another one, or one of them is neither.
pub fn pools(path: &str, value: Option<Value>) -> Result<Vec<String>, Refusal> {
    let pools = texts(path, value)?;
    let charset = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/".contains(&byte);
    match pools.iter().find(|pool| !(1..=253).contains(&pool.len()) || !pool.bytes().all(charset)) {
        Some(bad) => Err(invalid(path, bad, "a pool's name or CIDR")),
        None if pools.len() > 64 => Err(invalid(path, pools.len(), "at most 64 pools")),
        None => Ok(pools),
    }
}

/// Names or CIDRs of pools, as an annotation has them.
///
/// # Errors
/// As [`list_in_text`] and [`pools`].
pub fn pools_in_text(path: &str, text: &str) -> Result<Vec<String>, Refusal> {
    pools(path, Some(list_in_text(path, text)?))
}

/// The value is JSON of another type than it should be.
pub fn wrong_type(path: &str, value: &Value, wanted: &str) -> Refusal {
    Refusal::new(Code::DECODE, format!("{path}: {} is not {wanted}", shown(value)))
}

/// The value breaks a rule.
pub fn invalid(path: &str, value: impl fmt::Display, rule: &str) -> Refusal {
    let value: String = value.to_string().chars().take(64).collect();
    Refusal::new(Code::INVALID_CONFIG, format!("{path}: {value:?} is not valid")).because(rule)
}

/// The same where the error says it all.
pub fn rule(path: &str, error: impl fmt::Display) -> Refusal {
    Refusal::new(Code::INVALID_CONFIG, format!("{path} is not valid")).because(error)
}

/// JSON, cut to what a person will read.
pub fn shown(value: &Value) -> String {
    value.to_string().chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_read_out_of_text() {
        assert_eq!(pools_in_text("p", r#"["a","10.0.0.0/16"]"#).unwrap(), ["a", "10.0.0.0/16"]);
        assert!(pools_in_text("p", "[]").unwrap().is_empty());
    }

    #[test]
    fn what_names_no_pools_is_refused_with_place_value_and_rule() {
        let many = format!("[{}]", [r#""a""#; 65].join(","));
        for (text, code, value, rule) in [
            ("rack-a", Code::INVALID_CONFIG, "rack-a", "not a JSON list"),
            (r#"["a b"]"#, Code::INVALID_CONFIG, "a b", "a pool's name or CIDR"),
            (r#"[""]"#, Code::INVALID_CONFIG, "", "a pool's name or CIDR"),
            (many.as_str(), Code::INVALID_CONFIG, "65", "at most 64 pools"),
            (r#""a""#, Code::DECODE, "a", "a list of strings"),
            ("[7]", Code::DECODE, "7", "a string"),
        ] {
            let refusal = pools_in_text("the place", text).unwrap_err();
            assert_eq!(refusal.code, code, "{text}");
            let said = refusal.to_string();
            assert!(said.contains("the place") && said.contains(value) && said.contains(rule), "{said}");
        }
    }
}
