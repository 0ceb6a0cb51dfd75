use cairn_net::Family;

use super::Speaker;

/// Sizes of the RIB. All are counted as it changes, so asking costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RibStatistics {
    /// By family.
    pub families: [FamilyStatistics; 2],
    /// Paths of all sources, used or not.
    pub paths: usize,
    /// Distinct sets of attributes.
    pub attribute_sets: usize,
    /// Groups of peers that are told the same.
    pub update_groups: usize,
    /// Octets of messages that wait in the groups' logs for members that read slowly.
    pub log_bytes: usize,
    /// Changes of best paths since the start.
    pub changes: u64,
}

/// Sizes of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyStatistics {
    /// Which.
    pub family: Family,
    /// Prefixes in the table, used or not.
    pub prefixes: usize,
    /// Prefixes with a best path.
    pub loc_rib: usize,
}

impl Speaker {
    /// Sizes of the RIB.
    pub fn statistics(&self) -> RibStatistics {
        let table = &self.rib.table;
        RibStatistics {
            families: Family::ALL.map(|family| FamilyStatistics {
                family,
                prefixes: table.prefixes_of(family),
                loc_rib: self.rib.selected[family as usize],
            }),
            paths: table.paths.len(),
            attribute_sets: self.rib.interner.len(),
            update_groups: self.rib.groups.len(),
            log_bytes: self.rib.groups.iter().map(|(_, entry)| entry.group.log_bytes()).sum(),
            changes: self.rib.changes,
        }
    }

    /// Changes of best paths since the start.
    pub fn rib_changes(&self) -> u64 {
        self.rib.changes
    }
}
