use bgp_core::policy::{CommunityKinds, CommunitySet, CommunityText, ExtendedType, FieldRanges, KindSet};
use bgp_core::wire::{Community as Standard, ExtendedCommunity, LargeCommunity};
use bgpd_api::config::{
    Administrator, Community, CommunityKind, CommunityPattern, ExtendedSubtype, NumberSpan,
};

/// Communities as the speaker has them, by kind.
#[derive(Debug, Default)]
pub struct ByKind {
    /// COMMUNITIES.
    pub standard: Vec<Standard>,
    /// LARGE COMMUNITIES.
    pub large: Vec<LargeCommunity>,
    /// EXTENDED COMMUNITIES.
    pub extended: Vec<ExtendedCommunity>,
}

impl ByKind {
    fn push(&mut self, community: Community) {
        match community {
            Community::Standard(value) => self.standard.push(Standard(value)),
            Community::Large(global, local1, local2) => {
                self.large.push(LargeCommunity { global, local1, local2 });
            }
            Community::Extended(value) => self.extended.push(ExtendedCommunity(value.to_be_bytes())),
        }
    }
}

/// The communities of a list as the speaker has them.
pub fn split(communities: &[Community]) -> ByKind {
    let mut parts = ByKind::default();
    communities.iter().for_each(|community| parts.push(*community));
    parts
}

const ANY: NumberSpan = NumberSpan(0, u32::MAX);

fn ranges<const N: usize>(spans: [NumberSpan; N]) -> FieldRanges {
    let mut all = [(0, u32::MAX); 4];
    for (range, span) in all.iter_mut().zip(spans) {
        *range = (span.0, span.1);
    }
    FieldRanges(all)
}

/// The set that a list of patterns describes.
pub(crate) fn set(patterns: &[CommunityPattern]) -> CommunitySet {
    let mut exact = ByKind::default();
    let (mut standard, mut large, mut extended) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Vec::new();
    for pattern in patterns {
        match pattern {
            CommunityPattern::Exact(community) => exact.push(*community),
            CommunityPattern::Standard(spans) => standard.push(ranges(*spans)),
            CommunityPattern::Large(spans) => large.push(ranges(*spans)),
            CommunityPattern::Extended { subtype, administrator, number } => {
                extended.push(extended_ranges(*subtype, *administrator, *number));
            }
            CommunityPattern::Regex { regex, kind } => {
                texts.push(CommunityText { pattern: regex.compiled().clone().into(), kinds: kinds(*kind) });
            }
        }
    }
    CommunitySet {
        standard: KindSet::new(exact.standard, standard),
        extended: KindSet::new(exact.extended, extended),
        large: KindSet::new(exact.large, large),
        texts,
    }
}

fn extended_ranges(
    subtype: ExtendedSubtype,
    administrator: Option<Administrator>,
    number: NumberSpan,
) -> FieldRanges {
    let subtype = match subtype {
        ExtendedSubtype::RouteTarget => 2,
        ExtendedSubtype::RouteOrigin => 3,
    };
    let [as_types, ipv4] = [
        NumberSpan(ExtendedType::TwoOctetAs.number(), ExtendedType::FourOctetAs.number()),
        NumberSpan(ExtendedType::Ipv4.number(), ExtendedType::Ipv4.number()),
    ];
    let (types, administrator) = match administrator {
        None => (NumberSpan(as_types.0, ipv4.1), ANY),
        Some(Administrator::As(span)) => (as_types, span),
        Some(Administrator::Ipv4(address)) => (ipv4, NumberSpan(u32::from(address), u32::from(address))),
    };
    ranges([types, NumberSpan(subtype, subtype), administrator, number])
}

fn kinds(kind: Option<CommunityKind>) -> CommunityKinds {
    let none = CommunityKinds { standard: false, extended: false, large: false };
    match kind {
        None => CommunityKinds::ALL,
        Some(CommunityKind::Standard) => CommunityKinds { standard: true, ..none },
        Some(CommunityKind::Large) => CommunityKinds { large: true, ..none },
        Some(CommunityKind::Extended) => CommunityKinds { extended: true, ..none },
    }
}
