//! Watches of the datastore as facts for the core.
//!
//! One task per kind reads its watch, remembers the names it has told of, and passes on facts; so that after a new
//! listing whatever is missing from it is told as gone. A kind of which an object cannot be read counts as not listed yet (`unread`), where
//! defaults would take the object's place. All kinds share one queue to the engine. [`Followed`] is for parts of the
//! daemon that need the objects of a kind themselves.

mod feed;
mod followed;
mod kind;
mod unread;

pub(crate) use feed::{Feed, FeedEvent};
pub(crate) use followed::Followed;
pub(crate) use kind::KINDS;
