use super::uapi::{limit, rule};
use crate::netlink::{Attribute, Attributes, Message};

/// A token bucket of an element: a lookup finds the element only where a packet is beyond the rate.
///
/// The kernel's bucket holds what comes in a second, and the burst besides (`nft_limit_init`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Bytes that come into the bucket each second, from 1. With the burst at most 18 * 10^9: the kernel counts nanoseconds in 64 bits.
    pub bytes_per_second: u64,
    /// Bytes that the bucket holds besides.
    pub burst: u32,
}

/// The name of the expression.
const NAME: &str = "limit";
/// A second, in which the kernel's rates are.
const UNIT: u64 = 1;

impl Limit {
    /// Writes it as one expression: inside `NFTA_SET_EXPR` or `NFTA_SET_ELEM_EXPR`.
    pub(super) fn encode(self, out: &mut Message<'_>) {
        out.text(rule::EXPRESSION_NAME, NAME);
        out.nest(rule::EXPRESSION_DATA, |data| {
            data.be64(limit::RATE, self.bytes_per_second).be64(limit::UNIT, UNIT);
            data.be32(limit::BURST, self.burst).be32(limit::TYPE, limit::BYTES);
            data.be32(limit::FLAGS, limit::FLAG_OVER);
        });
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is anything else.
    pub(super) fn decode(expression: Attributes<'_>) -> Option<Self> {
        if !expression.find(rule::EXPRESSION_NAME)?.is_text(NAME) {
            return None;
        }
        let data = expression.find(rule::EXPRESSION_DATA)?.nested();
        let number = |kind| data.find(kind).and_then(Attribute::be32);
        let form = (data.find(limit::UNIT)?.be64()?, number(limit::TYPE)?, number(limit::FLAGS)?);
        if form != (UNIT, limit::BYTES, limit::FLAG_OVER) {
            return None;
        }
        Some(Self { bytes_per_second: data.find(limit::RATE)?.be64()?, burst: number(limit::BURST)? })
    }
}
