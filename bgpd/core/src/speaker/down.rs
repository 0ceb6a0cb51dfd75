use std::fmt;

use cairn_net::{Asn, Family, Prefix, RouterId};

use crate::wire::{Notification, PeerAs};

/// Why a session ended or could not begin, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownReason {
    /// The TCP connection could not be made.
    ConnectFailed(String),
    /// The TCP connection could not be made within the connect-retry time.
    ConnectTimedOut,
    /// The TCP connection ended without a NOTIFICATION.
    ConnectionLost(String),
    /// The peer ended it.
    NotificationReceived(Notification),
    /// We ended it, for what the peer did.
    NotificationSent(Notification),
    /// The peer's OPEN names an AS that the configuration does not allow.
    BadPeerAs {
        /// As configured.
        expected: PeerAs,
        /// In the OPEN.
        received: Asn,
    },
    /// An internal peer has our router id.
    DuplicateRouterId(RouterId),
    /// The peer does not support any family that is configured for it.
    NoCommonFamily,
    /// The peer announced more prefixes than allowed. Only `Input::StartPeer` or a new configuration tries again.
    PrefixLimit {
        /// Where.
        family: Family,
        /// As configured.
        limit: u32,
    },
    /// The peer announced more paths to one prefix (RFC 7911) than are kept. As with `PrefixLimit`, an operator has to look at it.
    PathLimit {
        /// To where.
        prefix: Prefix,
        /// How many are kept.
        limit: u32,
    },
    /// The peer reads nothing any more (RFC 9687).
    SendHoldTimerExpired,
    /// BFD found the path to the peer down (RFC 5882), by this diagnostic.
    BfdDown(String),
    /// Stopped by our operator, with this text.
    Stopped(String),
    /// Reset by our operator, with this text.
    Reset(String),
    /// Removed from the configuration.
    Deconfigured,
    /// A change of the configuration needs a new session.
    ConfigurationChanged,
    /// Another connection to the same peer is used.
    Collision,
    /// The peer restarted and opened a new connection.
    Replaced,
    /// The daemon ends.
    Shutdown,
}

impl DownReason {
    /// The kind of reason as a word, for labels and filters.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConnectFailed(_) => "connect_failed",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::ConnectionLost(_) => "connection_lost",
            Self::NotificationReceived(_) => "notification_received",
            Self::NotificationSent(_) => "notification_sent",
            Self::BadPeerAs { .. } => "bad_peer_as",
            Self::DuplicateRouterId(_) => "duplicate_router_id",
            Self::NoCommonFamily => "no_common_family",
            Self::PrefixLimit { .. } => "prefix_limit",
            Self::PathLimit { .. } => "path_limit",
            Self::SendHoldTimerExpired => "send_hold_timer_expired",
            Self::BfdDown(_) => "bfd_down",
            Self::Stopped(_) => "stopped",
            Self::Reset(_) => "reset",
            Self::Deconfigured => "deconfigured",
            Self::ConfigurationChanged => "configuration_changed",
            Self::Collision => "collision",
            Self::Replaced => "replaced",
            Self::Shutdown => "shutdown",
        }
    }

    /// The NOTIFICATION that says it, if that is what it is.
    pub const fn notification(&self) -> Option<&Notification> {
        match self {
            Self::NotificationReceived(notification) | Self::NotificationSent(notification) => {
                Some(notification)
            }
            _ => None,
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |f: &mut fmt::Formatter<'_>, what: &str, text: &str| {
            f.write_str(what)?;
            if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
        };
        match self {
            Self::ConnectFailed(reason) => with(f, "cannot connect", reason),
            Self::ConnectTimedOut => f.write_str(
                "cannot connect: no answer within the connect-retry time \
                 (a peer with another TCP MD5 password does not answer either)",
            ),
            Self::ConnectionLost(reason) => with(f, "connection lost", reason),
            Self::NotificationReceived(notification) => {
                write!(f, "the peer sent NOTIFICATION {notification}")
            }
            Self::NotificationSent(notification) => write!(f, "sent NOTIFICATION {notification}"),
            Self::BadPeerAs { expected, received } => {
                write!(f, "wrong AS: the peer says AS {received}, the configuration says {expected}")
            }
            Self::DuplicateRouterId(id) => write!(f, "duplicate router id: the internal peer has ours, {id}"),
            Self::NoCommonFamily => f.write_str("the peer supports none of the configured families"),
            Self::PrefixLimit { family, limit } => {
                write!(f, "the peer announced more than the {limit} {family} prefixes that are allowed")
            }
            Self::PathLimit { prefix, limit } => {
                write!(f, "the peer announced more than {limit} paths to {prefix}")
            }
            Self::SendHoldTimerExpired => {
                f.write_str("the peer has not read anything for the send hold time")
            }
            Self::BfdDown(reason) => with(f, "BFD down", reason),
            Self::Stopped(text) => with(f, "stopped by the operator", text),
            Self::Reset(text) => with(f, "reset by the operator", text),
            Self::Deconfigured => f.write_str("removed from the configuration"),
            Self::ConfigurationChanged => f.write_str("reset by a change of the configuration"),
            Self::Collision => f.write_str("closed in favour of the other connection to the same peer"),
            Self::Replaced => f.write_str("the peer restarted and opened a new connection"),
            Self::Shutdown => f.write_str("the daemon ends"),
        }
    }
}
