//! Checksum offload of interfaces.
//!
//! Spec: `linux/ethtool_netlink.h`, a family of generic netlink. Needs Linux 5.7.
//! Not here: all else that ethtool knows of interfaces.

use std::fmt;

use nix::errno::Errno;

use crate::Error;
use crate::netlink::generic::{self, HEADER, header};
use crate::netlink::{Attributes, Batch, Frame, Message, Protocol, Socket};
use crate::netns::Netns;
use crate::object::LinkName;

/// The name and the version of the family.
const FAMILY: &str = "ethtool";
const VERSION: u8 = 1;
/// `ETHTOOL_MSG_FEATURES_GET` and `ETHTOOL_MSG_FEATURES_SET`.
const GET_FEATURES: u8 = 11;
const SET_FEATURES: u8 = 12;

/// `ETHTOOL_A_FEATURES_*`.
const FEATURES_HEADER: u16 = 1;
const WANTED: u16 = 3;
const ACTIVE: u16 = 4;
/// `ETHTOOL_A_HEADER_*`.
const DEVICE_NAME: u16 = 2;
const FLAGS: u16 = 3;
/// `ETHTOOL_FLAG_OMIT_REPLY`.
const OMIT_REPLY: u32 = 2;
/// `ETHTOOL_A_BITSET_*`.
const BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

/// `NETIF_F_HW_CSUM` (`netdev_features_strings`): what is sent may come without a checksum, for whoever carries it to add.
const TX_CHECKSUM: &str = "tx-checksum-ip-generic";

/// A client for the interfaces of one namespace.
#[derive(Debug)]
pub struct Ethtool {
    socket: Socket,
    family: u16,
}

impl Ethtool {
    /// For the caller's namespace.
    ///
    /// Errors: not found where the kernel does not speak of interfaces in this way ([`Error::is_not_found`]).
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Generic)?;
        let family = generic::family(&mut socket, FAMILY)
            .map_err(|refusal| Error::refused("open", "ethtool of the kernel", refusal))?;
        Ok(Self { socket, family })
    }

    /// For another namespace.
    ///
    /// Errors: as [`Ethtool::open`].
    pub fn open_in(netns: &Netns) -> Result<Self, Error> {
        netns.run(Self::open)?
    }

    /// Does an interface take packets without checksum, to be added behind it?
    ///
    /// Errors: not found where there is no such interface.
    pub fn tx_checksum(&mut self, name: &LinkName) -> Result<bool, Error> {
        let mut batch = Batch::new();
        encode_get(self.family, name, &mut batch);
        let mut active = None;
        let asked = self.socket.query(&mut batch, |frame| active = active.or(decode(frame)));
        asked.map_err(|refusal| Error::refused("read", Offload(name), refusal))?;
        active.ok_or(Error::Malformed { what: "features of an interface", rule: "the active ones are named" })
    }

    /// Has an interface take packets without checksum, or not.
    ///
    /// Errors: not found where there is no such interface; `EOPNOTSUPP` where it cannot do otherwise.
    pub fn set_tx_checksum(&mut self, name: &LinkName, on: bool) -> Result<(), Error> {
        let mut batch = Batch::new();
        encode_set(self.family, name, on, &mut batch);
        let refused = self.socket.execute_all(&mut batch);
        let refused = refused.map_err(|refusal| Error::refused("change", Offload(name), refusal))?;
        if let Some((_, refusal)) = refused.into_iter().next() {
            return Err(Error::refused("change", Offload(name), refusal));
        }
        // The kernel takes the wish of an interface that does not fulfil it.
        if self.tx_checksum(name)? == on {
            Ok(())
        } else {
            Err(Error::refused("change", Offload(name), Errno::EOPNOTSUPP))
        }
    }
}

/// What is changed, in messages.
struct Offload<'a>(&'a LinkName);

impl fmt::Display for Offload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TX_CHECKSUM} of {}", self.0)
    }
}

fn message<'a>(family: u16, command: u8, name: &LinkName, flags: u32, batch: &'a mut Batch) -> Message<'a> {
    let mut message = batch.message(family, 0, &header(command, VERSION));
    message.nest(FEATURES_HEADER, |message| {
        message.text(DEVICE_NAME, name.as_str());
        if flags != 0 {
            message.u32(FLAGS, flags);
        }
    });
    message
}

fn encode_get(family: u16, name: &LinkName, batch: &mut Batch) {
    message(family, GET_FEATURES, name, 0, batch);
}

/// A set of bits without `NOMASK`: those that are not named stay.
fn encode_set(family: u16, name: &LinkName, on: bool, batch: &mut Batch) {
    message(family, SET_FEATURES, name, OMIT_REPLY, batch).nest(WANTED, |message| {
        message.nest(BITS, |message| {
            message.nest(BIT, |message| {
                message.text(BIT_NAME, TX_CHECKSUM);
                if on {
                    message.flag(BIT_VALUE);
                }
            });
        });
    });
}

/// Is it among the features that are active? `None`: the message does not speak of these.
fn decode(frame: Frame<'_>) -> Option<bool> {
    let active = frame.attributes(HEADER).find(ACTIVE)?;
    let is_named = |bit: Attributes<'_>| bit.find(BIT_NAME).is_some_and(|name| name.is_text(TX_CHECKSUM));
    Some(active.nested().find(BITS)?.nested().any(|bit| is_named(bit.nested())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Frames;

    fn name() -> LinkName {
        "cairn-vxlan".parse().unwrap()
    }

    fn frame(batch: &Batch) -> Frame<'_> {
        Frames::new(batch.as_bytes()).next().unwrap()
    }

    #[test]
    fn a_change_names_one_bit_and_whether_it_is_set() {
        for on in [false, true] {
            let mut batch = Batch::new();
            encode_set(21, &name(), on, &mut batch);
            let attributes = frame(&batch).attributes(HEADER);
            let device = attributes.find(FEATURES_HEADER).unwrap().nested();
            assert!(device.find(DEVICE_NAME).unwrap().is_text("cairn-vxlan"));
            let wanted = attributes.find(WANTED).unwrap().nested();
            let bits: Vec<_> = wanted.find(BITS).unwrap().nested().collect();
            assert_eq!(bits.len(), 1);
            assert!(bits[0].nested().find(BIT_NAME).unwrap().is_text(TX_CHECKSUM));
            assert_eq!(bits[0].nested().find(BIT_VALUE).is_some(), on);
            assert_eq!(wanted.count(), 1, "without a mask all other bits would be cleared");
        }
    }

    #[test]
    fn an_answer_names_the_bits_that_are_active() {
        let answer = |kind: u16, names: &[&str]| {
            let mut batch = Batch::new();
            batch.message(21, 0, &header(GET_FEATURES, VERSION)).nest(kind, |message| {
                message.nest(BITS, |message| {
                    for name in names {
                        message.nest(BIT, |message| {
                            message.text(BIT_NAME, name);
                        });
                    }
                });
            });
            decode(frame(&batch))
        };
        assert_eq!(answer(ACTIVE, &["tx-scatter-gather", TX_CHECKSUM]), Some(true));
        assert_eq!(answer(ACTIVE, &["tx-scatter-gather", "tx-checksum-ipv4"]), Some(false));
        assert_eq!(answer(WANTED, &[TX_CHECKSUM]), None, "what is wanted may not be so");
    }
}
