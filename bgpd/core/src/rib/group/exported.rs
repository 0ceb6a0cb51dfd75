use cairn_net::Family;
use foldhash::HashMap;

use super::batch::Batch;
use crate::rib::Treatment;
use crate::rib::source::SourceId;
use crate::rib::table::Table;

/// How many routes a group exports, by family and source.
#[derive(Debug, Default)]
pub(super) struct Exported {
    by_source: [HashMap<SourceId, u32>; 2],
    total: [u32; 2],
}

impl Exported {
    /// Of the routes of the table as they are now.
    pub(super) fn all(treatment: &Treatment, table: &Table) -> Self {
        let mut exported = Self::default();
        let mut batch = Batch::new(treatment, table.len());
        for (id, _) in table.nets.iter() {
            treatment.each_route(table, id, |nlri, route| {
                if batch.export(table, nlri.prefix, &route, None).is_some() {
                    exported.moved(nlri.prefix.family(), None, Some(route.source));
                }
            });
        }
        for family in treatment.families.iter() {
            let default = batch.export_default(family).map(|_| SourceId::NONE);
            exported.moved(family, None, default);
        }
        exported
    }

    /// A route that was exported from one source is exported from another now; `None`: it was not, or is not.
    pub(super) fn moved(&mut self, family: Family, from: Option<SourceId>, to: Option<SourceId>) {
        if from == to {
            return;
        }
        let (by_source, total) = (&mut self.by_source[family as usize], &mut self.total[family as usize]);
        if let Some(from) = from {
            let count = by_source.entry(from).or_default();
            *count = count.saturating_sub(1);
            *total = total.saturating_sub(1);
        }
        if let Some(to) = to {
            *by_source.entry(to).or_default() += 1;
            *total += 1;
        }
    }

    /// How many come from another source than this one.
    pub(super) fn without(&self, source: SourceId, family: Family) -> u32 {
        let own = self.by_source[family as usize].get(&source).copied().unwrap_or(0);
        self.total[family as usize].saturating_sub(own)
    }

    /// A source is gone; its number may be given to another one.
    pub(super) fn forget_source(&mut self, source: SourceId) {
        for by_source in &mut self.by_source {
            by_source.remove(&source);
        }
    }
}
