//! Routes of our own, by owner.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::Prefix;

use super::aggregate;
use super::{OriginatedRoute, RouteSource, Speaker};
use crate::rib::{NewPath, PathId, Source, SourceId, SourceKind, Verdict};

impl Speaker {
    pub(super) fn originate(&mut self, owner: &str, routes: &[OriginatedRoute], replace: bool) {
        let source = self.owner(owner);
        if replace {
            let named: HashSet<Prefix, foldhash::fast::RandomState> =
                routes.iter().map(|route| route.prefix).collect();
            let gone = self.own_paths(source, |prefix| !named.contains(&prefix));
            gone.into_iter().for_each(|path| self.rib.table.remove(path));
        }
        let learned = u32::try_from(self.now.duration_since(self.started).as_secs()).unwrap_or(u32::MAX);
        for route in routes {
            let new = self.own_path(route, learned);
            self.rib.table.announce(source, route.prefix.into(), new);
        }
    }

    /// A route of our own as a path; `learned`: seconds since the start.
    pub(super) fn own_path(&mut self, route: &OriginatedRoute, learned: u32) -> NewPath {
        let (attributes, next_hop) = route.attributes();
        let received = self.rib.interner.intern(attributes, next_hop);
        let verdict = Verdict::Accepted(Arc::clone(&received));
        NewPath { received, verdict, learned }
    }

    pub(super) fn withdraw_own(&mut self, owner: &str, prefixes: &[Prefix]) {
        if let Some(source) = self.owners.get(owner) {
            for prefix in prefixes {
                self.rib.table.withdraw(*source, (*prefix).into());
            }
        }
    }

    /// The source that stands for the owner. One that has been seen keeps it: owners are few and come back.
    pub(super) fn owner(&mut self, owner: &str) -> SourceId {
        if let Some(source) = self.owners.get(owner) {
            return *source;
        }
        let name: Arc<str> = owner.into();
        let asn = self.config.as_ref().map_or(cairn_net::Asn::ZERO, |config| config.asn);
        let unspecified = IpAddr::from([0u8; 4]);
        let source = self.rib.table.sources.insert(Source::new(SourceKind::Local, unspecified, asn, 0));
        self.rib.names.insert(source, RouteSource::Local(Arc::clone(&name)));
        self.owners.insert(name, source);
        self.order_owners();
        source
    }

    /// Of two owners of one prefix the one whose name comes first counts, whoever came first; aggregates come after all who name a
    /// route. One more in between changes nothing about the order of the others, so no route is selected anew.
    fn order_owners(&mut self) {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort_unstable_by_key(|(name, _)| (&***name == aggregate::OWNER, *name));
        for (place, (_, source)) in (0..).zip(owners) {
            self.rib.table.sources[*source].owner = place;
        }
    }

    pub(super) fn own_paths(&self, source: SourceId, wanted: impl Fn(Prefix) -> bool) -> Vec<PathId> {
        let table = &self.rib.table;
        std::iter::successors(table.next_of_source(source, PathId::NONE), |path| {
            table.next_of_source(source, *path)
        })
        .filter(|path| wanted(table.nets[table.paths[*path].net].prefix))
        .collect()
    }
}
