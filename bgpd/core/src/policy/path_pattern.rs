use std::ops::RangeInclusive;

use cairn_net::Asn;

use crate::wire::AsPath;

/// One token of a pattern for whole AS paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathToken {
    /// One AS of this range.
    One(RangeInclusive<Asn>),
    /// Any number of ASes, none included.
    AnyNumber,
}

/// Do the tokens match the whole path, the nearest AS first? A member of a set counts as one AS.
///
/// Goes back at most to the last [`PathToken::AnyNumber`], so the cost is bounded by path length times pattern length.
pub(super) fn matches(pattern: &[PathToken], path: &AsPath) -> bool {
    let asns: Vec<Asn> = path.asns().collect();
    let (mut token, mut place) = (0, 0);
    // The last `AnyNumber` and the first AS that it does not cover yet.
    let mut retry = None;
    while place < asns.len() {
        match pattern.get(token) {
            Some(PathToken::AnyNumber) => {
                token += 1;
                retry = Some((token, place));
            }
            Some(PathToken::One(range)) if asns.get(place).is_some_and(|asn| range.contains(asn)) => {
                token += 1;
                place += 1;
            }
            _ => {
                let Some((after, covered)) = retry else { return false };
                token = after;
                place = covered + 1;
                retry = Some((after, place));
            }
        }
    }
    pattern.iter().skip(token).all(|token| *token == PathToken::AnyNumber)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(asn: u32) -> PathToken {
        PathToken::One(Asn(asn)..=Asn(asn))
    }

    /// The definition, without regard for cost.
    fn matches_by_definition(pattern: &[PathToken], asns: &[Asn]) -> bool {
        match (pattern.split_first(), asns.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((PathToken::AnyNumber, rest)), _) => {
                (0..=asns.len()).any(|covered| matches_by_definition(rest, &asns[covered..]))
            }
            (Some((PathToken::One(range), rest)), Some((asn, others))) => {
                range.contains(asn) && matches_by_definition(rest, others)
            }
            (Some((PathToken::One(_), _)), None) => false,
        }
    }

    fn token() -> impl Strategy<Value = PathToken> {
        prop_oneof![
            Just(PathToken::AnyNumber),
            (1..4u32).prop_map(one),
            Just(PathToken::One(Asn(1)..=Asn(2))),
        ]
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(
            pattern in prop::collection::vec(token(), 0..6),
            path in prop::collection::vec((1..4u32).prop_map(Asn), 0..8),
        ) {
            let expected = matches_by_definition(&pattern, &path);
            prop_assert_eq!(matches(&pattern, &AsPath::sequence(path)), expected);
        }
    }

    #[test]
    fn an_empty_pattern_matches_an_empty_path_only() {
        assert!(matches(&[], &AsPath::default()));
        assert!(!matches(&[], &AsPath::sequence([Asn(1)])));
        assert!(matches(&[PathToken::AnyNumber], &AsPath::default()));
    }
}
