//! The floor: as few instructions and syscalls as a correct writer can do with.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use cairn_kernel::object::NexthopId;
use cairn_net::{Family, Prefix};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// `RTA_NH_ID` (linux/rtnetlink.h).
const NEXTHOP: u16 = 30;

const MESSAGES: usize = 512;
const NEW: u16 = 24;
const DEL: u16 = 25;
const REQUEST_CREATE_EXCL: u16 = 0x601;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// An attribute of four octets (`rtattr`).
pub(crate) type Word = [u8; 8];

/// The attribute of this type.
pub(crate) fn word(attribute: u16, value: [u8; 4]) -> Word {
    let mut word = [0; 8];
    word[..2].copy_from_slice(&8u16.to_ne_bytes());
    word[2..4].copy_from_slice(&attribute.to_ne_bytes());
    word[4..].copy_from_slice(&value);
    word
}

/// A route leads to what an object says, which the kernel has checked once.
pub(crate) fn nexthop(id: NexthopId) -> Word {
    word(NEXTHOP, id.0.to_ne_bytes())
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

    /// Adds routes with these attributes, which say where they lead.
    pub(crate) fn add(&mut self, prefixes: &[Prefix], way: &[Word]) -> Result<()> {
        self.write(prefixes, NEW, REQUEST_CREATE_EXCL, way)
    }

    pub(crate) fn delete(&mut self, prefixes: &[Prefix]) -> Result<()> {
        self.write(prefixes, DEL, REQUEST, &[])
    }

    fn write(&mut self, prefixes: &[Prefix], kind: u16, flags: u16, way: &[Word]) -> Result<()> {
        for chunk in prefixes.chunks(MESSAGES) {
            self.buffer.clear();
            for (index, prefix) in chunk.iter().enumerate() {
                let flags = if index + 1 == chunk.len() { flags | ACK } else { flags };
                message(&mut self.buffer, *prefix, kind, flags, way)?;
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
fn message(out: &mut Vec<u8>, prefix: Prefix, kind: u16, flags: u16, way: &[Word]) -> Result<()> {
    let (family, dst) = (prefix.family(), 4 + prefix.family().bytes());
    let len = 16 + 12 + dst + size_of_val(way);
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
    out.extend(way.iter().flatten());
    Ok(())
}
