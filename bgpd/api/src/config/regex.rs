use std::fmt;
use std::str::FromStr;

use cairn_net::ParseError;
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest expression. Unit: octets.
const MAX_TEXT: usize = 512;
/// What an expression may compile to. Unit: octets.
const MAX_COMPILED: usize = 64 << 10;

/// A regular expression over the text of an attribute (syntax of the `regex` crate: no back-references, no look-around). It matches
/// anywhere in the text unless it has `^` and `$`.
///
/// Range: 1 to 512 printable ASCII characters; compiled at most 64 KiB, so `(a{1000}){1000}` is refused. Runs in time linear in the text.
#[derive(Debug, Clone)]
pub struct AttributeRegex {
    text: String,
    regex: Regex,
}

impl AttributeRegex {
    /// Compiled.
    pub const fn compiled(&self) -> &Regex {
        &self.regex
    }

    fn compile(text: &str, pattern: &str) -> Result<Self, ParseError> {
        let refused = |rule: &str| ParseError {
            what: "regular expression",
            value: text.chars().take(64).collect(),
            rule: match rule {
                "size" => "it becomes too large: at most 64 KiB when compiled",
                "length" => "it must have 1 to 512 octets",
                "ascii" => "it must be printable ASCII, as the text of attributes is",
                _ => {
                    "its syntax is wrong (no back-references, no look-around; parentheses and brackets in pairs)"
                }
            },
        };
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(refused("length"));
        }
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(refused("ascii"));
        }
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(false).size_limit(MAX_COMPILED).nest_limit(32);
        match builder.build() {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex }),
            Err(regex::Error::CompiledTooBig(_)) => Err(refused("size")),
            Err(_) => Err(refused("syntax")),
        }
    }
}

impl PartialEq for AttributeRegex {
    fn eq(&self, other: &Self) -> bool {
        // The compiled form of an AS path's differs from its text.
        (&self.text, self.regex.as_str()) == (&other.text, other.regex.as_str())
    }
}

impl Eq for AttributeRegex {}

impl fmt::Display for AttributeRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for AttributeRegex {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::compile(text, text)
    }
}

impl Serialize for AttributeRegex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for AttributeRegex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a regular expression")
    }
}

/// A regular expression over an AS path such as `65001 65002 {65003 65004}`. `_` is the begin, the end or whatever stands
/// between two AS numbers, as routers have it: `_65002_` is a path through AS 65002.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsPathRegex(pub AttributeRegex);

impl FromStr for AsPathRegex {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut pattern = String::new();
        let mut escaped = false;
        for c in text.chars().take(MAX_TEXT + 1) {
            match c {
                '_' if !escaped => pattern.push_str(r"(?:^|[ (){}\[\]]|$)"),
                c => pattern.push(c),
            }
            escaped = c == '\\' && !escaped;
        }
        AttributeRegex::compile(text, &pattern).map(Self)
    }
}

impl fmt::Display for AsPathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for AsPathRegex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AsPathRegex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::load::text(deserializer, "a regular expression")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_underscore_stands_between_as_numbers() {
        let through: AsPathRegex = "_65002_".parse().unwrap();
        for (path, expected) in [
            ("65002", true),
            ("65001 65002 65003", true),
            ("65001 {65002 65003}", true),
            ("65001 650021", false),
            ("", false),
        ] {
            assert_eq!(through.0.compiled().is_match(path.as_bytes()), expected, "{path}");
        }
        let literal: AsPathRegex = r"a\_b".parse().unwrap();
        assert!(literal.0.compiled().is_match(b"a_b"));
    }

    #[test]
    fn what_is_too_large_or_wrong_is_refused_with_its_rule() {
        for (text, rule) in [
            ("(a{1000}){1000}", "64 KiB"),
            ("(65001", "syntax"),
            (r"(6)\1", "syntax"),
            ("", "512"),
            ("\u{7f}", "ASCII"),
            (&"a".repeat(513), "512"),
        ] {
            let error = text.parse::<AttributeRegex>().unwrap_err().to_string();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }
}
