//! The floor: as few instructions and syscalls as a correct writer can do with.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use cairn_kernel::object::NexthopId;
use cairn_net::{Family, Prefix};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

const MESSAGES: usize = 512;
const NEW: u16 = 24;
const DEL: u16 = 25;
const REQUEST_CREATE_EXCL: u16 = 0x601;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

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

    pub(crate) fn add(&mut self, prefixes: &[Prefix], nexthop: NexthopId) -> Result<()> {
        self.write(prefixes, NEW, REQUEST_CREATE_EXCL, Some(nexthop))
    }

    pub(crate) fn delete(&mut self, prefixes: &[Prefix]) -> Result<()> {
        self.write(prefixes, DEL, REQUEST, None)
    }

    fn write(
        &mut self,
        prefixes: &[Prefix],
        kind: u16,
        flags: u16,
        nexthop: Option<NexthopId>,
    ) -> Result<()> {
        for chunk in prefixes.chunks(MESSAGES) {
            self.buffer.clear();
            for (index, prefix) in chunk.iter().enumerate() {
                let flags = if index + 1 == chunk.len() { flags | ACK } else { flags };
                message(&mut self.buffer, *prefix, kind, flags, nexthop)?;
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

/// `nlmsghdr`, `rtmsg`, and two or three attributes.
fn message(
    out: &mut Vec<u8>,
    prefix: Prefix,
    kind: u16,
    flags: u16,
    nexthop: Option<NexthopId>,
) -> Result<()> {
    let (family, dst) = (prefix.family(), 4 + prefix.family().bytes());
    let len = 16 + 12 + dst + if nexthop.is_some() { 8 } else { 0 };
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
    if let Some(nexthop) = nexthop {
        out.extend_from_slice(&8u16.to_ne_bytes());
        out.extend_from_slice(&30u16.to_ne_bytes());
        out.extend_from_slice(&nexthop.0.to_ne_bytes());
    }
    Ok(())
}
