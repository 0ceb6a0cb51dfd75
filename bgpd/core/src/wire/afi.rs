use std::fmt;

use cairn_net::Family;

/// An address family and subsequent address family as on the wire (RFC 4760 section 3).
///
/// Any pair is kept, since a peer may name families that we do not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    /// Address family identifier: 1 is IPv4, 2 is IPv6.
    pub afi: u16,
    /// Subsequent address family identifier: 1 is unicast.
    pub safi: u8,
}

impl AfiSafi {
    /// The unicast pair of a family.
    pub const fn unicast(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self { afi: 1, safi: 1 },
            Family::Ipv6 => Self { afi: 2, safi: 1 },
        }
    }

    /// The family, where the pair is unicast of one that we speak.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self { afi: 1, safi: 1 } => Some(Family::Ipv4),
            Self { afi: 2, safi: 1 } => Some(Family::Ipv6),
            Self { .. } => None,
        }
    }

    pub(super) const fn afi_of(family: Family) -> u16 {
        Self::unicast(family).afi
    }
}

impl From<Family> for AfiSafi {
    fn from(family: Family) -> Self {
        Self::unicast(family)
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family() {
            Some(family) => write!(f, "{family} unicast"),
            None => write!(f, "AFI {} SAFI {}", self.afi, self.safi),
        }
    }
}
