//! Events of Kubernetes, for whoever describes an object: what is wrong with it, and that it no longer is.
//!
//! - [`matter`]: from conditions and the nodes' reports to what is wrong with whom, pure. What many nodes say of one object is one matter.
//! - [`recorder`]: which matter is told when: once it has lasted, again while it lasts, and when it is over; so many at a time. Pure.
//! - [`tell`]: follows the reports, and writes the events.
//!
//! Conditions are the truth, events the news of them: what is lost of these is lost (docs/adr/0047).

pub mod matter;
pub mod recorder;
pub mod tell;
