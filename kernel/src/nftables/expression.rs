//! What rules are made of: small instructions over registers.

use cairn_net::Family;

use super::uapi::{data, rule};
use crate::netlink::{Attribute, Attributes, Message};

/// A 32-bit register; wider values use the ones behind it too. Range: 0 to 15 (`NFT_REG32_00` to `NFT_REG32_15`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    fn number(self) -> u32 {
        8 + u32::from(self.0 & 15)
    }
}

/// Decides on a packet, or moves it on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The packet passes this hook's chain.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// To another chain, and back at its end.
    Jump(String),
    /// To another chain for good.
    Goto(String),
}

impl Verdict {
    const fn code(&self) -> i32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        }
    }

    pub(super) fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }

    /// Writes it as data: inside `NFTA_SET_ELEM_DATA` or `NFTA_IMMEDIATE_DATA`.
    pub(super) fn encode(&self, out: &mut Message<'_>) {
        out.nest(data::VERDICT, |verdict| {
            verdict.be32(data::VERDICT_CODE, self.code().cast_unsigned());
            if let Some(chain) = self.chain() {
                verdict.text(data::VERDICT_CHAIN, chain);
            }
        });
    }

    pub(super) fn decode(value: Attributes<'_>) -> Option<Self> {
        let verdict = value.find(data::VERDICT)?.nested();
        let chain = || verdict.find(data::VERDICT_CHAIN).map(Attribute::text);
        match verdict.find(data::VERDICT_CODE)?.be32()?.cast_signed() {
            0 => Some(Self::Drop),
            1 => Some(Self::Accept),
            -3 => chain().map(Self::Jump),
            -4 => chain().map(Self::Goto),
            -5 => Some(Self::Return),
            _ => None,
        }
    }
}

/// What is known of a packet besides its bytes (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// The protocol as the link has it (`ETH_P_IP`, `ETH_P_ARP`), 2 bytes, network order.
    LinkProtocol = 1,
    /// The packet mark, 4 bytes, host order.
    Mark = 3,
    /// The name of the interface that it came in by, 16 bytes.
    InputInterface = 6,
    /// The name of the interface that it leaves by, 16 bytes.
    OutputInterface = 7,
    /// `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10), 1 byte.
    NetworkProtocol = 15,
    /// The protocol above IP, 1 byte.
    TransportProtocol = 16,
}

/// Where an offset into the packet counts from (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PayloadBase {
    /// The IP header.
    Network = 1,
    /// The header behind IP's.
    Transport = 2,
}

/// What is known of a packet's connection (`enum nft_ct_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ConntrackKey {
    /// Its state, one of [`ct_state`]'s bits, 4 bytes, host order.
    State = 0,
    /// Which way the packet goes: 0 as the first one, 1 back; 1 byte.
    Direction = 1,
    /// `IPS_*` bits, 4 bytes, host order.
    Status = 2,
}

/// Bits of [`ConntrackKey::State`].
pub mod ct_state {
    /// Cannot be tracked.
    pub const INVALID: u32 = 1;
    /// Packets in both directions were seen.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to another connection, such as an ICMP error.
    pub const RELATED: u32 = 4;
    /// The first packets.
    pub const NEW: u32 = 8;
}

/// Operator of a comparison (`enum nft_cmp_ops`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Comparison {
    /// Equal.
    Equal = 0,
    /// Not equal.
    NotEqual = 1,
}

/// What a look at the routing table gives (`enum nft_fib_result`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum FibResult {
    /// `RTN_LOCAL` (2), `RTN_UNICAST` (1) ..., 4 bytes, host order.
    AddressType = 3,
}

/// Which address is looked up (`enum nft_fib_flags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum FibSelector {
    /// The packet's source.
    Source = 1,
    /// The packet's destination.
    Destination = 2,
}

/// One instruction of a rule. A rule ends at the first comparison or lookup that does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads what is known of the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        into: Register,
    },
    /// Loads bytes of the packet.
    Payload {
        /// Where the offset counts from.
        base: PayloadBase,
        /// Bytes from there.
        offset: u32,
        /// Bytes to load.
        len: u32,
        /// Where to.
        into: Register,
    },
    /// Loads what is known of the connection.
    Conntrack {
        /// What.
        key: ConntrackKey,
        /// Where to.
        into: Register,
    },
    /// Loads what the routing table says of an address.
    Fib {
        /// What.
        result: FibResult,
        /// Of which address.
        of: FibSelector,
        /// Where to.
        into: Register,
    },
    /// `register = register & mask ^ xor`.
    Bitwise {
        /// Which.
        register: Register,
        /// As many bytes as `xor`.
        mask: Vec<u8>,
        /// As many bytes as `mask`.
        xor: Vec<u8>,
    },
    /// Goes on if the register compares so with the bytes. Only as many bytes as are given count.
    Compare {
        /// Which.
        register: Register,
        /// How.
        operator: Comparison,
        /// With what.
        value: Vec<u8>,
    },
    /// Goes on if the key is in the set; or, inverted, if it is not.
    Lookup {
        /// The set.
        set: String,
        /// The first register of the key.
        key: Register,
        /// Goes on if the key is not in the set.
        inverted: bool,
    },
    /// Looks the key up in a map and loads its value; goes on only if it is there.
    Map {
        /// The map.
        map: String,
        /// The first register of the key.
        key: Register,
        /// Where the value goes.
        into: Register,
    },
    /// Sets what is known of the packet.
    SetMeta {
        /// What.
        key: MetaKey,
        /// Where the value is.
        from: Register,
    },
    /// Looks the key up in a map of verdicts and, if it is there, obeys.
    VerdictMap {
        /// The map.
        map: String,
        /// The first register of the key.
        key: Register,
    },
    /// Hands the connection to a flowtable, if it can be forwarded there. In filter chains at forward.
    FlowOffload {
        /// The flowtable.
        flowtable: &'static str,
    },
    /// Counts packets and bytes.
    Counter,
    /// Decides.
    Verdict(Verdict),
    /// Loads bytes, at most 16.
    Immediate {
        /// Which.
        value: Vec<u8>,
        /// Where to.
        into: Register,
    },
    /// Gives the packet the address of the interface that it leaves by. In NAT chains at postrouting.
    Masquerade {
        /// Which source ports it may get.
        ports: Ports,
    },
    /// Gives the packet another source. In NAT chains at postrouting.
    SourceNat {
        /// Of which family the address is.
        family: Family,
        /// Where the address is.
        address: Register,
        /// Which source ports it may get.
        ports: Ports,
    },
    /// Gives the packet another destination. In NAT chains at prerouting and output.
    DestinationNat {
        /// Of which family the address is.
        family: Family,
        /// Where the address is.
        address: Register,
        /// Where the port is, 2 bytes in network order. The packet's protocol must have ports.
        port: Register,
    },
}

