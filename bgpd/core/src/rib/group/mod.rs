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

use cairn_net::Family;
use foldhash::HashMap;

use super::Treatment;
use super::slab::slab_id;
use super::source::SourceId;
use super::table::{Best, Table};
use crate::policy::Hits;
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
    /// How many prefixes are exported, by the source of the best path.
    exported: [HashMap<SourceId, u32>; 2],
    total: [u32; 2],
    /// How often the statements of the export policy matched a route that was announced anew or changed.
    pub(crate) hits: Hits,
}

/// A change of the Loc-RIB.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) prefix: cairn_net::Prefix,
    pub(crate) old: Option<Best>,
    pub(crate) new: Option<Best>,
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
        for (id, net) in table.nets.iter() {
            if let Some(best) = table.best(id)
                && batch.export(table, net.prefix, &best, None).is_some()
            {
                counted.push((net.prefix.family(), best.source));
            }
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

    /// How many prefixes a member is told of.
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

    /// Turns changes into messages at the end of the log. True if there are any.
    pub(crate) fn append(&mut self, table: &Table, changes: &[Change]) -> bool {
        let treatment = self.treatment.clone();
        let mut batch = Batch::new(&treatment);
        for change in changes {
            let family = change.prefix.family();
            let old = change.old.as_ref().and_then(|best| batch.export(table, change.prefix, best, None));
            let hits = Some(&self.hits);
            let new = change.new.as_ref().and_then(|best| batch.export(table, change.prefix, best, hits));
            if let (Some(_), Some(best)) = (old, &change.old) {
                self.count(family, best.source, false);
            }
            if let (Some(_), Some(best)) = (new, &change.new) {
                self.count(family, best.source, true);
            }
            batch.queue(change, old, new);
        }
        batch.encode(&mut self.log)
    }
}
