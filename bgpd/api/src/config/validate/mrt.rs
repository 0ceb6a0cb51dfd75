use std::path::Path;

use super::Check;
use crate::config::FilePattern;

/// Files that one directory can be made to hold.
const MAX_KEPT: u32 = 100_000;
/// Sizes of a file: not so small that files are made without end.
const SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Longest interval: a week.
const MAX_INTERVAL: u64 = 604_800;

impl Check<'_> {
    pub(super) fn mrt(&mut self) {
        let mrt = &self.config.mrt;
        if let Some(tables) = &mrt.tables {
            self.mrt_directory("mrt.tables", &tables.directory);
            self.seconds("mrt.tables.interval", tables.interval, 1, MAX_INTERVAL);
            self.mrt_keep("mrt.tables", tables.keep);
        }
        if let Some(updates) = &mrt.updates {
            self.mrt_directory("mrt.updates", &updates.directory);
            self.seconds("mrt.updates.interval", updates.interval, 1, MAX_INTERVAL);
            self.mrt_keep("mrt.updates", updates.keep);
            if let Some(size) = updates.max_size.filter(|size| !SIZES.contains(size)) {
                let rule = format!("must be {} to {} octets", SIZES.start(), SIZES.end());
                self.fault("mrt.updates.maxSize", size, rule);
            }
        }
        if let (Some(tables), Some(updates)) = (&mrt.tables, &mrt.updates) {
            let (first, second) = (tables.pattern(), updates.pattern());
            let same = |one: &FilePattern, other: &FilePattern| one.matches(&other.render(0));
            if tables.directory == updates.directory && (same(&first, &second) || same(&second, &first)) {
                let rule = "cannot be told from the names of mrt.tables in the same directory";
                self.fault("mrt.updates.file", second, rule);
            }
        }
    }

    fn mrt_directory(&mut self, path: &str, directory: &Path) {
        if !directory.is_absolute() {
            let rule = "must be an absolute path";
            self.fault(format!("{path}.directory"), directory.display(), rule);
        }
    }

    fn mrt_keep(&mut self, path: &str, keep: Option<u32>) {
        if let Some(keep) = keep.filter(|keep| !(1..=MAX_KEPT).contains(keep)) {
            self.fault(format!("{path}.keep"), keep, format!("must be 1 to {MAX_KEPT} files"));
        }
    }
}
