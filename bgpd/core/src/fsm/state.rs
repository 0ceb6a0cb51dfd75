use std::fmt;

/// The state of a peer (RFC 4271 section 8.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stopped, or waiting before the next attempt.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the peer to connect, or for the next attempt.
    Active,
    /// Connected; our OPEN is sent.
    OpenSent,
    /// The peer's OPEN is accepted; waiting for its KEEPALIVE.
    OpenConfirm,
    /// Up: routes flow.
    Established,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}
