//! Capabilities in an OPEN.
//!
//! Spec: RFC 5492; the codes of RFC 4760, 2918, 7313, 6793, 4724, 8538, 9494, 7911, 8654, 8950, 9234.
//! A capability that cannot be parsed is kept as unknown, so that it grants nothing and resets nothing.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use cairn_net::Asn;

use crate::wire::AfiSafi;
use crate::wire::parse::{Overrun, Reader};

/// Largest restart time: 12 bits (RFC 4724 section 3).
const MAX_RESTART_TIME: u16 = 0x0fff;
/// Largest long-lived stale time: 24 bits (RFC 9494 section 3).
const MAX_STALE_TIME: u32 = 0x00ff_ffff;

/// One capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// Code 1: routes of this family (RFC 4760).
    Multiprotocol(AfiSafi),
    /// Code 2: ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// Code 5: NLRI of the family may have a next hop of the other AFI (RFC 8950).
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// Code 6: messages of up to 65535 octets (RFC 8654).
    ExtendedMessage,
    /// Code 9: the relation between the two AS (RFC 9234).
    Role(Role),
    /// Code 64: graceful restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// Code 65: the real AS number (RFC 6793).
    FourOctetAs(Asn),
    /// Code 69: several paths for one prefix (RFC 7911).
    AddPath(Vec<(AfiSafi, AddPathMode)>),
    /// Code 70: begin and end marks around a refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// Code 71: long-lived graceful restart (RFC 9494).
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// Any other, or one whose value makes no sense.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Bytes,
    },
}

/// What a speaker does with path identifiers of a family (RFC 7911 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddPathMode {
    /// Wants to receive them.
    Receive,
    /// Wants to send them.
    Send,
    /// Both.
    Both,
}

impl AddPathMode {
    /// Does the speaker want to receive several paths?
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::Both)
    }

    /// Does the speaker want to send several paths?
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Both)
    }
}

/// A speaker's role on an eBGP session (RFC 9234 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// 0: the sender is the neighbour's transit provider.
    Provider,
    /// 1: the sender is a route server.
    RouteServer,
    /// 2: the sender is a client of a route server.
    RouteServerClient,
    /// 3: the sender is the neighbour's customer.
    Customer,
    /// 4: the two are lateral peers.
    Peer,
}

impl Role {
    const ALL: [Self; 5] =
        [Self::Provider, Self::RouteServer, Self::RouteServerClient, Self::Customer, Self::Peer];

    /// The wire's number.
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    fn from_wire(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// The role that the other side must have.
    #[must_use]
    pub const fn counterpart(self) -> Self {
        match self {
            Self::Provider => Self::Customer,
            Self::RouteServer => Self::RouteServerClient,
            Self::RouteServerClient => Self::RouteServer,
            Self::Customer => Self::Provider,
            Self::Peer => Self::Peer,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::RouteServer => "route server",
            Self::RouteServerClient => "route server client",
            Self::Customer => "customer",
            Self::Peer => "peer",
        })
    }
}

/// The graceful restart capability (RFC 4724 section 3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// R: the speaker has restarted.
    pub restarted: bool,
    /// N: NOTIFICATION and hold timer expiry keep the routes, too (RFC 8538).
    pub notification: bool,
    /// Restart time in seconds, 0 to 4095; a larger one is encoded as 4095.
    pub restart_time: u16,
    /// Families whose forwarding state outlives a restart.
    pub families: Vec<GracefulRestartFamily>,
}

/// A family of the graceful restart capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GracefulRestartFamily {
    /// The family.
    pub family: AfiSafi,
    /// F: the forwarding state was in fact kept over the last restart.
    pub forwarding: bool,
}

/// A family of the long-lived graceful restart capability (RFC 9494 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongLivedFamily {
    /// The family.
    pub family: AfiSafi,
    /// F: the forwarding state was in fact kept over the last restart.
    pub forwarding: bool,
    /// How long stale routes may stay, in seconds, 0 to 2^24 - 1; a larger one is encoded as that.
    pub stale_time: u32,
}

