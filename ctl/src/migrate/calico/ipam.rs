//! IPAMConfiguration, IPReservation, and what Calico holds: IPAMBlock, BlockAffinity, IPAMHandle.
//!
//! Calico goes on writing its blocks while nodes of both kinds are there, so they are not copied: they are reserved as a whole (docs/adr/0038).

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_api::Metadata;
use cairn_api::kinds::{IpPool, IpReservation, IpamConfiguration};
use cairn_net::Prefix;
use serde_json::{Value, json};

use super::document::{Source, UNREAD};
use super::fields::{Fields, Shown};
use super::note::Outcome;
use super::translator::Translator;

/// The reservation that has Calico's blocks. What is too much for one object goes into more of them, numbered from 2.
const RESERVATION: &str = "calico-blocks";

/// The kinds that say what Calico holds.
pub(super) const HOLDING: [&str; 3] = ["IPAMBlock", "BlockAffinity", "IPAMHandle"];

/// What the reservations are called in findings: they are made of many objects.
const BLOCKS: &str = "IPAMBlocks";

/// The name of one of the reservations of Calico's blocks, which are counted from 1.
fn reservation_name(number: usize) -> String {
    if number == 1 { RESERVATION.to_owned() } else { format!("{RESERVATION}-{number}") }
}

/// Is this the name of a reservation of Calico's blocks?
pub(crate) fn holds_blocks(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(RESERVATION) else { return false };
    let number = rest.strip_prefix('-').and_then(|number| number.parse::<usize>().ok());
    rest.is_empty() || number.is_some_and(|number| name == reservation_name(number))
}

/// Ranges out of which Calico may give addresses.
#[derive(Debug, Default)]
pub(super) struct Held {
    ranges: BTreeSet<Prefix>,
    /// Were there blocks? Affinities and handles do not count: neither kind names all blocks, for a block may be without either.
    known: bool,
    /// The first object that says what is held and was refused.
    refused: Option<String>,
    /// Does Calico confine itself to them?
    frozen: bool,
}

impl Held {
    /// Did the dump have Calico's blocks?
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// What was refused of the objects that say what is held: of its addresses nobody knows whether Calico has given them.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// How many blocks of a pool share an address with one of Calico's.
    pub(super) fn blocks_in(&self, pool: &IpPool) -> u128 {
        let ours = self.ranges.iter().filter(|range| pool.cidr.overlaps(**range));
        let blocks: BTreeSet<Prefix> =
            ours.clone().filter_map(|range| Prefix::containing(range.addr(), pool.block_len())).collect();
        let wide = ours.filter(|range| range.len() < pool.block_len());
        let more: u128 = wide.map(|range| (range.size() / block_size(pool)).saturating_sub(1)).sum();
        u128::try_from(blocks.len()).unwrap_or(u128::MAX).saturating_add(more)
    }

    /// Is the address in one of Calico's blocks?
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Takes in the range of a block, an affinity or a handle.
    fn take(&mut self, source: &Source, field: &str, value: &Value, to: &mut Translator) {
        match value.as_str().map(str::parse::<Prefix>) {
            Some(Ok(range)) => drop(self.ranges.insert(range)),
            _ => {
                let rule = "not a range: what Calico holds there is not known, and is not kept from being given again";
                to.notes.add(Outcome::Refused, &source.label(), field, Shown(value), rule);
            }
        }
    }

    /// Reads one of the kinds that say what is held.
    pub(super) fn read(&mut self, source: &Source, to: &mut Translator) {
        if source.spec.get("deleted").is_some_and(is_true) {
            return;
        }
        if source.kind == "IPAMHandle" {
            let blocks = source.spec.get("block").and_then(Value::as_object);
            for cidr in blocks.into_iter().flat_map(serde_json::Map::keys) {
                self.take(source, "spec.block", &json!(cidr), to);
            }
        } else {
            self.known |= source.kind == "IPAMBlock";
            self.take(source, "spec.cidr", source.spec.get("cidr").unwrap_or(&Value::Null), to);
        }
    }

    /// The reservations that keep them from Cairn's nodes, once all of them are read; and whether they have all of them.
    pub(super) fn reserve(&mut self, to: &mut Translator) {
        for (index, ranges) in merged(&self.ranges).chunks(IpReservation::MAX_CIDRS).enumerate() {
            let metadata = Metadata::named(reservation_name(index + 1));
            to.keep_as(BLOCKS, metadata, IpReservation { reserved_cidrs: ranges.to_vec() });
        }
        let mut refused = to.notes.0.iter().filter(|note| note.outcome == Outcome::Refused);
        self.refused = refused.find(|note| says_what_is_held(&note.object)).map(|note| note.object.clone());
    }

    /// What must hold so that the reservation suffices.
    pub(super) fn finish(&self, pools_in_use: bool, to: &mut Translator) {
        if pools_in_use && !self.frozen {
            let rule = "let Calico claim no more blocks before the dump is taken and a node is moved: spec.strictAffinity true and \
                        spec.autoAllocateBlocks false of the IPAMConfig named default. Else it may claim what a node of Cairn has";
            to.notes.add(Outcome::ByHand, "IPAMConfiguration default", "spec.autoAllocateBlocks", true, rule);
        }
    }
}

