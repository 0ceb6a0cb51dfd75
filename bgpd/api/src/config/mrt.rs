use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FilePattern, seconds};

/// MRT files that the daemon writes by itself (RFC 6396, RFC 8050).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mrt {
    /// The table, again and again (TABLE_DUMP_V2). Default: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<MrtTables>,
    /// What peers send, and their states, as it happens (BGP4MP). Default: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<MrtUpdates>,
}

/// The table as a file, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MrtTables {
    /// Where; an absolute path to a directory that exists.
    pub directory: PathBuf,
    /// The files' names. Default: `rib.%Y%m%d.%H%M%S.mrt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FilePattern>,
    /// Time between two files, at its multiples since 1970-01-01 UTC. Unit: seconds. Range: 1 to 604800. Default: 7200.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Files that are kept: the oldest one goes. Range: 1 to 100000. Default: 48.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// What happens, in files that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MrtUpdates {
    /// Where; an absolute path to a directory that exists.
    pub directory: PathBuf,
    /// The files' names. Default: `updates.%Y%m%d.%H%M%S.mrt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FilePattern>,
    /// A new file begins this often, at its multiples since 1970-01-01 UTC. Unit: seconds. Range: 1 to 604800. Default: 900.
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// A new file begins before one gets longer. Unit: octets. Range: 1048576 (1 MiB) to 1099511627776 (1 TiB). Default: 134217728 (128 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Files that are kept: the oldest one goes. Range: 1 to 100000. Default: 96.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// Timestamps with microseconds (BGP4MP_ET) rather than seconds (BGP4MP). Default: true.
    #[serde(default = "super::speaker::yes")]
    pub microseconds: bool,
}

impl MrtTables {
    /// The files' names.
    pub fn pattern(&self) -> FilePattern {
        self.file.clone().unwrap_or_else(|| FilePattern::known("rib.%Y%m%d.%H%M%S.mrt"))
    }
}

impl MrtUpdates {
    /// The files' names.
    pub fn pattern(&self) -> FilePattern {
        self.file.clone().unwrap_or_else(|| FilePattern::known("updates.%Y%m%d.%H%M%S.mrt"))
    }
}