impl Capability {
    /// The code on the wire.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => 1,
            Self::RouteRefresh => 2,
            Self::ExtendedNextHop(_) => 5,
            Self::ExtendedMessage => 6,
            Self::Role(_) => 9,
            Self::GracefulRestart(_) => 64,
            Self::FourOctetAs(_) => 65,
            Self::AddPath(_) => 69,
            Self::EnhancedRouteRefresh => 70,
            Self::LongLivedGracefulRestart(_) => 71,
            Self::Unknown { code, .. } => *code,
        }
    }

    pub(super) fn decode(code: u8, value: &[u8]) -> Self {
        Self::known(code, value)
            .unwrap_or_else(|| Self::Unknown { code, value: Bytes::copy_from_slice(value) })
    }

    fn known(code: u8, value: &[u8]) -> Option<Self> {
        let reader = Reader::new(value);
        Some(match (code, value) {
            (1, &[afi_high, afi_low, _reserved, safi]) => {
                Self::Multiprotocol(AfiSafi { afi: u16::from_be_bytes([afi_high, afi_low]), safi })
            }
            (2, []) => Self::RouteRefresh,
            (5, _) => Self::ExtendedNextHop(repeat(reader, |reader| {
                let afi = reader.u16()?;
                // The SAFI takes two octets here, unlike everywhere else.
                let [reserved, safi] = reader.u16()?.to_be_bytes();
                let next_hop = reader.u16()?;
                Ok((reserved == 0).then_some((AfiSafi { afi, safi }, next_hop)))
            })?),
            (6, []) => Self::ExtendedMessage,
            (9, &[role]) => Self::Role(Role::from_wire(role)?),
            (64, _) => Self::GracefulRestart(GracefulRestart::decode(reader)?),
            (65, &[a, b, c, d]) => Self::FourOctetAs(Asn(u32::from_be_bytes([a, b, c, d]))),
            (69, _) => Self::AddPath(repeat(reader, |reader| {
                let family = afi_safi(reader)?;
                let mode = match reader.u8()? {
                    1 => AddPathMode::Receive,
                    2 => AddPathMode::Send,
                    3 => AddPathMode::Both,
                    // Any other value means: ignore this family (RFC 7911 section 4).
                    _ => return Ok(None),
                };
                Ok(Some((family, mode)))
            })?),
            (70, []) => Self::EnhancedRouteRefresh,
            (71, _) => Self::LongLivedGracefulRestart(repeat(reader, |reader| {
                let family = afi_safi(reader)?;
                let [flags, time @ ..] = reader.u32()?.to_be_bytes();
                let [high, middle, low] = time;
                let stale_time = u32::from_be_bytes([0, high, middle, low]);
                Ok(Some(LongLivedFamily { family, forwarding: flags & 0x80 != 0, stale_time }))
            })?),
            _ => return None,
        })
    }

    pub(super) fn encode_value(&self, out: &mut BytesMut) {
        match self {
            Self::Multiprotocol(family) => {
                out.put_u16(family.afi);
                out.put_u8(0);
                out.put_u8(family.safi);
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(families) => {
                for (family, next_hop) in families {
                    out.put_u16(family.afi);
                    out.put_u16(family.safi.into());
                    out.put_u16(*next_hop);
                }
            }
            Self::Role(role) => out.put_u8(role.to_wire()),
            Self::GracefulRestart(restart) => restart.encode(out),
            Self::FourOctetAs(asn) => out.put_u32(asn.0),
            Self::AddPath(families) => {
                for (family, mode) in families {
                    put_afi_safi(out, *family);
                    out.put_u8(match mode {
                        AddPathMode::Receive => 1,
                        AddPathMode::Send => 2,
                        AddPathMode::Both => 3,
                    });
                }
            }
            Self::LongLivedGracefulRestart(families) => {
                for family in families {
                    put_afi_safi(out, family.family);
                    let flag = u32::from(family.forwarding) << 31;
                    out.put_u32(flag | family.stale_time.min(MAX_STALE_TIME));
                }
            }
            Self::Unknown { value, .. } => out.put_slice(value),
        }
    }
}

