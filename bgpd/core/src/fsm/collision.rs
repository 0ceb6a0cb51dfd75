use cairn_net::{Asn, RouterId};

use crate::speaker::Direction;

/// One end of a peering, for the tie-break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contender {
    /// Its identifier, which decides.
    pub router_id: RouterId,
    /// Its AS, which decides between equal identifiers (RFC 6286 section 2.3).
    pub asn: Asn,
}

/// Which of two colliding connections stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivor {
    /// The one on which the OPEN has just come.
    This,
    /// The one that was there.
    Other,
}

/// Collision detection (RFC 4271 section 6.8): the connection opened by the higher identifier stays.
///
/// `this` is who opened the connection on which the OPEN has just come. Both ends compute the same answer, since
/// outbound here is inbound there. If both connections were opened by the same side, the newer one stays: nobody opens a second one
/// while the first is alive.
pub fn resolve(local: Contender, remote: Contender, this: Direction, other: Direction) -> Survivor {
    if this == other {
        return Survivor::This;
    }
    let preferred = if local > remote { Direction::Outbound } else { Direction::Inbound };
    if this == preferred { Survivor::This } else { Survivor::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(router_id: u32, asn: u32) -> Contender {
        Contender { router_id: RouterId::new(router_id).unwrap(), asn: Asn(asn) }
    }

    #[test]
    fn both_ends_keep_the_connection_of_the_higher_identifier() {
        use Direction::{Inbound, Outbound};
        for (a, b) in [(contender(1, 9), contender(2, 1)), (contender(7, 1), contender(7, 2))] {
            // The connection that b opened: inbound at a, outbound at b.
            assert_eq!(resolve(a, b, Inbound, Outbound), Survivor::This);
            assert_eq!(resolve(b, a, Outbound, Inbound), Survivor::This);
            assert_eq!(resolve(a, b, Outbound, Inbound), Survivor::Other);
            assert_eq!(resolve(b, a, Inbound, Outbound), Survivor::Other);
        }
    }
}
