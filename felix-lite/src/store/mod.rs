//! Watches of the datastore as facts for the core.
//!
//! One task per kind reads its watch, remembers the names it has told of, and passes on facts; so that after a new
//! listing whatever is missing from it is told as gone. All kinds share one queue to the engine.

mod feed;
mod kind;

pub(crate) use feed::{Feed, FeedEvent};
pub(crate) use kind::KINDS;
