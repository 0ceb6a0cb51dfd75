//! What happened to a neighbour: counters, NOTIFICATIONs, events.

use std::time::Duration;

use super::FieldError;
use crate::peer::{EventKind, HistoryEvent, MessageCounters, Notification};
use crate::proto;
use crate::proto::history_event::Kind;

/// Milliseconds as they travel.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<MessageCounters> for proto::MessageCounters {
    fn from(counters: MessageCounters) -> Self {
        let MessageCounters { opens, updates, notifications, keepalives, route_refreshes } = counters;
        Self { opens, updates, notifications, keepalives, route_refreshes }
    }
}

impl From<proto::MessageCounters> for MessageCounters {
    fn from(counters: proto::MessageCounters) -> Self {
        let proto::MessageCounters { opens, updates, notifications, keepalives, route_refreshes } = counters;
        Self { opens, updates, notifications, keepalives, route_refreshes }
    }
}

impl From<Notification> for proto::Notification {
    fn from(notification: Notification) -> Self {
        Self {
            code: notification.code.into(),
            subcode: notification.subcode.into(),
            text: notification.text,
            age_seconds: notification.age.as_secs(),
        }
    }
}

impl TryFrom<proto::Notification> for Notification {
    type Error = FieldError;

    fn try_from(message: proto::Notification) -> Result<Self, FieldError> {
        let octet = |field, number| {
            u8::try_from(number).map_err(|_| FieldError::new(field, number, "a code is 0 to 255"))
        };
        Ok(Self {
            code: octet("notification.code", message.code)?,
            subcode: octet("notification.subcode", message.subcode)?,
            text: message.text,
            age: Duration::from_secs(message.age_seconds),
        })
    }
}

impl From<HistoryEvent> for proto::HistoryEvent {
    fn from(event: HistoryEvent) -> Self {
        let kind = match event.kind {
            EventKind::State => Kind::State,
            EventKind::Up => Kind::Up,
            EventKind::Down => Kind::Down,
            EventKind::Failure => Kind::Failure,
            EventKind::Warning => Kind::Warning,
            EventKind::Operator => Kind::Operator,
        };
        Self {
            time_milliseconds: milliseconds(event.time),
            kind: kind.into(),
            text: event.text,
            count: event.count,
            last_time_milliseconds: milliseconds(event.last_time),
        }
    }
}

impl TryFrom<proto::HistoryEvent> for HistoryEvent {
    type Error = FieldError;

    fn try_from(message: proto::HistoryEvent) -> Result<Self, FieldError> {
        Ok(Self {
            time: Duration::from_millis(message.time_milliseconds),
            kind: match Kind::try_from(message.kind) {
                Ok(Kind::State) => EventKind::State,
                Ok(Kind::Up) => EventKind::Up,
                Ok(Kind::Down) => EventKind::Down,
                Ok(Kind::Failure) => EventKind::Failure,
                Ok(Kind::Warning) => EventKind::Warning,
                Ok(Kind::Operator) => EventKind::Operator,
                Ok(Kind::Unspecified) | Err(_) => {
                    return Err(FieldError::new("kind", message.kind, "is not a known kind of event"));
                }
            },
            text: message.text,
            count: message.count,
            last_time: Duration::from_millis(message.last_time_milliseconds),
        })
    }
}