impl GracefulRestart {
    fn decode(mut reader: Reader<'_>) -> Option<Self> {
        let head = reader.u16().ok()?;
        let families = repeat(reader, |reader| {
            let family = afi_safi(reader)?;
            let forwarding = reader.u8()? & 0x80 != 0;
            Ok(Some(GracefulRestartFamily { family, forwarding }))
        })?;
        Some(Self {
            restarted: head & 0x8000 != 0,
            notification: head & 0x4000 != 0,
            restart_time: head & MAX_RESTART_TIME,
            families,
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        let flags = u16::from(self.restarted) << 15 | u16::from(self.notification) << 14;
        out.put_u16(flags | self.restart_time.min(MAX_RESTART_TIME));
        for family in &self.families {
            put_afi_safi(out, family.family);
            out.put_u8(u8::from(family.forwarding) << 7);
        }
    }
}

impl fmt::Display for Capability {
    /// One word and, where there is one, the value: `multiprotocol ipv4 unicast`, `4-octet-as 65001`, `unknown 128`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol(family) => write!(f, "multiprotocol {family}"),
            Self::RouteRefresh => f.write_str("route-refresh"),
            Self::ExtendedNextHop(families) => {
                f.write_str("extended-next-hop")?;
                families.iter().try_for_each(|(family, next_hop)| write!(f, " {family} over AFI {next_hop}"))
            }
            Self::ExtendedMessage => f.write_str("extended-message"),
            Self::Role(role) => write!(f, "role {role}"),
            Self::GracefulRestart(restart) => {
                write!(f, "graceful-restart {}s", restart.restart_time)?;
                if restart.restarted {
                    f.write_str(" restarted")?;
                }
                if restart.notification {
                    f.write_str(" notification")?;
                }
                restart.families.iter().try_for_each(|part| {
                    let kept = if part.forwarding { " (forwarding kept)" } else { "" };
                    write!(f, " {}{kept}", part.family)
                })
            }
            Self::FourOctetAs(asn) => write!(f, "4-octet-as {asn}"),
            Self::AddPath(families) => {
                f.write_str("add-path")?;
                families.iter().try_for_each(|(family, mode)| {
                    let mode = match mode {
                        AddPathMode::Receive => "receive",
                        AddPathMode::Send => "send",
                        AddPathMode::Both => "send/receive",
                    };
                    write!(f, " {family} {mode}")
                })
            }
            Self::EnhancedRouteRefresh => f.write_str("enhanced-route-refresh"),
            Self::LongLivedGracefulRestart(families) => {
                f.write_str("long-lived-graceful-restart")?;
                families.iter().try_for_each(|part| write!(f, " {} {}s", part.family, part.stale_time))
            }
            Self::Unknown { code, .. } => write!(f, "unknown {code}"),
        }
    }
}

fn afi_safi(reader: &mut Reader<'_>) -> Result<AfiSafi, Overrun> {
    Ok(AfiSafi { afi: reader.u16()?, safi: reader.u8()? })
}

fn put_afi_safi(out: &mut BytesMut, family: AfiSafi) {
    out.put_u16(family.afi);
    out.put_u8(family.safi);
}

/// Reads elements to the end; an element that says `None` is left out. `None` if the last one is cut short.
fn repeat<'a, T>(
    mut reader: Reader<'a>,
    mut element: impl FnMut(&mut Reader<'a>) -> Result<Option<T>, Overrun>,
) -> Option<Vec<T>> {
    let mut elements = Vec::new();
    while !reader.is_empty() {
        elements.extend(element(&mut reader).ok()?);
    }
    Some(elements)
}
