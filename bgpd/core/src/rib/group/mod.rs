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
mod exported;
mod log;
mod member;

use cairn_net::{Family, Prefix};

use super::Treatment;
use super::ranked::{Ranked, sent_path_id};
use super::slab::slab_id;
use super::source::SourceId;
use super::table::{Best, PathId, Table};
use crate::policy::Hits;
use crate::wire::Nlri;
use batch::Batch;
use exported::Exported;
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
    exported: Exported,
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
        let exported = Exported::all(&treatment, table);
        Self { treatment, log: Log::default(), exported, hits }
    }

    /// How many routes a member is told of.
    pub(crate) fn exported_to(&self, me: SourceId, family: Family) -> u32 {
        self.exported.without(me, family)
    }

    /// Octets that wait for members that lag behind.
    pub(crate) fn log_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// A source is gone; its number may be given to another one.
    pub(crate) fn forget_source(&mut self, source: SourceId) {
        self.exported.forget_source(source);
    }

    /// How many parts the log has.
    #[cfg(test)]
    pub(crate) fn log_len(&self) -> u64 {
        self.log.end() - self.log.base()
    }

    /// Turns changes into messages at the end of the log. True if there are any. `paths` are the same changes for families in
    /// which several paths are told.
    pub(crate) fn append(&mut self, table: &Table, changes: &[Change], paths: &[PathsChange]) -> bool {
        let Self { treatment, log, exported, hits } = self;
        let mut batch = Batch::new(treatment, changes.len().max(paths.len()));
        let mut step = |nlri: Nlri, old: Option<&Best>, new: Option<&Best>| {
            let mut export = |route: &Best, hits: Option<&Hits>| {
                Some((batch.export(table, nlri.prefix, route, hits)?, route.source))
            };
            let old = old.and_then(|route| export(route, None));
            let new = new.and_then(|route| export(route, Some(hits)));
            let source = |exported: Option<(_, SourceId)>| exported.map(|(_, source)| source);
            exported.moved(nlri.prefix.family(), source(old), source(new));
            batch.queue(nlri, old, new);
        };
        for change in changes {
            if treatment.path_limit(change.prefix.family()).is_none() {
                step(change.prefix.into(), change.old.as_ref(), change.new.as_ref());
            }
        }
        for change in paths {
            let prefix = change.prefix;
            let Some(limit) = treatment.path_limit(prefix.family()) else { continue };
            for (id, old, new) in change.steps(limit) {
                if !matches!((old, new), (Some(old), Some(new)) if old.is_same(new)) {
                    step(Nlri { prefix, path_id: sent_path_id(id) }, old, new);
                }
            }
        }
        batch.encode(log)
    }
}
