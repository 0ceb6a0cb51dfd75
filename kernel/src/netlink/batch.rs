//! Encoding: many messages in one buffer.

use std::net::IpAddr;

use super::frame::HEADER;

/// `NLM_F_REQUEST`: every message to the kernel has it.
const F_REQUEST: u16 = 1;
/// `NLM_F_ACK`.
const F_ACK: u16 = 4;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Messages for the kernel, in the order they will be carried out.
///
/// One batch may be larger than one datagram: see [`super::Socket::execute`].
#[derive(Debug, Default, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    oversized: bool,
}

impl Batch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), starts: Vec::new(), oversized: false }
    }

    /// How many messages.
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// True if there is no message.
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
        self.oversized = false;
    }

    /// Starts a message: its type, its flags and its fixed header. `NLM_F_REQUEST` is added.
    pub fn message(&mut self, kind: u16, flags: u16, header: &[u8]) -> Message<'_> {
        let start = self.bytes.len();
        self.starts.push(start);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        let mut message = Message { batch: self, start };
        message.raw(header);
        message
    }

    /// True if an attribute was longer than its 16-bit length can say: the batch cannot be sent.
    pub const fn is_oversized(&self) -> bool {
        self.oversized
    }

    /// The bytes as they would be sent, without sequence numbers.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the messages consecutive sequence numbers; those for which `ack` says so ask for an acknowledgement.
    pub(super) fn number(&mut self, first: u32, ack: impl Fn(usize) -> bool) {
        let mut seq = first;
        for (index, start) in self.starts.iter().enumerate() {
            if let Some(header) =
                self.bytes.get_mut(*start..).and_then(|bytes| bytes.first_chunk_mut::<HEADER>())
            {
                header[8..12].copy_from_slice(&seq.to_ne_bytes());
                let flags = u16::from_ne_bytes([header[6], header[7]]);
                let flags = if ack(index) { flags | F_ACK } else { flags };
                header[6..8].copy_from_slice(&flags.to_ne_bytes());
            }
            seq = seq.wrapping_add(1);
        }
    }

    /// The end of the longest run of messages from `from` that fits both limits; at least one message.
    pub(super) fn run(&self, from: usize, messages: usize, bytes: usize) -> usize {
        let start = self.offset(from);
        let mut end = from + 1;
        while end < self.len() && end - from < messages && self.offset(end + 1) - start <= bytes {
            end += 1;
        }
        end
    }

    /// The bytes of messages `from..to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(self.offset(from)..self.offset(to)).unwrap_or_default()
    }

    fn offset(&self, index: usize) -> usize {
        self.starts.get(index).copied().unwrap_or(self.bytes.len())
    }
}

/// A message under construction; it is complete when dropped.
#[derive(Debug)]
pub struct Message<'a> {
    batch: &'a mut Batch,
    start: usize,
}

impl Message<'_> {
    /// Bytes outside of any attribute.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.batch.bytes.extend_from_slice(bytes);
        self.pad()
    }

    /// An attribute of bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = u16::try_from(value.len() + 4).unwrap_or_else(|_| {
            self.batch.oversized = true;
            u16::MAX
        });
        let out = &mut self.batch.bytes;
        out.extend_from_slice(&len.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(value);
        self.pad()
    }

    /// An attribute without a value.
    pub fn flag(&mut self, kind: u16) -> &mut Self {
        self.bytes(kind, &[])
    }

    /// A byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// 16 bits, host order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// 32 bits, host order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// 16 bits, network order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// 32 bits, network order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// 64 bits, network order.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Text with the zero byte that the kernel expects at its end.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// An address.
    pub fn addr(&mut self, kind: u16, value: IpAddr) -> &mut Self {
        match value {
            IpAddr::V4(v4) => self.bytes(kind, &v4.octets()),
            IpAddr::V6(v6) => self.bytes(kind, &v6.octets()),
        }
    }

    /// Attributes inside an attribute.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(&[0; 2]);
        self.batch.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        self.close(start)
    }

    /// A `struct rtnexthop`: a 16-bit length over itself and its attributes, then six bytes.
    pub(crate) fn structure(&mut self, head: [u8; 6], fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.batch.bytes.len();
        self.batch.bytes.extend_from_slice(&[0; 2]);
        self.batch.bytes.extend_from_slice(&head);
        fill(self);
        self.close(start)
    }

    fn close(&mut self, start: usize) -> &mut Self {
        let len = u16::try_from(self.batch.bytes.len() - start).unwrap_or_else(|_| {
            self.batch.oversized = true;
            u16::MAX
        });
        self.patch(start, &len.to_ne_bytes());
        self
    }

    fn pad(&mut self) -> &mut Self {
        let len = self.batch.bytes.len();
        self.batch.bytes.resize(len.next_multiple_of(4), 0);
        self
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.batch.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        match u32::try_from(self.batch.bytes.len() - self.start) {
            Ok(len) => self.patch(self.start, &len.to_ne_bytes()),
            Err(_) => self.batch.oversized = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Frames};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut batch = Batch::new();
        batch.message(24, 0x400, &[2, 0, 0, 0]).u32(1, 7).text(3, "eth0").nest(5, |inner| {
            inner.be16(1, 0x1234).nest(2, |deep| {
                deep.addr(1, "10.0.0.1".parse().unwrap());
            });
        });
        batch.message(25, 0, &[]).flag(9);
        batch.number(100, |index| index == 1);

        let frames: Vec<_> = Frames::new(batch.as_bytes()).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].kind, frames[0].flags, frames[0].seq), (24, 0x401, 100));
        assert_eq!((frames[1].kind, frames[1].flags, frames[1].seq), (25, 5, 101));
        let attributes = frames[0].attributes(4);
        assert_eq!(attributes.find(1).unwrap().u32(), Some(7));
        assert_eq!(attributes.find(3).unwrap().text(), "eth0");
        let nested = attributes.find(5).unwrap().nested();
        assert_eq!(nested.find(1).unwrap().be16(), Some(0x1234));
        let addr = nested.find(2).unwrap().nested().find(1).unwrap().addr();
        assert_eq!(addr, Some("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn torn_bytes_end_the_iteration() {
        let mut batch = Batch::new();
        batch.message(24, 0, &[2, 0, 0, 0]).u32(1, 7).bytes(2, &[1, 2, 3]);
        let whole = batch.as_bytes();
        for cut in 0..whole.len() {
            for frame in Frames::new(&whole[..cut]) {
                for attribute in frame.attributes(4) {
                    attribute.nested().count();
                }
            }
        }
        assert_eq!(Attributes::new(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
        assert_eq!(Attributes::new(&[0xff, 0xff, 1, 0]).count(), 0, "longer than the buffer");
    }

    #[test]
    fn an_attribute_past_64_kib_is_noticed() {
        let mut batch = Batch::new();
        batch.message(1, 0, &[]).nest(1, |inner| {
            inner.bytes(1, &[0; 40_000]).bytes(1, &[0; 40_000]);
        });
        assert!(batch.is_oversized());
    }

    #[test]
    fn runs_respect_both_limits() {
        let mut batch = Batch::new();
        for _ in 0..10 {
            batch.message(1, 0, &[0; 16]);
        }
        assert_eq!(batch.run(0, 4, 1000), 4);
        assert_eq!(batch.run(0, 100, 100), 3);
        assert_eq!(batch.run(9, 4, 1), 10);
    }
}
