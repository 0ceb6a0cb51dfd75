//! Sets of communities of all kinds: exact ones, ranges of their fields, regular expressions over their text.

use std::fmt::Display;

use super::text_pattern::TextPattern;
use crate::wire::{Attributes, Community, ExtendedCommunity, LargeCommunity, WireElement, WireList};

/// A kind of community as numbers, so that ranges of them can be asked for.
pub trait Fields: WireElement + Ord + Display {
    /// Standard: the two halves. Large: its three parts. Extended: [`ExtendedType`] as a number, subtype, administrator, local number.
    /// What a kind does not have is zero.
    fn fields(self) -> [u32; 4];
}

impl Fields for Community {
    fn fields(self) -> [u32; 4] {
        [self.0 >> 16, self.0 & 0xffff, 0, 0]
    }
}

impl Fields for LargeCommunity {
    fn fields(self) -> [u32; 4] {
        [self.global, self.local1, self.local2, 0]
    }
}

impl Fields for ExtendedCommunity {
    fn fields(self) -> [u32; 4] {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        let of = |high: [u8; 2], low: [u8; 4]| [u32::from(u16::from_be_bytes(high)), u32::from_be_bytes(low)];
        let kind = ExtendedType::of(kind);
        let [administrator, number] = match kind {
            ExtendedType::FourOctetAs | ExtendedType::Ipv4 => {
                [u32::from_be_bytes([a, b, c, d]), u32::from(u16::from_be_bytes([e, g]))]
            }
            ExtendedType::TwoOctetAs | ExtendedType::Other(_) => of([a, b], [c, d, e, g]),
        };
        [kind.number(), subtype.into(), administrator, number]
    }
}

/// Who administers an extended community (RFC 4360 section 3, RFC 5668), whatever its transitive bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedType {
    /// An AS of two octets; the local number has four.
    TwoOctetAs,
    /// An AS of four octets; the local number has two.
    FourOctetAs,
    /// An IPv4 address; the local number has two octets.
    Ipv4,
    /// Something else: the whole type.
    Other(u8),
}

impl ExtendedType {
    const fn of(kind: u8) -> Self {
        match kind {
            0x00 | 0x40 => Self::TwoOctetAs,
            0x02 | 0x42 => Self::FourOctetAs,
            0x01 | 0x41 => Self::Ipv4,
            other => Self::Other(other),
        }
    }

    /// Both forms of an AS number are neighbours, so that one range holds them.
    pub const fn number(self) -> u32 {
        match self {
            Self::TwoOctetAs => 0,
            Self::FourOctetAs => 1,
            Self::Ipv4 => 2,
            Self::Other(kind) => 3 + kind as u32,
        }
    }
}

/// A range for each field, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRanges(pub [(u32, u32); 4]);

impl FieldRanges {
    fn holds(&self, fields: [u32; 4]) -> bool {
        self.0.iter().zip(fields).all(|((low, high), field)| (*low..=*high).contains(&field))
    }
}

/// The part of a set that is about one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindSet<T> {
    /// These.
    exact: Vec<T>,
    /// And whatever lies in these ranges.
    ranges: Vec<FieldRanges>,
}

impl<T: Fields> KindSet<T> {
    /// A set of these.
    pub fn new(mut exact: Vec<T>, ranges: Vec<FieldRanges>) -> Self {
        exact.sort_unstable();
        exact.dedup();
        Self { exact, ranges }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.ranges.is_empty()
    }

    fn contains(&self, element: T) -> bool {
        self.exact.binary_search(&element).is_ok()
            || self.ranges.iter().any(|ranges| ranges.holds(element.fields()))
    }

    fn all_found(&self, list: &WireList<T>) -> bool {
        self.exact.iter().all(|wanted| list.contains(*wanted))
            && self.ranges.iter().all(|ranges| list.iter().any(|element| ranges.holds(element.fields())))
    }
}

impl<T> Default for KindSet<T> {
    fn default() -> Self {
        Self { exact: Vec::new(), ranges: Vec::new() }
    }
}

/// A regular expression over the text of communities, as `cairnctl` shows them; large ones have two colons, extended ones a letter or
/// `0x` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommunityText {
    /// The expression.
    pub pattern: TextPattern,
    /// Look at these kinds.
    pub kinds: CommunityKinds,
}

