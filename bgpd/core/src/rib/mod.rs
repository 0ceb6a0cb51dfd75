//! Routes: what came in, what is used, what goes out.
//!
//! Spec: RFC 4271 sections 3.2 and 9; RFC 4456 (route reflection), 8212 (no policy, no routes).
//! Shape: received paths with their verdict are in the `table`; `decision` chooses; `export` says what a kind of peer is
//! told; `group` turns changes into messages once for all peers that are told the same.
//! Adj-RIB-In, Loc-RIB and Adj-RIB-Out are views of the one table.
//! Not here: sessions (`fsm`, `speaker`), filters (`policy`), messages (`wire`).

mod attrs;
mod decision;
mod export;
mod group;
mod hop;
mod import;
mod index;
mod outbound;
mod ranked;
mod select;
pub(crate) mod slab;
mod source;
mod table;

pub(crate) use attrs::Interner;
pub use attrs::{DEFAULT_LOCAL_PREF, RouteAttributes, confined, leaving};
pub use decision::{Candidate, Step, best};
pub(crate) use export::{LocalAddresses, Treatment};
pub(crate) use group::{Change, Cursor, Group, GroupId, PathsChange};
pub(crate) use hop::{Hop, HopId};
pub use import::Rejection;
pub(crate) use import::{ImportRules, Verdicts, VerdictsBySet};
pub(crate) use outbound::{Outbound, default_nlri};
pub(crate) use ranked::Ranked;
pub(crate) use select::{Selected, Selection};
pub(crate) use source::{Source, SourceId};
pub use source::{SourceCounts, SourceKind};
pub(crate) use table::{Best, Dirty, Entered, MAX_PATHS, NetId, NewPath, Path, PathId, Table, Verdict};
