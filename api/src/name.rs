//! Rules for names, and names made from prefixes.
//!
//! A name is a DNS subdomain (RFC 1123 as Kubernetes reads it), so it is also a safe file name: no slash, no
//! leading dot, no control character.

use std::net::IpAddr;

use cairn_net::Prefix;

use crate::Faults;

const RULE: &str =
    "1 to 253 of a-z, 0-9, '-' and '.', each part between dots starting and ending with a letter or digit";

/// Is it a valid name of an object, a namespace or a node?
pub fn is_valid(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = label.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Records a fault unless the name is valid.
pub fn check(name: &str, path: &str, faults: &mut Faults) {
    faults.require(is_valid(name), path, name, RULE);
}

/// The name of the object that stands for a prefix: `10-0-0-64-26`, `fd00-0-0-0-0-0-0-40-122`.
///
/// One prefix has one name and one name one prefix, so creating the object is a claim on the prefix.
pub fn of_prefix(prefix: Prefix) -> String {
    let addr = match prefix.addr() {
        IpAddr::V4(addr) => addr.octets().map(|octet| octet.to_string()).join("-"),
        IpAddr::V6(addr) => addr.segments().map(|segment| format!("{segment:x}")).join("-"),
    };
    format!("{addr}-{}", prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_subdomains() {
        for good in ["a", "n1", "rack-1.node-2", "10-0-0-0-26"] {
            assert!(is_valid(good), "{good}");
        }
        let long = "a".repeat(254);
        for bad in ["", ".", "..", "a/b", "../a", "A", "-a", "a-", "a..b", ".a", "a_b", "a\0", &long] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn prefixes_have_valid_and_distinct_names() {
        for (prefix, name) in [
            ("10.0.0.64/26", "10-0-0-64-26"),
            ("fd00::40/122", "fd00-0-0-0-0-0-0-40-122"),
            ("::/122", "0-0-0-0-0-0-0-0-122"),
        ] {
            let made = of_prefix(prefix.parse().unwrap());
            assert_eq!(made, name);
            assert!(is_valid(&made));
        }
    }
}
