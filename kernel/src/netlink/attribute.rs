//! Attributes: `[len:u16][type:u16][value][padding to 4]`, possibly nested.

use std::net::IpAddr;

/// The bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 4;

/// An iterator over attributes. It ends at the first one whose length is impossible.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Attributes from raw bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Attributes that follow a fixed header of the given length; none if the header is cut short.
    pub fn after(payload: &'a [u8], header: usize) -> Self {
        Self(payload.get(header..).unwrap_or_default())
    }

    /// The first attribute of a kind.
    pub fn find(self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut { self }, |attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let len = usize::from(read_u16(self.0, 0)?);
        let kind = read_u16(self.0, 2)? & TYPE_MASK;
        let value = self.0.get(HEADER..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}

/// One attribute; the readers give `None` where the value is too short for what is asked.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// The type, without its flag bits.
    pub kind: u16,
    /// The value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A byte.
    pub fn u8(self) -> Option<u8> {
        self.value.first().copied()
    }

    /// 16 bits, host order.
    pub fn u16(self) -> Option<u16> {
        read_u16(self.value, 0)
    }

    /// 32 bits, host order.
    pub fn u32(self) -> Option<u32> {
        read_u32(self.value, 0)
    }

    /// 16 bits, network order.
    pub fn be16(self) -> Option<u16> {
        self.u16().map(u16::from_be)
    }

    /// 32 bits, network order.
    pub fn be32(self) -> Option<u32> {
        self.u32().map(u32::from_be)
    }

    /// 64 bits, network order.
    pub fn be64(self) -> Option<u64> {
        Some(u64::from_be_bytes(*self.value.first_chunk()?))
    }

    /// Text up to the first zero byte; invalid UTF-8 is replaced.
    pub fn text(self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(self.value.get(..end).unwrap_or_default()).into_owned()
    }

    /// Is it this text?
    pub fn is_text(self, text: &str) -> bool {
        self.value.split(|byte| *byte == 0).next() == Some(text.as_bytes())
    }

    /// An address; its family follows from its length.
    pub fn addr(self) -> Option<IpAddr> {
        read_addr(self.value)
    }

    /// The attributes inside.
    pub const fn nested(self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

/// 16 bits in host order at an offset.
pub(crate) fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// 32 bits in host order at an offset.
pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// An address of 4 or 16 bytes.
pub(crate) fn read_addr(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        16 => Some(IpAddr::from(*bytes.first_chunk::<16>()?)),
        _ => None,
    }
}
