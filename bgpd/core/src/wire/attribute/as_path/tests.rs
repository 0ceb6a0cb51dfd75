use proptest::prelude::*;

use super::*;

fn path(wire: &[(u8, &[u32])]) -> AsPath {
    let mut octets = Vec::new();
    for (kind, asns) in wire {
        octets.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
        asns.iter().for_each(|asn| octets.extend_from_slice(&asn.to_be_bytes()));
    }
    AsPath::from_wire(&octets).unwrap()
}

fn sequence(asns: &[u32]) -> AsPath {
    AsPath::sequence(asns.iter().copied().map(Asn))
}

#[test]
fn a_set_counts_one_and_a_confederation_nothing() {
    assert_eq!(AsPath::default().hop_count(), 0);
    assert_eq!(path(&[(3, &[1, 2]), (4, &[3]), (2, &[4, 5]), (1, &[6, 7, 8])]).hop_count(), 3);
}

#[test]
fn neighbor_and_origin_are_the_ends_of_sequences() {
    let confederation = path(&[(3, &[1]), (2, &[4, 5])]);
    assert_eq!(confederation.neighbor_as(), Some(Asn(4)));
    assert_eq!(confederation.first_as(), Some(Asn(1)));
    assert_eq!(confederation.origin_as(), Some(Asn(5)));
    let aggregate = path(&[(1, &[4, 5])]);
    assert_eq!((aggregate.neighbor_as(), aggregate.first_as(), aggregate.origin_as()), (None, None, None));
    assert_eq!(AsPath::default().neighbor_as(), None);
}

#[test]
fn prepending_joins_the_first_sequence() {
    let prepended = sequence(&[2]).prepended(Asn(1), 3);
    assert_eq!(prepended.to_string(), "1 1 1 2");
    assert_eq!(prepended.segments().count(), 1);
    assert_eq!(path(&[(1, &[2, 3])]).prepended(Asn(1), 1).to_string(), "1 {2 3}");
    assert_eq!(sequence(&[2]).prepended(Asn(1), 0), sequence(&[2]));
    assert_eq!(AsPath::default().prepended(Asn(1), 1), sequence(&[1]));
}

#[test]
fn a_full_segment_is_topped_up_and_a_new_one_goes_before_it() {
    let prepended = sequence(&[2; 254]).prepended(Asn(1), 300);
    let lens: Vec<_> = prepended.segments().map(Segment::len).collect();
    assert_eq!(lens, [44, 255, 255]);
    assert_eq!(prepended.hop_count(), 554);
    assert_eq!(prepended.occurrences(Asn(1)), 300);
    assert_eq!(AsPath::from_wire(prepended.as_wire()).as_ref(), Ok(&prepended));
    assert_eq!(sequence(&[2; 255]).prepended(Asn(1), 1).segments().count(), 2);
}

#[test]
fn a_confederation_is_entered_and_left() {
    let inside = sequence(&[5]).prepended_confederation(Asn(2)).prepended_confederation(Asn(1));
    assert_eq!(inside.to_string(), "(1 2) 5");
    assert_eq!(inside.without_confederation(), sequence(&[5]));
    assert_eq!(inside.without_confederation().prepended(Asn(9), 1).to_string(), "9 5");
}

#[test]
fn a_path_begins_with_its_front_only() {
    let path = path(&[(2, &[1, 2]), (1, &[3])]);
    assert!(path.starts_with(&[Asn(1), Asn(2)]));
    assert!(!path.starts_with(&[Asn(1), Asn(2), Asn(3)]));
}

#[test]
fn as4_path_takes_the_place_of_the_tail() {
    let merged = |narrow: &AsPath, wide: &AsPath| narrow.merged_with(wide).to_string();
    assert_eq!(merged(&sequence(&[1, 23456, 23456]), &sequence(&[70000, 80000])), "1 70000 80000");
    // The longer AS4_PATH is not believed.
    assert_eq!(merged(&sequence(&[23456]), &sequence(&[70000, 80000])), "23456");
    // A set counts one and is taken whole; confederation segments in front come along.
    let narrow = path(&[(3, &[9]), (1, &[5, 6]), (2, &[23456])]);
    assert_eq!(merged(&narrow, &sequence(&[70000])), "(9) {5 6} 70000");
    assert_eq!(merged(&sequence(&[1, 2]), &AsPath::default()), "1 2");
}

#[test]
fn a_merged_sequence_of_more_than_255_stays_two_segments() {
    let merged = sequence(&[1; 200]).prepended(Asn(2), 100).merged_with(&sequence(&[70000; 200]));
    assert_eq!(merged.hop_count(), 300);
    assert_eq!(AsPath::from_wire(merged.as_wire()), Ok(merged));
}

proptest! {
    #[test]
    fn a_merged_path_is_well_formed_and_as_long_as_the_as_path(
        narrow in prop::collection::vec((1..=4u8, prop::collection::vec(1..9u32, 1..5)), 0..5),
        wide in prop::collection::vec((1..=2u8, prop::collection::vec(65536..65540u32, 1..5)), 0..5),
    ) {
        let borrow = |segments: &[(u8, Vec<u32>)]| {
            let segments: Vec<_> = segments.iter().map(|(kind, asns)| (*kind, asns.as_slice())).collect();
            path(&segments)
        };
        let narrow = borrow(&narrow);
        let merged = narrow.merged_with(&borrow(&wide));
        prop_assert_eq!(merged.hop_count(), narrow.hop_count());
        prop_assert_eq!(AsPath::from_wire(merged.as_wire()), Ok(merged));
    }

    #[test]
    fn any_octets_are_a_path_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(path) = AsPath::from_wire(&octets) {
            prop_assert_eq!(path.as_wire(), &octets[..]);
        }
        if let Ok(path) = AsPath::from_two_octet_wire(&octets) {
            let mut narrow = Vec::new();
            path.put_two_octet(&mut narrow);
            prop_assert_eq!(narrow, octets);
        }
    }
}
