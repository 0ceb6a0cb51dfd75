//! The connection tracking table: list flows, and end those that must not go on as they are.
//!
//! Spec: `linux/netfilter/nfnetlink_conntrack.h`.
//! Invariant: a flow is deleted by its tuple, its zone and its number, so that a new flow in its place is left alone.
//! Not here: what makes a flow stale, which is for whoever changes policies and services.

mod wire;

use std::fmt;
use std::net::IpAddr;

use cairn_net::Family;

use crate::Error;
use crate::netlink::{Batch, Protocol, Socket};
use crate::netns::Netns;

/// What tells the flows of a protocol between two addresses apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// TCP, UDP, SCTP: source and destination port.
    Ports(u16, u16),
    /// ICMP of either family.
    Icmp {
        /// Identifier of an echo.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Another protocol.
    None,
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Ports or the like.
    pub endpoint: Endpoint,
}

/// A tracked flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// As the first packet was sent.
    pub original: Tuple,
    /// As the answers come: it differs from the mirrored original where addresses are translated.
    pub reply: Tuple,
    /// The zone; 0 unless a rule chose another.
    pub zone: u16,
    /// The mark.
    pub mark: u32,
    /// The kernel's number for it.
    id: u32,
}

impl Flow {
    /// One as the kernel may tell of it, for tests of what picks flows.
    pub const fn new(original: Tuple, reply: Tuple) -> Self {
        Self { original, reply, zone: 0, mark: 0, id: 0 }
    }

    /// Is source or destination translated?
    pub fn is_translated(&self) -> bool {
        (self.original.src, self.original.dst) != (self.reply.dst, self.reply.src)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuple { src, dst, protocol, endpoint } = self.original;
        write!(f, "flow {src} to {dst} protocol {protocol} {endpoint:?} zone {}", self.zone)
    }
}

/// A client of one namespace's table.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// For the caller's namespace.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Protocol::Netfilter).map(|socket| Self { socket })
    }

    /// For another namespace.
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        Socket::open_in(Protocol::Netfilter, netns).map(|socket| Self { socket })
    }

    /// The flows of a family that the test picks.
    pub fn list(&mut self, family: Family, mut pick: impl FnMut(&Flow) -> bool) -> Result<Vec<Flow>, Error> {
        self.socket
            .dump(
                |batch, flags| wire::encode_list(family, flags, batch),
                |frame| wire::decode(frame).filter(|flow| pick(flow)),
            )
            .map_err(|refusal| Error::refused("list", "flows", refusal))
    }

    /// Ends the flows of a family that the test picks, and tells how many there were. The next packet of such a flow is looked at
    /// as if it were the first.
    pub fn delete(&mut self, family: Family, pick: impl FnMut(&Flow) -> bool) -> Result<usize, Error> {
        let flows = self.list(family, pick)?;
        let mut batch = Batch::new();
        flows.iter().for_each(|flow| wire::encode_delete(flow, &mut batch));
        let results = self.socket.execute(&mut batch);
        let results = results.map_err(|refusal| Error::refused("delete", "flows", refusal))?;
        let mut deleted = 0;
        for (flow, result) in flows.iter().zip(results) {
            match result.map_err(|refusal| Error::refused("delete", flow, refusal)) {
                Ok(()) => deleted += 1,
                Err(error) if error.is_not_found() => {} // it ended by itself meanwhile
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Frames;

    #[test]
    fn a_flow_survives_its_message() {
        let tuple = |src: &str, dst: &str, protocol, endpoint| Tuple {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            protocol,
            endpoint,
        };
        let echo = Endpoint::Icmp { id: 7, kind: 128, code: 0 };
        let flows = [
            Flow {
                original: tuple("10.0.0.1", "192.0.2.1", 6, Endpoint::Ports(1000, 80)),
                reply: tuple("192.0.2.1", "198.51.100.1", 6, Endpoint::Ports(80, 40_000)),
                zone: 9,
                mark: 0,
                id: 77,
            },
            Flow {
                original: tuple("fd00::1", "fd00::2", 58, echo),
                reply: tuple("fd00::2", "fd00::1", 58, echo),
                zone: 0,
                mark: 0,
                id: 78,
            },
        ];
        for flow in flows {
            let mut batch = Batch::new();
            wire::encode_delete(&flow, &mut batch);
            let frame = Frames::new(batch.as_bytes()).next().unwrap();
            let read = wire::read(frame.attributes(4)).unwrap();
            assert_eq!(read.0, Some(flow.original));
            assert_eq!((read.2, read.3), (flow.zone, Some(flow.id)));
            assert_eq!(flow.is_translated(), flow.zone == 9);
            for cut in 0..batch.as_bytes().len() {
                assert_eq!(Frames::new(&batch.as_bytes()[..cut]).find_map(wire::decode), None);
            }
        }
    }
}
