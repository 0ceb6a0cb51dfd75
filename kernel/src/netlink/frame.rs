//! Messages in a datagram: `[len:u32][type:u16][flags:u16][seq:u32][pid:u32][payload]`.

use nix::errno::Errno;

use super::attribute::{Attributes, read_u16, read_u32};
use crate::error::Refusal;

pub(super) const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
/// The request's payload was left out of the answer.
const F_CAPPED: u16 = 0x100;
/// Attributes follow the answer.
const F_ACK_TLVS: u16 = 0x200;
/// The object list changed while it was being dumped.
const F_DUMP_INTR: u16 = 0x10;
const ERRMSG_MESSAGE: u16 = 1;

/// One message from the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The type: a control message below 16, otherwise of the protocol.
    pub kind: u16,
    /// Header flags.
    pub flags: u16,
    /// The request's sequence number; 0 in notifications.
    pub seq: u32,
    /// The socket whose request this is about: mostly the number of the process that opened it; 0 for the kernel itself.
    pub port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The attributes after a fixed header of the given length.
    pub fn attributes(self, header: usize) -> Attributes<'a> {
        Attributes::after(self.payload, header)
    }

    /// A byte of the fixed header.
    pub fn byte(self, offset: usize) -> Option<u8> {
        self.payload.get(offset).copied()
    }

    /// 16 bits of the fixed header, host order.
    pub fn u16(self, offset: usize) -> Option<u16> {
        read_u16(self.payload, offset)
    }

    /// 32 bits of the fixed header, host order.
    pub fn u32(self, offset: usize) -> Option<u32> {
        read_u32(self.payload, offset)
    }

    pub(super) const fn is_done(self) -> bool {
        self.kind == DONE
    }

    pub(super) const fn is_overrun(self) -> bool {
        self.kind == OVERRUN
    }

    pub(super) const fn was_interrupted(self) -> bool {
        self.flags & F_DUMP_INTR != 0
    }

    /// An acknowledgement (`Ok`) or a refusal; `None` if the message is neither.
    pub(super) fn answer(self) -> Option<Result<(), Refusal>> {
        if self.kind != ERROR && self.kind != DONE {
            return None;
        }
        let code = self.u32(0)?.cast_signed();
        if code == 0 {
            return Some(Ok(()));
        }
        Some(Err(Refusal { errno: Errno::from_raw(code.wrapping_neg()), message: self.extended_ack() }))
    }

    fn extended_ack(self) -> Option<String> {
        if self.flags & F_ACK_TLVS == 0 {
            return None;
        }
        let header = match self.kind {
            DONE => 4,
            _ if self.flags & F_CAPPED != 0 => 4 + HEADER,
            _ => 4 + (self.u32(4)? as usize).max(HEADER).checked_next_multiple_of(4)?,
        };
        self.attributes(header)
            .find(ERRMSG_MESSAGE)
            .map(super::attribute::Attribute::text)
            .filter(|text| !text.is_empty())
    }
}

/// An iterator over the messages of a datagram. It ends at the first one whose length is impossible.
#[derive(Debug, Clone)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    /// The messages of a datagram.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let len = read_u32(self.0, 0)? as usize;
        let frame = Frame {
            kind: read_u16(self.0, 4)?,
            flags: read_u16(self.0, 6)?,
            seq: read_u32(self.0, 8)?,
            port: read_u32(self.0, 12)?,
            payload: self.0.get(HEADER..len)?,
        };
        self.0 = self.0.get(len.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some(frame)
    }
}
