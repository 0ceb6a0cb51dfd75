//! What Cairn's daemons on the datastore have in common.
//!
//! - [`log`]: where log lines go, and how they look.
//! - [`http`]: short answers over HTTP for whoever supervises a daemon.
//! - [`timer`]: a time that may never come.
//!
//! Not here: bgpd, which stands alone and says of itself what a router's operator expects.

pub mod http;
pub mod log;
pub mod timer;
