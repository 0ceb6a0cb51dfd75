//! Messages to one reader that may be slow.
//!
//! Invariant: at most [`ROOM`] messages wait for a reader. Whoever wants to send more keeps it in a form that does not grow, and is
//! told by an event when there is room.

use tokio::sync::mpsc;

use crate::transport::{Event, Events};

/// Messages that wait for a reader at most.
const ROOM: usize = 4;

/// The sending end. The reader's end is what a gRPC stream is made of.
pub(super) struct Outbox<T> {
    sender: mpsc::Sender<T>,
    /// An event will tell when there is room.
    waiting: bool,
}

impl<T: Send + 'static> Outbox<T> {
    pub(super) fn new() -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(ROOM);
        (Self { sender, waiting: false }, receiver)
    }

    /// Is there room for a message? If not, the event comes once there is. A reader that is gone has room.
    pub(super) fn has_room(&mut self, events: &Events, event: impl FnOnce() -> Event + 'static) -> bool {
        if self.waiting {
            return false;
        }
        if self.sender.capacity() > 0 || self.sender.is_closed() {
            return true;
        }
        self.waiting = true;
        let sender = self.sender.clone();
        events.push(async move {
            // A reader that is gone shows when the next message is sent.
            let _ = sender.reserve().await;
            event()
        });
        false
    }

    /// The event that was asked for has come.
    pub(super) fn ready(&mut self) {
        self.waiting = false;
    }

    /// Sends a message for which there is room; false if the reader is gone.
    pub(super) fn send(&self, message: T) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// Ends when the reader is gone.
    pub(super) fn when_closed(&self, events: &Events, event: impl FnOnce() -> Event + 'static) {
        let sender = self.sender.clone();
        events.push(async move {
            sender.closed().await;
            event()
        });
    }
}