/// Kinds of communities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommunityKinds {
    /// COMMUNITIES.
    pub standard: bool,
    /// EXTENDED COMMUNITIES.
    pub extended: bool,
    /// LARGE COMMUNITIES.
    pub large: bool,
}

impl CommunityKinds {
    /// All of them.
    pub const ALL: Self = Self { standard: true, extended: true, large: true };
}

impl CommunityText {
    fn found(&self, attributes: &Attributes) -> bool {
        fn any<T: Fields>(pattern: &TextPattern, list: &WireList<T>) -> bool {
            list.iter().any(|element| pattern.is_match(&element.to_string()))
        }
        self.kinds.standard && any(&self.pattern, &attributes.communities)
            || self.kinds.extended && any(&self.pattern, &attributes.extended_communities)
            || self.kinds.large && any(&self.pattern, &attributes.large_communities)
    }
}

/// A set of communities of all kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommunitySet {
    /// COMMUNITIES.
    pub standard: KindSet<Community>,
    /// EXTENDED COMMUNITIES.
    pub extended: KindSet<ExtendedCommunity>,
    /// LARGE COMMUNITIES.
    pub large: KindSet<LargeCommunity>,
    /// Expressions over the text of any of them.
    pub texts: Vec<CommunityText>,
}

/// How many of a set a route must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// At least one community of the route is in the set.
    Any,
    /// For every entry of the set the route has a community.
    All,
    /// As `All`, and no community of the route, of whatever kind, is outside the set.
    Exact,
    /// No community of the route is in the set.
    None,
}

impl CommunitySet {
    /// Does a route with these attributes match?
    pub fn matches(&self, quantity: Quantity, attributes: &Attributes) -> bool {
        match quantity {
            Quantity::Any => self.any(attributes),
            Quantity::None => !self.any(attributes),
            Quantity::All => self.all(attributes),
            Quantity::Exact => self.all(attributes) && self.nothing_else(attributes),
        }
    }

    fn any(&self, attributes: &Attributes) -> bool {
        fn any<T: Fields>(set: &KindSet<T>, list: &WireList<T>) -> bool {
            !set.is_empty() && list.iter().any(|element| set.contains(element))
        }
        any(&self.standard, &attributes.communities)
            || any(&self.extended, &attributes.extended_communities)
            || any(&self.large, &attributes.large_communities)
            || self.texts.iter().any(|text| text.found(attributes))
    }

    fn all(&self, attributes: &Attributes) -> bool {
        self.standard.all_found(&attributes.communities)
            && self.extended.all_found(&attributes.extended_communities)
            && self.large.all_found(&attributes.large_communities)
            && self.texts.iter().all(|text| text.found(attributes))
    }

    fn nothing_else(&self, attributes: &Attributes) -> bool {
        attributes.communities.iter().all(|element| self.has_standard(element))
            && attributes.extended_communities.iter().all(|element| self.has_extended(element))
            && attributes.large_communities.iter().all(|element| self.has_large(element))
    }

    fn has_standard(&self, element: Community) -> bool {
        self.standard.contains(element) || self.has_text(element, |kinds| kinds.standard)
    }

    fn has_extended(&self, element: ExtendedCommunity) -> bool {
        self.extended.contains(element) || self.has_text(element, |kinds| kinds.extended)
    }

    fn has_large(&self, element: LargeCommunity) -> bool {
        self.large.contains(element) || self.has_text(element, |kinds| kinds.large)
    }

    fn has_text(&self, element: impl Fields, wanted: fn(CommunityKinds) -> bool) -> bool {
        let mut texts = self.texts.iter().filter(|text| wanted(text.kinds)).peekable();
        if texts.peek().is_none() {
            return false;
        }
        let shown = element.to_string();
        texts.any(|text| text.pattern.is_match(&shown))
    }

    /// Takes every community that is in the set away.
    pub(super) fn remove_from(&self, attributes: &mut Attributes) {
        fn keep<T: Fields>(list: &mut WireList<T>, is_in: impl Fn(T) -> bool) {
            if list.iter().any(&is_in) {
                *list = list.iter().filter(|element| !is_in(*element)).collect();
            }
        }
        keep(&mut attributes.communities, |element| self.has_standard(element));
        keep(&mut attributes.extended_communities, |element| self.has_extended(element));
        keep(&mut attributes.large_communities, |element| self.has_large(element));
    }
}
