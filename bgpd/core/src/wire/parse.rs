//! The few readers that all decoders are made of.
//!
//! `nom` stays behind this module and the decoders: no public signature names it. A reader that runs out of
//! input says [`Overrun`] and nothing more, since what that means depends on the field.

use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

/// There are fewer octets than the field needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun;

impl<I> nom::error::ParseError<I> for Overrun {
    fn from_error_kind(_: I, _: nom::error::ErrorKind) -> Self {
        Self
    }

    fn append(_: I, _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// A cursor over a message or a part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left, without taking it.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn u8(&mut self) -> Result<u8, Overrun> {
        self.run(be_u8)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Overrun> {
        self.run(be_u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Overrun> {
        self.run(be_u32)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Overrun> {
        self.run(take(len))
    }

    /// A sub-reader over as many octets as the next octet says.
    pub(super) fn counted_u8(&mut self) -> Result<Self, Overrun> {
        let len = self.u8()?;
        self.take(len.into()).map(Self)
    }

    /// A sub-reader over as many octets as the next two octets say.
    pub(super) fn counted_u16(&mut self) -> Result<Self, Overrun> {
        let len = self.u16()?;
        self.take(len.into()).map(Self)
    }

    fn run<O>(
        &mut self,
        mut parser: impl Parser<&'a [u8], Output = O, Error = Overrun>,
    ) -> Result<O, Overrun> {
        let result: IResult<&'a [u8], O, Overrun> = parser.parse(self.0);
        match result {
            Ok((rest, value)) => {
                self.0 = rest;
                Ok(value)
            }
            Err(nom::Err::Error(overrun) | nom::Err::Failure(overrun)) => Err(overrun),
            Err(nom::Err::Incomplete(_)) => Err(Overrun),
        }
    }
}
