//! The floor: as few instructions and syscalls as a correct writer can do with.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use cairn_kernel::object::NexthopId;
use cairn_net::{Family, Prefix};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// `RTA_OIF`, `RTA_GATEWAY`, `RTA_NH_ID` (linux/rtnetlink.h).
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;
const NEXTHOP: u16 = 30;

const MESSAGES: usize = 512;
const NEW: u16 = 24;
const DEL: u16 = 25;
const REQUEST_CREATE_EXCL: u16 = 0x601;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// Where routes lead.
#[derive(Clone, Copy)]
pub(crate) enum Via {
    /// To what an object says, which the kernel has checked once.
    Nexthop(NexthopId),
    /// To a router on an interface of this number; the kernel looks it up for each route.
    #[allow(dead_code, reason = "this file is in two benchmarks")]
    Gateway(Ipv4Addr, u32),
}

/// Writes routes and remembers nothing.
pub(crate) struct Writer {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn open() -> Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, buffer: Vec::with_capacity(MESSAGES * 80) })
    }

    pub(crate) fn add(&mut self, prefixes: &[Prefix], via: Via) -> Result<()> {
        self.write(prefixes, NEW, REQUEST_CREATE_EXCL, Some(via))
    }

    pub(crate) fn delete(&mut self, prefixes: &[Prefix]) -> Result<()> {
        self.write(prefixes, DEL, REQUEST, None)
    }

    fn write(&mut self, prefixes: &[Prefix], kind: u16, flags: u16, via: Option<Via>) -> Result<()> {
        for chunk in prefixes.chunks(MESSAGES) {
            self.buffer.clear();
            for (index, prefix) in chunk.iter().enumerate() {
                let flags = if index + 1 == chunk.len() { flags | ACK } else { flags };
                message(&mut self.buffer, *prefix, kind, flags, via)?;
            }
            send(self.fd.as_raw_fd(), &self.buffer, MsgFlags::empty())?;
            self.acknowledged()?;
        }
        Ok(())
    }

    fn acknowledged(&self) -> Result<()> {
        let mut answer = [0; 4096];
        let len = recv(self.fd.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        ensure!(len >= 20, "an answer of {len} bytes");
        let [a, b, c, d] =
            answer.get(16..20).and_then(|b| b.try_into().ok()).context("an answer cut short")?;
        match i32::from_ne_bytes([a, b, c, d]) {
            0 => Ok(()),
            code => bail!("the kernel refused a route: {}", nix::errno::Errno::from_raw(-code)),
        }
    }
}

/// `nlmsghdr`, `rtmsg`, and two to four attributes.
fn message(out: &mut Vec<u8>, prefix: Prefix, kind: u16, flags: u16, via: Option<Via>) -> Result<()> {
    let (family, dst) = (prefix.family(), 4 + prefix.family().bytes());
    let way = match via {
        None => 0,
        Some(Via::Nexthop(_)) => 8,
        Some(Via::Gateway(..)) => 16,
    };
    let len = 16 + 12 + dst + way;
    out.extend_from_slice(&u32::try_from(len)?.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    let af = if family == Family::Ipv4 { 2 } else { 10 };
    let (scope, unicast) = if kind == DEL { (255, 0) } else { (0, 1) };
    out.extend_from_slice(&[af, prefix.len(), 0, 0, 254, 202, scope, unicast, 0, 0, 0, 0]);
    out.extend_from_slice(&u16::try_from(dst)?.to_ne_bytes());
    out.extend_from_slice(&1u16.to_ne_bytes());
    match prefix.addr() {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
    let mut word = |attribute: u16, value: [u8; 4]| {
        out.extend_from_slice(&8u16.to_ne_bytes());
        out.extend_from_slice(&attribute.to_ne_bytes());
        out.extend_from_slice(&value);
    };
    match via {
        None => {}
        Some(Via::Nexthop(id)) => word(NEXTHOP, id.0.to_ne_bytes()),
        Some(Via::Gateway(router, interface)) => {
            word(GATEWAY, router.octets());
            word(INTERFACE, interface.to_ne_bytes());
        }
    }
    Ok(())
}
