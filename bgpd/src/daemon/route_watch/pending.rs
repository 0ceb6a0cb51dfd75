//! Prefixes that a watcher is still to be told of, in an order that suits whoever writes routes into a kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_net::Prefix;

/// Prefixes, each once. A full table may be in here while its reader is busy, so that each takes no more than its bits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    words: BTreeSet<u64>,
    longer: BTreeSet<([u8; 16], u8)>,
    /// The next one is of these. Both have their turn, so that no flood of one family holds the other one back.
    longer_first: bool,
}

/// A prefix, ordered by its bits from the last to the first, so that neighbours are far apart.
///
/// Most watchers write routes into a kernel, whose trie of IPv4 routes (`net/ipv4/fib_trie.c`) resizes the same nodes
/// again and again when routes come and go in the order of their addresses: that is a third of all its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Address and length in one word, the address with its bits in reverse.
    Word(u64),
    /// What is longer than that.
    Longer([u8; 16], u8),
}

impl Spread {
    fn new(prefix: Prefix) -> Self {
        let len = prefix.len();
        match prefix.addr() {
            IpAddr::V4(v4) => Self::Word(u64::from(v4.to_bits().reverse_bits()) << 8 | u64::from(len)),
            IpAddr::V6(v6) => Self::Longer(v6.to_bits().reverse_bits().to_be_bytes(), len),
        }
    }

    fn prefix(self) -> Option<Prefix> {
        match self {
            Self::Word(word) => {
                let [_, _, _, a, b, c, d, len] = word.to_be_bytes();
                let bits = u32::from_be_bytes([a, b, c, d]).reverse_bits();
                Prefix::new(IpAddr::V4(bits.into()), len)
            }
            Self::Longer(reversed, len) => {
                let bits = u128::from_be_bytes(reversed).reverse_bits();
                Prefix::new(IpAddr::V6(bits.into()), len)
            }
        }
    }
}

impl Pending {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.words.len() + self.longer.len()
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.longer.is_empty()
    }

    /// Adds a prefix, if it is not there.
    pub(super) fn insert(&mut self, prefix: Prefix) {
        match Spread::new(prefix) {
            Spread::Word(word) => self.words.insert(word),
            Spread::Longer(reversed, len) => self.longer.insert((reversed, len)),
        };
    }

    /// Takes a prefix away, if it is there.
    pub(super) fn remove(&mut self, prefix: Prefix) {
        match Spread::new(prefix) {
            Spread::Word(word) => self.words.remove(&word),
            Spread::Longer(reversed, len) => self.longer.remove(&(reversed, len)),
        };
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self) -> Option<Prefix> {
        self.longer_first = !self.longer_first;
        let Self { words, longer, longer_first } = self;
        let mut word = || words.pop_first().map(Spread::Word);
        let mut longer = || longer.pop_first().map(|(reversed, len)| Spread::Longer(reversed, len));
        let next = if *longer_first { longer().or_else(word) } else { word().or_else(longer) };
        next?.prefix()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_far_apart_and_none_is_lost() {
        let address = |number: u32| IpAddr::from((0x0a00_0000 + (number << 8)).to_be_bytes());
        let mut all: Vec<Prefix> = (0..4096)
            .flat_map(|number| [24, 32].map(|len| Prefix::new(address(number), len).unwrap()))
            .chain(
                ["::/0", "0.0.0.0/0", "a00::/24", "ffff::1/128", "255.255.255.255/32"]
                    .map(|prefix| prefix.parse().unwrap()),
            )
            .collect();
        let mut pending = Pending::default();
        for prefix in all.iter().chain(&all) {
            pending.insert(*prefix);
        }
        assert_eq!(pending.len(), all.len());
        let mut told = Vec::new();
        while let Some(next) = pending.pop() {
            told.push(next);
        }
        assert!(pending.is_empty());
        let adjacent = told.windows(2).filter(|pair| pair[0].addr() != pair[1].addr() && pair[0] < pair[1]);
        let near = adjacent.filter(|pair| u32::abs_diff(number(pair[0]), number(pair[1])) < 1 << 16).count();
        assert!(near < 16, "{near} pairs of {} are near to each other", told.len());
        told.sort_unstable();
        all.sort_unstable();
        assert_eq!(told, all);
    }

    #[test]
    fn what_is_taken_away_is_not_told() {
        let prefixes =
            ["10.0.0.0/8", "10.0.0.0/9", "fd00::/8", "fd00::/9"].map(|prefix| prefix.parse().unwrap());
        let mut pending = Pending::default();
        for prefix in prefixes {
            pending.insert(prefix);
        }
        pending.remove(prefixes[0]);
        pending.remove(prefixes[3]);
        pending.remove("11.0.0.0/8".parse().unwrap());
        let told: BTreeSet<Option<Prefix>> = (0..3).map(|_| pending.pop()).collect();
        assert_eq!(told, [None, Some(prefixes[1]), Some(prefixes[2])].into());
    }

    #[test]
    fn a_flood_of_one_family_does_not_hold_the_other_one_back() {
        let mut pending = Pending::default();
        let [flood, waits]: [Vec<Prefix>; 2] = [["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"], ["fd00::/8"; 3]]
            .map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect());
        for prefix in flood.iter().chain(&waits) {
            pending.insert(*prefix);
        }
        let told = [pending.pop(), pending.pop()];
        assert!(told.contains(&Some(waits[0])), "{told:?}");
    }

    fn number(prefix: Prefix) -> u32 {
        match prefix.addr() {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(_) => 0,
        }
    }
}