fn block_size(pool: &IpPool) -> u128 {
    1 << pool.cidr.family().bits().saturating_sub(pool.block_len()).min(127)
}

/// Is this finding's object one that says what is held? One that nobody can read may be.
fn says_what_is_held(object: &str) -> bool {
    let kind = object.split_once(' ').map_or(object, |(kind, _)| kind);
    object == UNREAD || object == BLOCKS || HOLDING.contains(&kind)
}

/// `deleted` of an affinity is a text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// The same addresses in as few ranges as can be.
fn merged(ranges: &BTreeSet<Prefix>) -> Vec<Prefix> {
    let mut merged: Vec<Prefix> = Vec::new();
    for range in ranges {
        if merged.last().is_some_and(|last| last.covers(*range)) {
            continue;
        }
        merged.push(*range);
        while let [.., left, right] = merged.as_slice()
            && let Some(both) = left.len().checked_sub(1).and_then(|len| Prefix::new(left.addr(), len))
            && left.len() == right.len()
            && both.covers(*right)
        {
            merged.truncate(merged.len() - 2);
            merged.push(both);
        }
    }
    merged
}

/// How addresses are managed. Whether Calico confines itself to its blocks is noted.
pub(super) fn configuration(source: &Source, held: &mut Held, to: &mut Translator) {
    let mut fields = Fields::of(source, &mut to.notes);
    fields.drop(
        "kubeVirtVMAddressPersistence",
        "the address of a virtual machine is that of its pod, and goes with it",
    );
    let strict = fields.get("strictAffinity").is_some_and(is_true);
    if fields.get("autoAllocateBlocks") == Some(&json!(false)) {
        held.frozen = strict;
        fields.take("autoAllocateBlocks");
        let rule = "left at true: Cairn's nodes must claim blocks of their own. Set it once all nodes are moved, if it is wanted";
        fields.note(Outcome::Changed, "autoAllocateBlocks", &json!(false), rule);
    }
    if strict {
        let rule = "carried over: nodes do not borrow. Set it to false if it was set for the move alone";
        fields.note(Outcome::ByHand, "strictAffinity", &json!(true), rule);
    }
    if fields.get("ipCooldownSeconds").is_none() {
        let rule = "absent: a released address rests for 30 s in Cairn, and not at all in Calico";
        fields.note(Outcome::Changed, "ipCooldownSeconds", &Value::Null, rule);
    }
    let carried = ["strictAffinity", "maxBlocksPerHost", "autoAllocateBlocks", "ipCooldownSeconds"];
    if let Some(spec) = fields.carry::<IpamConfiguration>(&carried) {
        to.keep(source, spec);
    }
}

/// Ranges that an operator reserved.
pub(super) fn reservation(source: &Source, to: &mut Translator) {
    if holds_blocks(&source.name) {
        let rule = "this name is that of a reservation of Calico's blocks: give it another one";
        to.notes.add(Outcome::Refused, &source.label(), "metadata.name", &source.name, rule);
        return;
    }
    if let Some(spec) = Fields::of(source, &mut to.notes).carry::<IpReservation>(&["reservedCIDRs"]) {
        to.keep(source, spec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> BTreeSet<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn neighbouring_blocks_become_one_range_and_no_address_more() {
        let merge = |texts: &[&str]| -> Vec<String> {
            merged(&prefixes(texts)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            merge(&["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26", "10.0.0.192/26"]),
            ["10.0.0.0/24"]
        );
        assert_eq!(merge(&["10.0.0.64/26", "10.0.0.128/26"]), ["10.0.0.64/26", "10.0.0.128/26"]);
        assert_eq!(merge(&["10.0.0.0/24", "10.0.0.64/26", "fd00::/122"]), ["10.0.0.0/24", "fd00::/122"]);
        assert_eq!(merge(&["0.0.0.0/1", "128.0.0.0/1", "::/0"]), ["0.0.0.0/0", "::/0"]);
    }

    #[test]
    fn a_reservation_of_blocks_is_known_by_its_name() {
        for number in [1, 2, 3, 17] {
            assert!(holds_blocks(&reservation_name(number)), "{number}");
        }
        for other in
            ["printers", "calico", "calico-blocks-", "calico-blocks-1", "calico-blocks-02", "calico-blocks-b"]
        {
            assert!(!holds_blocks(other), "{other}");
        }
    }

    #[test]
    fn blocks_of_other_sizes_count_for_all_that_they_touch() {
        let pool = IpPool::of("10.0.0.0/24".parse().unwrap());
        let count = |texts: &[&str]| Held { ranges: prefixes(texts), ..Held::default() }.blocks_in(&pool);
        assert_eq!(count(&["10.0.0.0/26", "10.0.1.0/26"]), 1);
        assert_eq!(count(&["10.0.0.0/28", "10.0.0.16/28"]), 1);
        assert_eq!(count(&["10.0.0.0/25"]), 2);
    }
}
