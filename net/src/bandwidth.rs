use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// How much traffic a pod may have in a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub struct Rate {
    bits_per_second: u64,
    burst_bits: Option<u64>,
}

impl Rate {
    /// Least and greatest, in bits per second: a kilobit as Kubernetes has it, and what the kernel can count with.
    pub const RANGE: std::ops::RangeInclusive<u64> = 1_000..=100_000_000_000;
    /// Greatest burst in bits: 4 GiB less a byte, as the kernel has 32 bits for it.
    pub const MAX_BURST: u64 = 8 * (u32::MAX as u64);

    /// A rate in bits per second, and the bits that may come at once after a pause; `None`: nobody said.
    ///
    /// # Errors
    /// One of the two is out of range.
    pub fn new(bits_per_second: u64, burst_bits: Option<u64>) -> Result<Self, ParseError> {
        let error = |value: u64, rule| Err(ParseError::new("rate", &value.to_string(), rule));
        if !Self::RANGE.contains(&bits_per_second) {
            return error(bits_per_second, "1000 to 100000000000 bits per second");
        }
        match burst_bits {
            Some(burst) if !(1..=Self::MAX_BURST).contains(&burst) => {
                error(burst, "a burst of 1 to 34359738360 bits")
            }
            _ => Ok(Self { bits_per_second, burst_bits }),
        }
    }

    /// Whole bytes per second.
    pub const fn bytes_per_second(self) -> u64 {
        self.bits_per_second / 8
    }

    /// Whole bytes that may come at once, where somebody said.
    pub fn burst_bytes(self) -> Option<u64> {
        self.burst_bits.map(|bits| bits / 8)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit/s", self.bits_per_second)
    }
}

/// A rate as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Parts {
    bits_per_second: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst_bits: Option<u64>,
}

impl From<Rate> for Parts {
    fn from(rate: Rate) -> Self {
        Self { bits_per_second: rate.bits_per_second, burst_bits: rate.burst_bits }
    }
}

impl TryFrom<Parts> for Rate {
    type Error = ParseError;

    fn try_from(parts: Parts) -> Result<Self, ParseError> {
        Self::new(parts.bits_per_second, parts.burst_bits)
    }
}

/// A direction, as the pod sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// How much traffic a pod may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bandwidth {
    /// To the pod; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Rate>,
    /// From the pod; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Rate>,
}

impl Bandwidth {
    /// Is nothing limited?
    pub const fn is_unlimited(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }

    /// The limits there are.
    pub fn limits(&self) -> impl Iterator<Item = (Direction, Rate)> {
        let both = [(Direction::Ingress, self.ingress), (Direction::Egress, self.egress)];
        both.into_iter().filter_map(|(direction, rate)| Some((direction, rate?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_within_what_the_kernel_counts() {
        for (bits, burst) in [(1_000, None), (100_000_000_000, Some(Rate::MAX_BURST)), (8_000, Some(1))] {
            assert!(Rate::new(bits, burst).is_ok(), "{bits} {burst:?}");
        }
        for (bits, burst) in [(999, None), (100_000_000_001, None), (1_000, Some(0)), (1_000, Some(1 << 36))]
        {
            let error = Rate::new(bits, burst).unwrap_err();
            assert!(error.to_string().contains("bits"), "{error}");
        }
        let rate = Rate::new(20_000_000, Some(800)).unwrap();
        assert_eq!((rate.bytes_per_second(), rate.burst_bytes()), (2_500_000, Some(100)));
    }
}
