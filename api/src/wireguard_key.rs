use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn_net::{ParseError, serde_as_text};

/// A public key of WireGuard: 32 octets, base64 as text, as `wg pubkey` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireguardKey(pub [u8; 32]);

impl FromStr for WireguardKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let rule = "32 octets in base64: 43 letters and a =, as `wg pubkey` prints";
        let octets = STANDARD.decode(text).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or_else(|| ParseError::new("WireGuard key", text, rule))
    }
}

impl fmt::Display for WireguardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for WireguardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireguardKey({self})")
    }
}

serde_as_text!(WireguardKey, "a public key in base64");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written_and_nothing_else_is() {
        let key = WireguardKey([7; 32]);
        let text = key.to_string();
        assert_eq!((text.len(), text.parse::<WireguardKey>().unwrap()), (44, key));
        for wrong in ["", "abc", &text[..43], &format!("{text}=")] {
            assert!(wrong.parse::<WireguardKey>().is_err(), "{wrong:?}");
        }
    }
}