/// The source ports that a translated connection may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Where the lowest and the highest are, 2 bytes each in network order; `None`: all. With a range the packet's protocol must have ports.
    pub range: Option<(Register, Register)>,
    /// Draw a random one always (`NF_NAT_RANGE_PROTO_RANDOM_FULLY`), even where the connection's own is free.
    pub fully_random: bool,
}

impl Ports {
    /// As attributes of these numbers: lowest, highest, flags.
    fn encode(self, [lowest, highest, flags]: [u16; 3], out: &mut Message<'_>) {
        if let Some((first, last)) = self.range {
            out.be32(lowest, first.number()).be32(highest, last.number());
        }
        if self.fully_random {
            out.be32(flags, 1 << 4);
        }
    }
}

impl Expression {
    pub(super) fn encode(&self, list: &mut Message<'_>) {
        list.nest(super::uapi::LIST_ELEMENT, |out| {
            out.text(rule::EXPRESSION_NAME, self.name());
            out.nest(rule::EXPRESSION_DATA, |data| self.encode_data(data));
        });
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::Conntrack { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Bitwise { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } | Self::Map { .. } | Self::VerdictMap { .. } => "lookup",
            Self::FlowOffload { .. } => "flow_offload",
            Self::Counter => "counter",
            Self::Verdict(_) | Self::Immediate { .. } => "immediate",
            Self::Masquerade { .. } => "masq",
            Self::SourceNat { .. } | Self::DestinationNat { .. } => "nat",
        }
    }

    /// Attribute numbers are those of `enum nft_<name>_attributes`.
    fn encode_data(&self, out: &mut Message<'_>) {
        match self {
            Self::Meta { key, into } => {
                out.be32(2, *key as u32).be32(1, into.number());
            }
            Self::Payload { base, offset, len, into } => {
                out.be32(1, into.number()).be32(2, *base as u32).be32(3, *offset).be32(4, *len);
            }
            Self::Conntrack { key, into } => {
                out.be32(1, into.number()).be32(2, *key as u32);
            }
            Self::Fib { result, of, into } => {
                out.be32(1, into.number()).be32(2, *result as u32).be32(3, *of as u32);
            }
            Self::Bitwise { register, mask, xor } => {
                let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                out.be32(1, register.number()).be32(2, register.number()).be32(3, len);
                out.nest(4, |value| {
                    value.bytes(data::VALUE, mask);
                });
                out.nest(5, |value| {
                    value.bytes(data::VALUE, xor);
                });
            }
            Self::Compare { register, operator, value } => {
                out.be32(1, register.number()).be32(2, *operator as u32).nest(3, |with| {
                    with.bytes(data::VALUE, value);
                });
            }
            Self::Lookup { set, key, inverted } => {
                out.text(1, set).be32(2, key.number());
                if *inverted {
                    out.be32(5, 1);
                }
            }
            Self::Map { map, key, into } => {
                out.text(1, map).be32(2, key.number()).be32(3, into.number());
            }
            Self::SetMeta { key, from } => {
                out.be32(2, *key as u32).be32(3, from.number());
            }
            Self::VerdictMap { map, key } => {
                out.text(1, map).be32(2, key.number()).be32(3, VERDICT_REGISTER);
            }
            Self::FlowOffload { flowtable } => {
                out.text(1, flowtable);
            }
            Self::Counter => {}
            Self::Verdict(verdict) => {
                out.be32(1, VERDICT_REGISTER).nest(2, |value| verdict.encode(value));
            }
            Self::Immediate { value, into } => {
                out.be32(1, into.number()).nest(2, |loaded| {
                    loaded.bytes(data::VALUE, value);
                });
            }
            Self::Masquerade { ports } => ports.encode([2, 3, 1], out),
            Self::SourceNat { family, address, ports } => {
                // NFT_NAT_SNAT; the same register as lowest and highest address.
                out.be32(1, 0).be32(2, u32::from(super::nfproto(*family)));
                out.be32(3, address.number()).be32(4, address.number());
                ports.encode([5, 6, 7], out);
            }
            Self::DestinationNat { family, address, port } => {
                // NFT_NAT_DNAT; the same registers as lowest and highest address and port.
                out.be32(1, 1).be32(2, u32::from(super::nfproto(*family)));
                out.be32(3, address.number()).be32(4, address.number());
                out.be32(5, port.number()).be32(6, port.number());
            }
        }
    }
}

/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;
