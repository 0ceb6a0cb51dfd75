//! TCP: connections, attempts, listeners. Everything here is moved by the one task that owns the speaker.
//!
//! There is no task per connection and no channel: each socket that is waited for is a small future in one [`Events`] set, and the
//! daemon takes the sockets that are ready in turn. So a peer that floods is read one buffer at a time between all the others, one that never
//! reads costs at most one chunk of bytes that its socket did not take, and nothing is copied between tasks.
//!
//! Not here: what the bytes mean, when to connect, which connection wins (`bgp_core::speaker`).

mod attempt;
mod connection;
mod discovery;
mod event;
mod linger;
mod listener;
mod option;

pub(crate) use attempt::Attempt;
pub(crate) use connection::{Connection, Flushed, READ_TURN};
pub(crate) use discovery::{Discovery, Heard};
pub(crate) use event::{Event, Events};
pub(crate) use linger::{farewell, linger};
pub(crate) use listener::{ListenError, Listener, NO_DEVICE, NO_DEVICE_HINT, Place};
pub(crate) use option::{PeerOptions, Socket, bind_device, change_key};
