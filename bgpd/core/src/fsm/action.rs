use bytes::Bytes;

use crate::speaker::DownReason;
use crate::wire::Notification;

/// What a state machine wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a TCP connection to the peer.
    Connect,
    /// Send a message.
    Send(Bytes),
    /// Send the NOTIFICATION, if there is one, and drop the connection or the attempt.
    Close(Option<Notification>),
    /// The session is Established.
    Up,
    /// The attempt failed, or the session ended.
    Down(DownReason),
}
