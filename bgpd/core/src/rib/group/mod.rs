//! Update groups: peers that are told the same share the work and the bytes of telling them.
//!
//! A group turns each batch of changes of the Loc-RIB into messages once and appends them to its [`log`]; a member is a
//! [`Cursor`] into it. A member that joins late, asks for a refresh or falls behind the retained part of the log catches up from the table
//! as fast as it reads ([`catch_up`]).
//! Invariants: a member is told of every prefix that the group exports, except those whose best path it is itself; whoever was
//! told of a prefix is told of its end; what is kept for a member does not depend on how slowly it reads, but for the set of
//! prefixes that it missed.

mod batch;
mod catch_up;
mod log;
mod member;

use cairn_net::{Family, Prefix};
use foldhash::HashMap;

use super::Treatment;
use super::ranked::{Ranked, sent_path_id};
use super::slab::slab_id;
use super::source::SourceId;
use super::table::{Best, PathId, Table};
use crate::policy::Hits;
use crate::wire::Nlri;
use batch::Batch;
use log::Log;
pub(crate) use member::Cursor;

slab_id! {
    /// Names an update group.
    GroupId
}

/// An update group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) treatment: Treatment,
    log: Log,
    /// How many routes are exported, by their source.
    exported: [HashMap<SourceId, u32>; 2],
    total: [u32; 2],
    /// How often the statements of the export policy matched a route that was announced anew or changed.
    pub(crate) hits: Hits,
}

/// A change of the Loc-RIB.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) prefix: Prefix,
    pub(crate) old: Option<Best>,
    pub(crate) new: Option<Best>,
}

/// A change of the eligible paths of a prefix, for groups that are told several.
#[derive(Debug, Clone)]
pub(crate) struct PathsChange {
    pub(crate) prefix: Prefix,
    pub(crate) old: Vec<Ranked>,
    pub(crate) new: Vec<Ranked>,
}

impl PathsChange {
    /// What it means for those who are told as many paths as `limit` says: what each path was, and is.
    fn steps(&self, limit: u8) -> impl Iterator<Item = (PathId, Option<&Best>, Option<&Best>)> {
        let told = move |paths: &'_ [Ranked], id: PathId| {
            paths.iter().position(|path| path.id == id && path.place < limit)
        };
        let old = self.old.iter().filter(move |path| path.place < limit).map(move |path| {
            let new = told(&self.new, path.id).and_then(|place| self.new.get(place));
            (path.id, Some(&path.route), new.map(|new| &new.route))
        });
        let new =
            self.new.iter().filter(move |path| path.place < limit && told(&self.old, path.id).is_none());
        old.chain(new.map(|path| (path.id, None, Some(&path.route))))
    }
}

impl Group {
    /// A group without members, for the routes of the table as they are now.
    pub(crate) fn new(treatment: Treatment, table: &Table) -> Self {
        let hits = Hits::new(treatment.policy.as_deref());
        let mut group =
            Self { treatment, log: Log::default(), exported: Default::default(), total: [0; 2], hits };
        group.count_all(table);
        group
    }

    fn count_all(&mut self, table: &Table) {
        let mut batch = Batch::new(&self.treatment);
        let mut counted = Vec::new();
        for (id, _) in table.nets.iter() {
            self.treatment.each_route(table, id, |nlri, route| {
                if batch.export(table, nlri.prefix, &route, None).is_some() {
                    counted.push((nlri.prefix.family(), route.source));
                }
            });
        }
        for family in self.treatment.families.iter() {
            counted.extend(batch.export_default(family).map(|_| (family, SourceId::NONE)));
        }
        for (family, source) in counted {
            self.count(family, source, true);
        }
    }

    fn count(&mut self, family: Family, source: SourceId, add: bool) {
        let by_source = self.exported[family as usize].entry(source).or_default();
        let total = &mut self.total[family as usize];
        if add {
            *by_source += 1;
            *total += 1;
        } else {
            *by_source = by_source.saturating_sub(1);
            *total = total.saturating_sub(1);
        }
    }

    /// How many routes a member is told of.
    pub(crate) fn exported_to(&self, me: SourceId, family: Family) -> u32 {
        let own = self.exported[family as usize].get(&me).copied().unwrap_or(0);
        self.total[family as usize].saturating_sub(own)
    }

    /// Octets that wait for members that lag behind.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// A source is gone; its number may be given to another one.
    pub(crate) fn forget_source(&mut self, source: SourceId) {
        for by_source in &mut self.exported {
            by_source.remove(&source);
        }
    }

    /// How many parts the log has.
    #[cfg(test)]
    pub(crate) fn log_len(&self) -> u64 {
        self.log.end() - self.log.base()
    }

    /// Turns changes into messages at the end of the log. True if there are any. `paths` are the same changes for families in
    /// which several paths are told.
    pub(crate) fn append(&mut self, table: &Table, changes: &[Change], paths: &[PathsChange]) -> bool {
        let treatment = self.treatment.clone();
        let mut batch = Batch::new(&treatment);
        for change in changes {
            if treatment.path_limit(change.prefix.family()).is_none() {
                let step = (change.old.as_ref(), change.new.as_ref());
                self.step(&mut batch, table, change.prefix.into(), step);
            }
        }
        for change in paths {
            let prefix = change.prefix;
            let Some(limit) = treatment.path_limit(prefix.family()) else { continue };
            for (id, old, new) in change.steps(limit) {
                if !matches!((old, new), (Some(old), Some(new)) if old.is_same(new)) {
                    let nlri = Nlri { prefix, path_id: sent_path_id(id) };
                    self.step(&mut batch, table, nlri, (old, new));
                }
            }
        }
        batch.encode(&mut self.log)
    }

    /// Queues what it means that a route became another one.
    fn step(
        &mut self,
        batch: &mut Batch<'_>,
        table: &Table,
        nlri: Nlri,
        (old, new): (Option<&Best>, Option<&Best>),
    ) {
        let family = nlri.prefix.family();
        let mut export = |route: &Best, hits: Option<&Hits>| {
            Some((batch.export(table, nlri.prefix, route, hits)?, route.source))
        };
        let old = old.and_then(|route| export(route, None));
        let new = new.and_then(|route| export(route, Some(&self.hits)));
        if let Some((_, source)) = old {
            self.count(family, source, false);
        }
        if let Some((_, source)) = new {
            self.count(family, source, true);
        }
        batch.queue(nlri, old, new);
    }
}
