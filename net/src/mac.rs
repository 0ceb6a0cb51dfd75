use std::fmt;
use std::str::FromStr;

use crate::ParseError;
use crate::serde_as_text;

/// A 48-bit Ethernet address, written `ee:ee:ee:ee:ee:ee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// True where the group bit is clear and the address is not all zero: fit for an interface.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error =
            || ParseError::new("MAC address", text, "six pairs of hex digits with colons between them");
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *octet = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(error)?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(octets)) }
    }
}

serde_as_text!(Mac, "a MAC address such as ee:ee:ee:ee:ee:ee");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_survives_its_text() {
        let mac: Mac = "ee:EE:01:02:03:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "ee:ee:01:02:03:ff");
        for bad in ["", "ee:ee:ee:ee:ee", "ee:ee:ee:ee:ee:ee:ee", "e:ee:ee:ee:ee:ee", "+e:ee:ee:ee:ee:ee"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
