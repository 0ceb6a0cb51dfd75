use std::collections::BTreeMap;

use cairn_net::{Families, Family};

use crate::store::KINDS;

/// How far the daemon has got since its start. What is in the kernel is swept only at the end of it (I2).
#[derive(Debug, Default)]
pub(super) struct Progress {
    kinds_listed: usize,
    /// Why objects cannot be read of which nothing is known, by kind and name.
    unread: BTreeMap<&'static str, BTreeMap<String, String>>,
    endpoints_restored: bool,
    host_seen: bool,
    dataplane_ready: bool,
    families_ended: Families,
    facts_told: bool,
    picture_told: bool,
    routes_told: bool,
}

impl Progress {
    /// Every object of one more kind is known.
    pub(super) fn kind_listed(&mut self) {
        self.kinds_listed += 1;
    }

    /// These objects of a kind cannot be read, and no others of it: the kind is not listed while there are any.
    pub(super) fn unread(&mut self, kind: &'static str, objects: BTreeMap<String, String>) {
        self.unread.insert(kind, objects);
    }

    /// The CNI server handed over its journal.
    pub(super) fn endpoints_restored(&mut self) {
        self.endpoints_restored = true;
    }

    /// The node's interfaces and addresses are known, so that next hops can be found on them.
    pub(super) fn host_seen(&mut self) {
        self.host_seen = true;
    }

    /// The kernel was read and the firewall is in it.
    pub(super) fn dataplane_ready(&mut self) {
        self.dataplane_ready = true;
    }

    /// bgpd has told its whole RIB of these families.
    pub(super) fn end_of_rib(&mut self, families: Families) {
        self.families_ended = families.iter().fold(self.families_ended, Families::with);
    }

    /// True once: the datastore and the host have been read, from which tunnels and the ways into them follow.
    pub(super) fn facts_completed(&mut self) -> bool {
        let now = self.has_facts() && !self.facts_told;
        self.facts_told |= now;
        now
    }

    const fn has_facts(&self) -> bool {
        self.kinds_listed >= KINDS && self.host_seen
    }

    const fn has_picture(&self) -> bool {
        self.has_facts() && self.endpoints_restored
    }

    /// True once: all but the learned routes is known.
    pub(super) fn picture_completed(&mut self) -> bool {
        let now = self.has_picture() && !self.picture_told;
        self.picture_told |= now;
        now
    }

    /// Was that said?
    pub(super) const fn is_picture_told(&self) -> bool {
        self.picture_told
    }

    /// True once: the learned routes are known, too.
    pub(super) fn routes_completed(&mut self) -> bool {
        let all = Family::ALL.into_iter().all(|family| self.families_ended.contains(family));
        let now = self.has_picture() && all && !self.routes_told;
        self.routes_told |= now;
        now
    }

    /// Was both said?
    pub(super) const fn is_in_sync(&self) -> bool {
        self.picture_told && self.routes_told
    }

    /// Has the datastore been read, and is the firewall in the kernel?
    pub(super) const fn is_complete(&self) -> bool {
        self.dataplane_ready && self.kinds_listed >= KINDS
    }

    /// Objects that cannot be read and of which nothing is known, as `Kind/name`, with why.
    pub(super) fn unread_objects(&self) -> impl Iterator<Item = (String, String)> {
        let all = self.unread.iter();
        all.flat_map(|(kind, objects)| {
            objects.iter().map(move |(name, why)| (format!("{kind}/{name}"), why.clone()))
        })
    }

    /// Why not all is known that the node follows from.
    pub(super) fn datastore_fault(&self) -> Option<String> {
        let mut unread = self.unread_objects();
        if let Some((object, why)) = unread.next() {
            let more = if unread.next().is_some() { ", and others" } else { "" };
            return Some(format!("{object} cannot be read{more}: {why}"));
        }
        (self.kinds_listed < KINDS).then(|| "not read yet".to_owned())
    }

    /// Why pods would be without a firewall.
    pub(super) fn firewall_fault(&self) -> Option<String> {
        (!self.dataplane_ready).then(|| "the firewall is not in the kernel yet".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_told_once_and_routes_only_after_the_picture() {
        let mut progress = Progress::default();
        progress.end_of_rib(Families::ALL);
        assert!(!progress.routes_completed());
        progress.endpoints_restored();
        (0..KINDS).for_each(|_| progress.kind_listed());
        // Without the interfaces no learned route leads anywhere, and a sweep would remove them all.
        assert!(!progress.facts_completed() && !progress.picture_completed() && !progress.routes_completed());
        progress.host_seen();
        assert!(progress.facts_completed() && !progress.facts_completed());
        assert!(progress.picture_completed() && !progress.picture_completed());
        assert!(!progress.is_in_sync());
        assert!(progress.routes_completed() && !progress.routes_completed());
        assert!(progress.is_in_sync());
        assert!(progress.firewall_fault().is_some() && !progress.is_complete());
        progress.dataplane_ready();
        assert!(progress.firewall_fault().is_none() && progress.is_complete());
        assert_eq!(progress.datastore_fault(), None);
    }

    #[test]
    fn nothing_is_handed_on_while_an_object_cannot_be_read() {
        let mut progress = Progress::default();
        progress.endpoints_restored();
        progress.host_seen();
        progress.end_of_rib(Families::ALL);
        (1..KINDS).for_each(|_| progress.kind_listed());
        let why = "spec.asNumber: \"0\": 1 to 4294967294".to_owned();
        progress.unread("BGPConfiguration", [("default".to_owned(), why.clone())].into());
        assert!(!progress.facts_completed() && !progress.picture_completed() && !progress.routes_completed());
        assert_eq!(
            progress.datastore_fault().unwrap(),
            format!("BGPConfiguration/default cannot be read: {why}")
        );
        progress.unread("IPPool", [("p".to_owned(), why)].into());
        assert!(progress.datastore_fault().unwrap().contains("and others"));
        for kind in ["BGPConfiguration", "IPPool"] {
            progress.unread(kind, BTreeMap::new());
        }
        progress.kind_listed();
        assert!(progress.facts_completed() && progress.picture_completed() && progress.routes_completed());
        assert_eq!(progress.datastore_fault(), None);
    }

    #[test]
    fn one_family_alone_is_not_the_whole_rib() {
        let mut progress = Progress::default();
        progress.endpoints_restored();
        (0..KINDS).for_each(|_| progress.kind_listed());
        progress.host_seen();
        progress.end_of_rib(Families::NONE.with(Family::Ipv4));
        assert!(!progress.routes_completed());
        progress.end_of_rib(Families::NONE.with(Family::Ipv6));
        assert!(progress.routes_completed());
    }
}
