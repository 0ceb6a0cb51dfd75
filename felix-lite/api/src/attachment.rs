//! What an attachment is called: container id and interface name (CNI specification 1.1.0, section 3).

use std::fmt;
use std::str::FromStr;

use cairn_net::ParseError;
use serde::{Deserialize, Serialize};

/// A runtime's name for a container: 1 to 192 letters, digits, `_`, `.` and `-`, the first a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Longest accepted. The specification names no bound; runtimes use 64, and file names must hold it.
    pub const MAX: usize = 192;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if first && rest && text.len() <= Self::MAX {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 192 letters, digits, '_', '.' and '-', the first a letter or a digit";
        Err(ParseError::new("container id", text, rule))
    }
}

/// A name that Linux takes for an interface: 1 to 15 bytes, neither `.` nor `..`, no `/`, `:`, `%`, space or control character.
///
/// `%` is refused because the kernel reads it as a template for a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IfName(String);

impl IfName {
    /// `IFNAMSIZ` without the terminating zero.
    pub const MAX: usize = 15;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let odd = |c: char| "/:%".contains(c) || c.is_whitespace() || c.is_control();
        if (1..=Self::MAX).contains(&text.len()) && text != "." && text != ".." && !text.contains(odd) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 15 bytes, not '.' or '..', without '/', ':', '%', spaces and control characters";
        Err(ParseError::new("interface name", text, rule))
    }
}

/// Displays and converts a validated text newtype.
macro_rules! text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }
    };
}
text!(ContainerId);
text!(IfName);

/// One interface of one container: what ADD makes and DEL removes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container: ContainerId,
    /// `CNI_IFNAME`.
    pub ifname: IfName,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.ifname)
    }
}

/// The pod that a container belongs to: `K8S_POD_NAMESPACE`, `K8S_POD_NAME` and `K8S_POD_UID` of `CNI_ARGS`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodId {
    /// The namespace in Kubernetes.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid; empty if the runtime does not tell.
    #[serde(default)]
    pub uid: String,
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_those_of_the_specification() {
        for good in ["a", "0", "cnitool-77383ca0a0715733ca6f", "A_b.c-d", &"x".repeat(192)] {
            assert!(good.parse::<ContainerId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "_a", "a/b", "a b", "ä", "a\0", &"x".repeat(193)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names_are_those_the_kernel_takes() {
        for good in ["eth0", "a", "123456789012345", "é"] {
            assert!(good.parse::<IfName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "eth%d", "a\tb", "a\0", "1234567890123456"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn decoding_validates() {
        let bad = r#"{"container":"../x","ifname":"eth0"}"#;
        assert!(serde_json::from_str::<Attachment>(bad).unwrap_err().to_string().contains("container id"));
    }
}
