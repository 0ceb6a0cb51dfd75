//! The reservations of Calico's blocks in the store: in which order they are written anew, and which of them have become too many.
//!
//! Blocks come and go from one dump to the next, and ranges move from one reservation to another. Each is in the new one before it is out of the
//! old one: a node that looked in between would take it for free. Pure.

use cairn_api::kinds::IpReservation;
use cairn_api::{Metadata, Object, annotation};

use super::calico::{CALICO, Translated, holds_blocks};

/// Was the object made by this command?
pub(super) fn is_migrated(metadata: &Metadata) -> bool {
    metadata.annotations.get(annotation::MIGRATED_FROM).is_some_and(|product| product == CALICO)
}

/// All objects in the order in which they are written: the reservations of blocks before everything else.
///
/// Ranges stand in the order of their addresses, over all reservations. So between two neighbours they move in one direction only, and whoever
/// gets them is written first.
pub(super) fn in_order<'o>(
    objects: &'o [Translated],
    stored: &[Object<IpReservation>],
) -> Vec<&'o Translated> {
    let mut ordered = Vec::with_capacity(objects.len());
    // Each of them gets ranges of the one before it.
    let mut run: Vec<&Translated> = Vec::new();
    for (object, held) in objects.iter().filter_map(|object| Some((object, of_blocks(object)?))) {
        if !gets_of_the_one_before(held, stored) {
            ordered.extend(run.drain(..).rev());
        }
        run.push(object);
    }
    ordered.extend(run.into_iter().rev());
    ordered.extend(objects.iter().filter(|object| of_blocks(object).is_none()));
    ordered
}

/// The reservations that an earlier dump needed, to be removed once all others are written. None where no block is known: such a dump says nothing
/// of them.
pub(super) fn left_over<'s>(
    objects: &[Translated],
    stored: &'s [Object<IpReservation>],
) -> Vec<&'s Object<IpReservation>> {
    let needed: Vec<&str> = objects.iter().filter_map(of_blocks).map(Object::name).collect();
    let is_left = |found: &&Object<IpReservation>| {
        holds_blocks(found.name()) && is_migrated(&found.metadata) && !needed.contains(&found.name())
    };
    if needed.is_empty() { Vec::new() } else { stored.iter().filter(is_left).collect() }
}

/// The object, if it is a reservation of blocks.
fn of_blocks(object: &Translated) -> Option<&Object<IpReservation>> {
    match object {
        Translated::Reservation(held) if holds_blocks(held.name()) => Some(held),
        _ => None,
    }
}

/// Does it begin further ahead than it did? One that is new does.
fn gets_of_the_one_before(held: &Object<IpReservation>, stored: &[Object<IpReservation>]) -> bool {
    let before = stored.iter().find(|found| found.name() == held.name());
    let before = before.and_then(|found| found.spec.reserved_cidrs.first());
    before.is_none_or(|before| held.spec.reserved_cidrs.first().is_some_and(|first| first < before))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cairn_net::Prefix;

    use super::*;

    /// How many ranges there are.
    const RANGES: u32 = 7;

    /// The ranges whose bits are set.
    fn ranges(bits: u32) -> BTreeSet<Prefix> {
        let set = (0..RANGES).filter(|bit| (bits >> bit) & 1 == 1);
        set.map(|bit| format!("10.0.{bit}.0/25").parse().unwrap()).collect()
    }

    /// Reservations of two of them each.
    fn reservations(bits: u32) -> Vec<Object<IpReservation>> {
        let ranges: Vec<Prefix> = ranges(bits).into_iter().collect();
        let of_two = ranges.chunks(2).enumerate().map(|(index, ranges)| {
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            let mut metadata = Metadata::named(format!("calico-blocks{number}"));
            metadata.annotations.insert(annotation::MIGRATED_FROM.to_owned(), CALICO.to_owned());
            Object::new(metadata, IpReservation { reserved_cidrs: ranges.to_vec() })
        });
        of_two.collect()
    }

    #[test]
    fn no_range_is_free_while_it_moves_and_none_is_held_for_nothing_afterwards() {
        let all = 1 << RANGES;
        for (before, after) in (0..all).flat_map(|before| (1..all).map(move |after| (before, after))) {
            let stored = reservations(before);
            let wanted: Vec<Translated> = reservations(after).into_iter().map(Translated::from).collect();
            let mut now: BTreeMap<&str, &[Prefix]> =
                stored.iter().map(|found| (found.name(), found.spec.reserved_cidrs.as_slice())).collect();
            let written = in_order(&wanted, &stored);
            assert_eq!(written.len(), wanted.len());
            for held in written.into_iter().filter_map(of_blocks) {
                now.insert(held.name(), &held.spec.reserved_cidrs);
                let reserved: BTreeSet<Prefix> = now.values().copied().flatten().copied().collect();
                let missing = ranges(before & after).difference(&reserved).count();
                assert_eq!(missing, 0, "{before:b} to {after:b}, at {}", held.name());
            }
            for found in left_over(&wanted, &stored) {
                now.remove(found.name());
            }
            let reserved: BTreeSet<Prefix> = now.into_values().flatten().copied().collect();
            assert_eq!(reserved, ranges(after), "{before:b} to {after:b}");
        }
    }

    #[test]
    fn what_others_made_and_a_dump_without_blocks_remove_nothing() {
        let mut stored = reservations(0b1_1111);
        let wanted: Vec<Translated> = reservations(0b1).into_iter().map(Translated::from).collect();
        let names = |stored: &[Object<IpReservation>], wanted: &[Translated]| {
            left_over(wanted, stored).into_iter().map(|found| found.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&stored, &wanted), ["calico-blocks-2", "calico-blocks-3"]);
        assert!(names(&stored, &[]).is_empty());
        stored[1].metadata.annotations.clear();
        assert_eq!(names(&stored, &wanted), ["calico-blocks-3"]);
    }
}
