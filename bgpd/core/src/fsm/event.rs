use crate::speaker::{ConnId, DownReason};
use crate::wire::{MessageType, Notification, Open};

/// What happens to a state machine (RFC 4271 section 8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin (events 1 and 3 to 7).
    Start,
    /// Stop, tell the peer why if there is somebody to tell, and stay in Idle (events 2 and 23).
    Stop {
        /// What to tell the peer; `None`: close without a word.
        notification: Option<Notification>,
        /// What to tell people.
        reason: DownReason,
    },
    /// The time between attempts is over (event 13).
    IdleHoldTimerExpired,
    /// The attempt took too long, or the next one is due (event 9).
    ConnectRetryTimerExpired,
    /// Nothing heard for the hold time (event 10).
    HoldTimerExpired,
    /// A KEEPALIVE is due (event 11).
    KeepaliveTimerExpired,
    /// The peer's OPEN did not come first (event 12).
    DelayOpenTimerExpired,
    /// The TCP connection is there (events 16 and 17).
    ConnectionOpened(ConnId),
    /// The TCP connection could not be made (event 18).
    ConnectFailed(String),
    /// The TCP connection ended (event 18).
    ConnectionClosed(String),
    /// A well-formed OPEN came (events 19 and 20).
    OpenReceived(Box<Open>),
    /// A KEEPALIVE came (event 26).
    KeepaliveReceived,
    /// An UPDATE or ROUTE-REFRESH came (event 27).
    RoutesReceived(MessageType),
    /// A NOTIFICATION came (events 24 and 25).
    NotificationReceived(Notification),
    /// A message cannot be read; this NOTIFICATION says why (events 21, 22 and 28).
    MessageFault(Notification),
}
