//! First pass: where the fields and the attributes are, not what they mean.

use super::fault::{Fault, FaultReason};
use crate::wire::notification::UpdateError;
use crate::wire::parse::{Overrun, Reader};

/// Attribute flag: the type need not be known.
pub(super) const OPTIONAL: u8 = 0x80;
/// Attribute flag: to be passed on.
pub(super) const TRANSITIVE: u8 = 0x40;
/// Attribute flag: passed on by someone who did not know the type.
pub(super) const PARTIAL: u8 = 0x20;
/// Attribute flag: the length takes two octets. The low four bits mean nothing and are ignored.
pub(super) const EXTENDED_LENGTH: u8 = 0x10;

/// The three fields of an UPDATE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) withdrawn: &'a [u8],
    pub(super) attributes: &'a [u8],
    pub(super) nlri: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Splits a message body by its two lengths.
    ///
    /// # Errors
    /// Session reset with Malformed Attribute List if a length points beyond the body (RFC 4271 section 6.3).
    pub(super) fn split(body: &'a [u8]) -> Result<Self, Fault> {
        let overrun = |_: Overrun| {
            Fault::reset(UpdateError::MalformedAttributeList, None, FaultReason::FieldsOverrun, &[])
        };
        let mut reader = Reader::new(body);
        let withdrawn = reader.counted_u16().map_err(overrun)?.rest();
        let attributes = reader.counted_u16().map_err(overrun)?.rest();
        Ok(Self { withdrawn, attributes, nlri: reader.rest() })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.attributes.is_empty() && self.nlri.is_empty()
    }

    /// The attributes in order, up to the first one that is cut short.
    pub(super) const fn attributes(&self) -> RawAttributes<'a> {
        RawAttributes { reader: Reader::new(self.attributes) }
    }
}

/// One attribute, uninterpreted.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawAttribute<'a> {
    pub(super) flags: u8,
    pub(super) code: u8,
    pub(super) value: &'a [u8],
    /// Head and value: what a NOTIFICATION carries as data.
    pub(super) whole: &'a [u8],
}

/// Iterator over attributes; ends after an `Err`.
#[derive(Debug, Clone)]
pub(super) struct RawAttributes<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for RawAttributes<'a> {
    /// An attribute that is cut short gives its type code, if there is at least that much of it.
    type Item = Result<RawAttribute<'a>, Option<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.reader.rest();
        if start.is_empty() {
            return None;
        }
        let item = read_attribute(&mut self.reader).map_err(|_| start.get(1).copied());
        if item.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(item)
    }
}

fn read_attribute<'a>(reader: &mut Reader<'a>) -> Result<RawAttribute<'a>, Overrun> {
    let start = reader.rest();
    let flags = reader.u8()?;
    let code = reader.u8()?;
    let value = if flags & EXTENDED_LENGTH == 0 { reader.counted_u8()? } else { reader.counted_u16()? };
    let whole = &start[..start.len() - reader.rest().len()];
    Ok(RawAttribute { flags, code, value: value.rest(), whole })
}
