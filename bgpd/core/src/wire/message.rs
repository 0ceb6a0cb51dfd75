use bytes::{Bytes, BytesMut};

use super::header::{self, Frame, MessageType};
use super::notification::Notification;
use super::update::{DecodeContext, Fault, Update};
use super::{Open, RouteRefresh};

/// A BGP message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly every message is an UPDATE: a box would cost an allocation for each
pub enum Message {
    /// Begins a session.
    Open(Open),
    /// Routes, withdrawals, or an End-of-RIB.
    Update(Update),
    /// Ends a session.
    Notification(Notification),
    /// I am alive.
    Keepalive,
    /// Send your routes again.
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Decodes a frame's body. The context matters to UPDATE only.
    ///
    /// # Errors
    /// The NOTIFICATION with which the session must be reset. Milder faults of an UPDATE are in [`Update::faults`].
    pub fn decode(frame: &Frame, context: &DecodeContext) -> Result<Self, Notification> {
        Ok(match frame.kind {
            MessageType::Open => Self::Open(Open::decode(&frame.body)?),
            MessageType::Update => {
                Self::Update(Update::decode(&frame.body, context).map_err(Fault::into_notification)?)
            }
            MessageType::Notification => Self::Notification(Notification::decode(&frame.body)),
            MessageType::Keepalive => Self::Keepalive,
            MessageType::RouteRefresh => Self::RouteRefresh(RouteRefresh::decode(&frame.body)?),
        })
    }

    /// A KEEPALIVE, header and all.
    pub fn keepalive() -> Bytes {
        const KEEPALIVE: [u8; 19] = {
            let mut message = [0xff; 19];
            message[16] = 0;
            message[17] = 19;
            message[18] = MessageType::Keepalive as u8;
            message
        };
        Bytes::from_static(&KEEPALIVE)
    }
}

impl Open {
    /// The whole message, header included.
    pub fn encode(&self) -> Bytes {
        message(MessageType::Open, |out| self.encode_body(out))
    }
}

impl Notification {
    /// The whole message, header included.
    pub fn encode(&self) -> Bytes {
        message(MessageType::Notification, |out| self.encode_body(out))
    }
}

impl RouteRefresh {
    /// The whole message, header included.
    pub fn encode(self) -> Bytes {
        message(MessageType::RouteRefresh, |out| self.encode_body(out))
    }
}

fn message(kind: MessageType, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    let start = header::begin(&mut out, kind);
    body(&mut out);
    header::finish(&mut out, start);
    out.freeze()
}
