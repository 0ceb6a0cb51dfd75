//! Keys of Curve25519 (RFC 7748) as WireGuard has them: 32 octets, base64 as text.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// Octets of a key. Source: `WG_KEY_LEN`.
pub(super) const LENGTH: usize = 32;

/// Where the kernel's random numbers are: ready once the system has started, and never short of any.
const RANDOM: &str = "/dev/urandom";

/// A public key: who a peer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; LENGTH]);

/// A private key. It has no text for logs, and whoever wants to keep it asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey([u8; LENGTH]);

impl PrivateKey {
    /// A new one.
    ///
    /// Errors: the system's random numbers cannot be read.
    pub fn generate() -> Result<Self, Error> {
        let mut octets = [0; LENGTH];
        File::open(RANDOM)
            .and_then(|mut file| file.read_exact(&mut octets))
            .map_err(|error| Error::refused("read", RANDOM, error))?;
        // The bits that RFC 7748 section 5 fixes, so that the text is the same as the kernel's.
        octets[0] &= 248;
        octets[31] &= 127;
        octets[31] |= 64;
        Ok(Self(octets))
    }

    /// The text for a file that only its owner may read.
    pub fn expose(&self) -> String {
        STANDARD.encode(self.0)
    }

    pub(super) const fn octets(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl FromStr for PrivateKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The value is no part of the error: it may be all but one letter of a key.
        decode(text).map(Self).ok_or(Error::Invalid {
            field: "private key",
            value: String::new(),
            rule: RULE,
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let value = || text.chars().take(64).collect();
        decode(text).map(Self).ok_or_else(|| Error::Invalid {
            field: "public key",
            value: value(),
            rule: RULE,
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

const RULE: &str = "32 octets in base64: 43 letters and a =, as `wg pubkey` prints";

fn decode(text: &str) -> Option<[u8; LENGTH]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = PublicKey([7; 32]);
        assert_eq!(key.to_string().len(), 44);
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        for wrong in ["", "abc", &key.to_string()[..43], &format!("{key}=="), "\u{0}"] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_private_key_shows_nothing_unless_asked() {
        let key = PrivateKey::generate().unwrap();
        let text = key.expose();
        assert_eq!(text.parse::<PrivateKey>().unwrap(), key);
        assert_ne!(PrivateKey::generate().unwrap(), key);
        assert!(!format!("{key:?}").contains(&text[..8]));
        let error = text[..40].parse::<PrivateKey>().unwrap_err();
        assert!(!error.to_string().contains(&text[..8]), "{error}");
    }
}
