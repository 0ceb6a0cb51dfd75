//! Numbers and names of objects.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The number of an interface within a namespace; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

impl IfIndex {
    /// The number of the interface that has this name now.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn of(name: &str) -> std::io::Result<Self> {
        nix::net::if_::if_nametoindex(name).map(Self).map_err(std::io::Error::from)
    }

    /// The name of the interface that has this number now, or the number if there is none.
    pub fn name(self) -> String {
        let name = nix::net::if_::if_indextoname(self.0);
        name.ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| self.to_string())
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "if{}", self.0)
    }
}

/// The number of a routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// The table that is looked up by default.
    pub const MAIN: Self = Self(254);
    /// Where the kernel keeps local and broadcast addresses.
    pub const LOCAL: Self = Self(255);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The name of an interface: 1 to 15 bytes, no slash, no white space, no colon, neither `.` nor `..`.
///
/// Source: `dev_valid_name` of Linux.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace() || c == '\x0b';
        if text.is_empty() || text.len() > 15 || text == "." || text == ".." || text.contains(wrong) {
            let rule = "1 to 15 bytes without slash, colon or white space, and neither . nor ..";
            let value = text.chars().take(64).collect();
            return Err(Error::Invalid { field: "interface name", value, rule });
        }
        Ok(Self(text.to_owned()))
    }
}

impl AsRef<str> for LinkName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_those_the_kernel_takes() {
        for good in ["eth0", "crn0123456789a", "a.b", "...", "x@y"] {
            assert!(good.parse::<LinkName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx", "a\tb"] {
            assert!(bad.parse::<LinkName>().is_err(), "{bad}");
        }
    }
}
