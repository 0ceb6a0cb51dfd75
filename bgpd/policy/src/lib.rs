//! Filters of bgpd's document as policies of the speaker: what the daemon runs, and what `cairnctl` tries without one.
//!
//! [`Compiled`] holds the filters of a document, each once whoever names or calls it; [`Compiled::chain`] puts them together for a
//! neighbour. Not here: reading and checking the document (`bgpd-api`), evaluation (`bgp-core`).

mod change;
mod community;
mod compile;
mod condition;
mod trial;

pub use community::{ByKind, split};
pub use compile::Compiled;
pub use condition::as_path;
pub use trial::Trial;

#[cfg(test)]
mod tests;
