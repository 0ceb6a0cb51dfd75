//! Synthetic routing tables and their messages, made before any clock runs.
//!
//! The mix of lengths, paths and communities follows what route collectors show of the global table; it is an approximation, not a
//! dump. Messages are encoded here and not by bgp-core, so that a fault of ours cannot hide in its own mirror.

use std::net::Ipv4Addr;

/// The longest message.
const MAX_MESSAGE: usize = 4096;
/// Octets of an UPDATE without attributes and prefixes.
const EMPTY_UPDATE: usize = 23;

/// A generator of numbers that only look random: xorshift64*, the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// From 0 to `end` - 1.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(end)) >> 32) as u32
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

/// An IPv4 prefix as a number: address, then length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    pub(crate) fn new(addr: u32, len: u8) -> Self {
        Self(u64::from(addr) << 8 | u64::from(len))
    }

    fn len(self) -> usize {
        (self.0 & 0xff) as usize
    }

    fn octets(self) -> usize {
        1 + self.len().div_ceil(8)
    }

    fn put(self, out: &mut Vec<u8>) {
        let addr = ((self.0 >> 8) as u32).to_be_bytes();
        out.push(self.len() as u8);
        out.extend_from_slice(&addr[..self.len().div_ceil(8)]);
    }
}

/// Share of each prefix length, in 1/100 percent.
const LENGTHS: [(u8, u32); 15] = [
    (24, 6000),
    (22, 1110),
    (23, 1000),
    (21, 520),
    (20, 450),
    (19, 270),
    (18, 150),
    (16, 140),
    (17, 90),
    (15, 80),
    (14, 60),
    (13, 50),
    (12, 40),
    (11, 25),
    (10, 15),
];

/// Distinct prefixes with the lengths of the global table, in no order.
pub(crate) fn internet(count: usize, seed: u64) -> Vec<Key> {
    let mut numbers = Numbers::new(seed);
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut prefixes = Vec::with_capacity(count);
    while prefixes.len() < count {
        let mut draw = numbers.below(LENGTHS.iter().map(|(_, share)| share).sum());
        let chosen = LENGTHS.iter().find(|(_, share)| {
            let found = draw < *share;
            draw = draw.saturating_sub(*share);
            found
        });
        let len = chosen.map_or(24, |(len, _)| *len);
        // From 11.0.0.0 to 99.255.255.255: nothing that a speaker might treat as special.
        let addr = (0x0b00_0000 + numbers.below(0x5900_0000)) & (u32::MAX << (32 - len));
        let key = Key::new(addr.max(0x0b00_0000), len);
        if seen.insert(key) {
            prefixes.push(key);
        }
    }
    prefixes
}

/// Attributes in wire form, and the AS path alone to recognise them by.
pub(crate) struct Attributes {
    pub(crate) wire: Vec<u8>,
    pub(crate) path: u32,
}

/// Whom the announcing peer is to the speaker.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// Of this AS.
    External(u32),
    /// Of the speaker's AS.
    Internal,
}

impl Attributes {
    /// A set as the global table has them.
    pub(crate) fn random(numbers: &mut Numbers, from: From, next_hop: Ipv4Addr) -> Self {
        let mut path: Vec<u32> = match from {
            From::External(asn) => vec![asn],
            From::Internal => Vec::new(),
        };
        let hops = match numbers.below(100) {
            0..8 => 1,
            8..31 => 2,
            31..64 => 3,
            64..85 => 4,
            85..95 => 5,
            _ => 6 + numbers.below(4),
        };
        for _ in 0..hops {
            // Neither private nor reserved.
            let narrow = numbers.chance(55);
            path.push(if narrow { 1000 + numbers.below(60_000) } else { 131_072 + numbers.below(270_000) });
        }
        if numbers.chance(12) {
            let last = path.last().copied().unwrap_or(1000);
            path.extend(std::iter::repeat_n(last, 1 + numbers.below(3) as usize));
        }
        let med = numbers.chance(30).then(|| numbers.below(500));
        let mut communities: Vec<u32> = Vec::new();
        if numbers.chance(65) {
            let count = 1 + numbers.below(10);
            communities
                .extend((0..count).map(|_| (1000 + numbers.below(60_000)) << 16 | numbers.below(65_000)));
        }
        let mut large: Vec<u32> = Vec::new();
        if numbers.chance(15) {
            for _ in 0..1 + numbers.below(4) {
                large.extend([200_000 + numbers.below(9000), numbers.below(1000), numbers.below(9000)]);
            }
        }
        Self::encode(&path, matches!(from, From::Internal), next_hop, med, &communities, &large)
    }

    /// The set of a node of a pod network: nothing but its address.
    pub(crate) fn of_node(next_hop: Ipv4Addr) -> Self {
        Self::encode(&[], true, next_hop, None, &[], &[])
    }

    /// The set of a peer of this AS that announces its own.
    pub(crate) fn of_peer(asn: u32, next_hop: Ipv4Addr) -> Self {
        Self::encode(&[asn], false, next_hop, None, &[], &[])
    }

    fn encode(
        path: &[u32],
        internal: bool,
        next_hop: Ipv4Addr,
        med: Option<u32>,
        communities: &[u32],
        large: &[u32],
    ) -> Self {
        let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
        let mut wire = Vec::with_capacity(96);
        put(0x40, 1, &[0], &mut wire);
        let mut segments = Vec::new();
        if !path.is_empty() {
            segments.extend_from_slice(&[2, path.len() as u8]);
            segments.extend(words(path));
        }
        put(0x40, 2, &segments, &mut wire);
        put(0x40, 3, &next_hop.octets(), &mut wire);
        if let Some(med) = med {
            put(0x80, 4, &med.to_be_bytes(), &mut wire);
        }
        if internal {
            put(0x40, 5, &100u32.to_be_bytes(), &mut wire);
        }
        if !communities.is_empty() {
            put(0xc0, 8, &words(communities), &mut wire);
        }
        if !large.is_empty() {
            put(0xc0, 32, &words(large), &mut wire);
        }
        Self { wire, path: fingerprint(path.iter().copied()) }
    }
}

