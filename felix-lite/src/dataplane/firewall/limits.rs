//! The rules for pods with a limit of their traffic (docs/adr/0044). Which pod has which is in sets, each of whose elements has a bucket of its own.

use cairn_kernel::nftables::{Chain, ChainType, Expression, Hook, Limit, MetaKey, Register, Rule, Verdict};
use cairn_net::{Direction, Rate};

use super::ruleset::rule;
use super::sets::SetName;

pub(super) const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// What a bucket holds besides a second's worth, at the least: two packets as large as the kernel makes them of a TCP stream between its own
/// interfaces. One that is larger than the bucket would never pass.
const LEAST_BURST: u64 = 128 << 10;

/// The bucket for a rate. The kernel's holds a second's worth anyway, so of a burst only what is beyond that counts.
pub(super) fn bucket(rate: Rate) -> Limit {
    let bytes_per_second = rate.bytes_per_second();
    let beyond = rate.burst_bytes().unwrap_or(0).saturating_sub(bytes_per_second);
    Limit { bytes_per_second, burst: u32::try_from(beyond.max(LEAST_BURST)).unwrap_or(u32::MAX) }
}

pub(super) fn chain(direction: Direction) -> Chain {
    let (hook, priority) = match direction {
        Direction::Ingress => (Hook::Postrouting, 300),
        Direction::Egress => (Hook::Prerouting, -305),
    };
    Chain::at(name(direction), ChainType::Filter, hook, priority)
}

pub(super) fn rule_of(direction: Direction) -> Rule {
    let (key, comment) = match direction {
        Direction::Ingress => (MetaKey::OutputInterface, "pods are sent no more than their rate"),
        Direction::Egress => (MetaKey::InputInterface, "pods send no more than their rate"),
    };
    let set = SetName::Limits(direction).as_str().to_owned();
    let parts = vec![
        Expression::Meta { key, into: Register(0) },
        Expression::Lookup { set, key: Register(0), inverted: false },
        Expression::Counter,
        Expression::Verdict(Verdict::Drop),
    ];
    rule(name(direction), comment, parts)
}

const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress-limit",
        Direction::Egress => "egress-limit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_second_and_the_largest_packets_and_more_where_that_is_asked_for() {
        let of = |bits, burst| {
            let limit = bucket(Rate::new(bits, burst).unwrap());
            (limit.bytes_per_second, limit.burst)
        };
        assert_eq!(of(20_000_000, None), (2_500_000, 131_072));
        assert_eq!(of(20_000_000, Some(8_000)), (2_500_000, 131_072), "a second's worth is more");
        assert_eq!(of(8_000_000, Some(16_000_000)), (1_000_000, 1_000_000));
        assert_eq!(of(1_000, None), (125, 131_072));
        // The kernel counts the whole bucket in nanoseconds of the rate, in 64 bits.
        let (rate, burst) = of(*Rate::RANGE.end(), Some(Rate::MAX_BURST));
        assert!((rate + u64::from(burst)).checked_mul(1_000_000_000).is_some());
    }
}
