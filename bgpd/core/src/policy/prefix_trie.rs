//! Which of many prefixes cover a given one.
//!
//! A binary trie with compressed paths, in one vector, in the order in which a look-up walks: a look-up takes at most one step for
//! each prefix or fork above the query, and none for the prefixes beside it.
//! Invariants: a node's prefix strictly covers those of its children; at most one node per prefix, so at most two for each prefix
//! that was entered; at most 33 or 129 steps, whatever was entered.

use std::net::IpAddr;

use cairn_net::{Family, Prefix};

/// No node.
const NONE: u32 = u32::MAX;

/// See the module. Keeps the places of the prefixes in the list that it was made of.
#[derive(Debug, Clone, Default)]
pub(super) struct PrefixTrie {
    nodes: Vec<Node>,
    /// The places, those of one prefix together and ascending.
    places: Vec<u32>,
    /// The topmost node of each family.
    roots: [Option<u32>; 2],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The address, left-aligned; bits beyond the length are zero.
    bits: u128,
    len: u8,
    /// The node below with the next bit clear, and the one with it set.
    children: [u32; 2],
    /// A range of the places; empty at a mere fork.
    start: u32,
    end: u32,
}

impl Node {
    fn covers(&self, bits: u128, len: u8) -> bool {
        self.len <= len && (self.bits ^ bits) & mask(self.len) == 0
    }
}

impl PrefixTrie {
    pub(super) fn new(prefixes: impl Iterator<Item = Prefix>) -> Self {
        let mut sorted: Vec<(Prefix, u32)> = prefixes.zip(0..NONE).collect();
        // A covering prefix sorts before what it covers.
        sorted.sort_unstable();
        let mut trie = Self::default();
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            let start = trie.end_of_places();
            trie.places.extend(same.iter().map(|(_, place)| *place));
            let Some((prefix, _)) = same.first() else { continue };
            trie.insert(*prefix, start);
        }
        trie
    }

    fn end_of_places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(NONE)
    }

    fn push(&mut self, bits: u128, len: u8, places: (u32, u32)) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let (start, end) = places;
        self.nodes.push(Node { bits: bits & mask(len), len, children: [NONE; 2], start, end });
        id
    }

    /// Enters a prefix that sorts after all before it, with the places from `start` on.
    fn insert(&mut self, prefix: Prefix, start: u32) {
        let (bits, len, family) = (left_aligned(prefix.addr()), prefix.len(), prefix.family());
        let leaf = self.push(bits, len, (start, self.end_of_places()));
        let Some(mut at) = self.roots[family as usize] else {
            self.roots[family as usize] = Some(leaf);
            return;
        };
        let mut parent = None;
        loop {
            let node = self.nodes[at as usize];
            if !node.covers(bits, len) {
                let fork = self.fork(at, leaf);
                match parent {
                    None => self.roots[family as usize] = Some(fork),
                    Some((above, side)) => self.set_child(above, side, fork),
                }
                return;
            }
            let side = usize::from(bit(bits, node.len));
            let below = node.children[side];
            if below == NONE {
                return self.set_child(at, side, leaf);
            }
            parent = Some((at, side));
            at = below;
        }
    }

    fn set_child(&mut self, node: u32, side: usize, child: u32) {
        self.nodes[node as usize].children[side] = child;
    }

    /// A node above two that do not cover each other.
    fn fork(&mut self, a: u32, b: u32) -> u32 {
        let (left, right) = (self.nodes[a as usize], self.nodes[b as usize]);
        let common = (left.bits ^ right.bits).leading_zeros().min(127);
        #[allow(clippy::cast_possible_truncation)] // at most 127
        let len = common as u8;
        let fork = self.push(left.bits, len, (0, 0));
        self.set_child(fork, usize::from(bit(left.bits, len)), a);
        self.set_child(fork, usize::from(bit(right.bits, len)), b);
        fork
    }

    /// Visits the places of every prefix that covers this one, the shortest prefix first.
    pub(super) fn covering(&self, prefix: Prefix, mut visit: impl FnMut(&[u32])) {
        let (bits, len) = (left_aligned(prefix.addr()), prefix.len());
        let mut next = self.roots[prefix.family() as usize].unwrap_or(NONE);
        while let Some(node) = self.nodes.get(next as usize).filter(|node| node.covers(bits, len)) {
            if let Some(places) = self.places.get(node.start as usize..node.end as usize)
                && !places.is_empty()
            {
                visit(places);
            }
            if node.len == len {
                return;
            }
            next = node.children[usize::from(bit(bits, node.len))];
        }
    }
}

fn left_aligned(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << (128 - u32::from(Family::Ipv4.bits())),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The bit at this place, counted from the left; none beyond the last.
fn bit(bits: u128, place: u8) -> bool {
    bits.checked_shl(place.into()).is_some_and(|rest| rest >> 127 == 1)
}

fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}