fn put(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[flags, code, value.len() as u8]);
    out.extend_from_slice(value);
}

/// A number that tells AS paths apart.
pub(crate) fn fingerprint(path: impl Iterator<Item = u32>) -> u32 {
    path.fold(0x811c_9dc5, |sum, asn| {
        let sum = (sum ^ asn).wrapping_mul(0x0100_0193);
        sum ^ sum >> 15
    })
}

/// Appends one UPDATE.
pub(crate) fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8], out: &mut Vec<u8>) {
    let len = EMPTY_UPDATE + withdrawn.len() + attributes.len() + nlri.len();
    assert!(len <= MAX_MESSAGE, "a message of {len} octets");
    header(2, len, out);
    out.extend_from_slice(&(withdrawn.len() as u16).to_be_bytes());
    out.extend_from_slice(withdrawn);
    out.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    out.extend_from_slice(attributes);
    out.extend_from_slice(nlri);
}

/// Appends a message's header.
pub(crate) fn header(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.push(kind);
}

/// Appends the prefixes of one attribute set, in as few UPDATEs as can be.
pub(crate) fn announce(attributes: &[u8], prefixes: &[Key], out: &mut Vec<u8>) {
    pack(prefixes, MAX_MESSAGE - EMPTY_UPDATE - attributes.len(), |nlri| update(&[], attributes, nlri, out));
}

/// Appends the withdrawal of prefixes.
pub(crate) fn withdraw(prefixes: &[Key], out: &mut Vec<u8>) {
    pack(prefixes, MAX_MESSAGE - EMPTY_UPDATE, |withdrawn| update(withdrawn, &[], &[], out));
}

fn pack(prefixes: &[Key], room: usize, mut write: impl FnMut(&[u8])) {
    let mut nlri = Vec::with_capacity(room);
    for prefix in prefixes {
        if nlri.len() + prefix.octets() > room {
            write(&nlri);
            nlri.clear();
        }
        prefix.put(&mut nlri);
    }
    if !nlri.is_empty() {
        write(&nlri);
    }
}

/// Calls `each` with every prefix of a field.
pub(crate) fn each_prefix(mut field: &[u8], mut each: impl FnMut(Key)) {
    while let Some((len, rest)) = field.split_first() {
        let count = usize::from(*len).div_ceil(8).min(4).min(rest.len());
        let mut addr = [0; 4];
        addr[..count].copy_from_slice(&rest[..count]);
        each(Key::new(u32::from_be_bytes(addr), *len));
        field = &rest[count..];
    }
}

/// Sizes of `groups` groups that sum up to `count`: most are small, a few are large.
pub(crate) fn group_sizes(numbers: &mut Numbers, count: usize, groups: usize) -> Vec<usize> {
    let weights: Vec<f64> = (0..groups)
        .map(|_| (1.0 - f64::from(numbers.below(1 << 20)) / f64::from(1u32 << 20)).powf(-0.75))
        .collect();
    let total: f64 = weights.iter().sum();
    let mut sizes: Vec<usize> =
        weights.iter().map(|weight| ((weight / total * count as f64) as usize).max(1)).collect();
    // What rounding left over or took too much.
    let mut sum: usize = sizes.iter().sum();
    for at in (0..groups).cycle() {
        if sum == count {
            break;
        }
        if sum < count {
            sizes[at] += 1;
            sum += 1;
        } else if sizes[at] > 1 {
            sizes[at] -= 1;
            sum -= 1;
        }
    }
    sizes
}

/// What one peer announces.
pub(crate) struct Table {
    pub(crate) prefixes: Vec<Key>,
    /// The AS path of each, by its fingerprint, as the peer sends it.
    pub(crate) paths: Vec<u32>,
    pub(crate) announcements: Vec<u8>,
    pub(crate) withdrawals: Vec<u8>,
}

impl Table {
    /// Prefixes in `sets` attribute sets as the global table has them.
    pub(crate) fn random(prefixes: Vec<Key>, sets: usize, from: From, next_hop: Ipv4Addr, seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let sizes = group_sizes(&mut numbers, prefixes.len(), sets);
        let mut table = Self::empty(prefixes);
        let mut at = 0;
        for size in sizes {
            let attributes = Attributes::random(&mut numbers, from, next_hop);
            table.add(at..at + size, &attributes);
            at += size;
        }
        table
    }

    /// Prefixes with one set of attributes.
    pub(crate) fn uniform(prefixes: Vec<Key>, attributes: &Attributes) -> Self {
        let count = prefixes.len();
        let mut table = Self::empty(prefixes);
        table.add(0..count, attributes);
        table
    }

    fn empty(prefixes: Vec<Key>) -> Self {
        let mut withdrawals = Vec::new();
        withdraw(&prefixes, &mut withdrawals);
        Self { prefixes, paths: Vec::new(), announcements: Vec::new(), withdrawals }
    }

    fn add(&mut self, range: std::ops::Range<usize>, attributes: &Attributes) {
        self.paths.extend(std::iter::repeat_n(attributes.path, range.len()));
        announce(&attributes.wire, &self.prefixes[range], &mut self.announcements);
    }
}
