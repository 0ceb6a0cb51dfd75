//! Framing: the 19 octets before every message.
//!
//! Spec: RFC 4271 sections 4.1 and 6.1; RFC 8654 (extended messages).
//! Shape: `[marker: 16 x 0xff][length: u16][type: u8][body]`; the length counts the header.
//! Invariant: the framer never holds more than one incomplete message, beside what it was given last.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::notification::{HeaderError, Notification, NotificationCode};

/// Octets of the message header.
pub const HEADER_LEN: usize = 19;
/// Longest message without the extended message capability, header included.
pub const MAX_MESSAGE_LEN: usize = 4096;
/// Longest message with the extended message capability (RFC 8654), header included.
pub const EXTENDED_MAX_MESSAGE_LEN: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// The kind of a message, as numbered on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// RFC 4271 section 4.2.
    Open = 1,
    /// RFC 4271 section 4.3.
    Update = 2,
    /// RFC 4271 section 4.5.
    Notification = 3,
    /// RFC 4271 section 4.4.
    Keepalive = 4,
    /// RFC 2918.
    RouteRefresh = 5,
}

impl MessageType {
    pub(crate) const fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::Keepalive,
            5 => Self::RouteRefresh,
            _ => return None,
        })
    }

    /// Is this a legal length, header included, for a message of this type?
    ///
    /// The maximum of `OPEN` and `KEEPALIVE` is 4096 whatever was negotiated (RFC 8654 section 4).
    const fn allows(self, len: usize, max: usize) -> bool {
        match self {
            Self::Open => len >= 29 && len <= MAX_MESSAGE_LEN,
            Self::Update => len >= 23 && len <= max,
            Self::Notification => len >= 21 && len <= max,
            Self::Keepalive => len == HEADER_LEN,
            // RFC 7313 section 5 has an error of its own for a bad length, so only the minimum is checked here.
            Self::RouteRefresh => len >= HEADER_LEN && len <= max,
        }
    }
}

/// One message: its type and its body, the header cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is.
    pub kind: MessageType,
    /// Everything after the header.
    pub body: Bytes,
}

impl Frame {
    /// The message with its header, in memory of its own.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + self.body.len());
        let start = begin(&mut out, self.kind);
        out.put_slice(&self.body);
        finish(&mut out, start);
        out.freeze()
    }
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct Framer {
    /// What no message was made of yet: the beginning of one, whose end has not come.
    begun: BytesMut,
    /// What comes after it, as it was read. Messages that are whole in it are not copied.
    rest: Bytes,
    max: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self { begun: BytesMut::new(), rest: Bytes::new(), max: MAX_MESSAGE_LEN }
    }
}

impl Framer {
    /// Accept messages of up to 65535 octets from now on: to be called once both sides' OPEN carry the capability.
    pub fn allow_extended_messages(&mut self) {
        self.max = EXTENDED_MAX_MESSAGE_LEN;
    }

    /// Appends a copy of what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.fill(usize::MAX);
        self.begun.extend_from_slice(bytes);
    }

    /// Appends what was read from the connection, without copying it: frames share it.
    pub fn push_shared(&mut self, bytes: Bytes) {
        self.fill(usize::MAX);
        self.rest = bytes;
    }

    /// Octets received that are not yet part of a returned frame.
    pub fn buffered(&self) -> usize {
        self.begun.len() + self.rest.len()
    }

    /// Octets received that are not yet part of a returned frame, themselves. Only after [`Framer::next_frame`] gave none.
    pub fn unread(&self) -> &[u8] {
        debug_assert!(self.rest.is_empty(), "messages wait to be taken");
        &self.begun
    }

    /// The next whole message, or `None` until more bytes come.
    ///
    /// # Errors
    /// The NOTIFICATION of RFC 4271 section 6.1. The stream cannot be resumed after it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Notification> {
        if self.begun.is_empty()
            && let Some((header, _)) = self.rest.split_first_chunk::<HEADER_LEN>()
        {
            let (kind, len) = check_header(header, self.max)?;
            if self.rest.len() >= len {
                let mut body = self.rest.split_to(len);
                body.advance(HEADER_LEN);
                return Ok(Some(Frame { kind, body }));
            }
        }
        self.fill(HEADER_LEN);
        let Some((header, _)) = self.begun.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (kind, len) = check_header(header, self.max)?;
        self.fill(len);
        if self.begun.len() < len {
            return Ok(None);
        }
        let mut body = self.begun.split_to(len);
        body.advance(HEADER_LEN);
        Ok(Some(Frame { kind, body: body.freeze() }))
    }

    /// Moves what makes `begun` this long from `rest`, as far as there is any.
    fn fill(&mut self, len: usize) {
        let missing = len.saturating_sub(self.begun.len()).min(self.rest.len());
        if missing > 0 {
            self.begun.reserve(len.min(self.max).saturating_sub(self.begun.len()));
            self.begun.extend_from_slice(&self.rest.split_to(missing));
        }
        if self.rest.is_empty() {
            // Whoever has read it may use its memory again.
            self.rest = Bytes::new();
        }
    }
}

fn check_header(header: &[u8; HEADER_LEN], max: usize) -> Result<(MessageType, usize), Notification> {
    let [marker @ .., high, low, kind] = header;
    let error = |error, data: &[u8]| Notification::new(NotificationCode::Header(error), data);
    if *marker != MARKER {
        return Err(error(HeaderError::ConnectionNotSynchronized, &[]));
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if len < HEADER_LEN || len > max {
        return Err(error(HeaderError::BadMessageLength, &[*high, *low]));
    }
    let Some(message) = MessageType::from_wire(*kind) else {
        return Err(error(HeaderError::BadMessageType, &[*kind]));
    };
    if !message.allows(len, max) {
        return Err(error(HeaderError::BadMessageLength, &[*high, *low]));
    }
    Ok((message, len))
}

/// Appends a header with length zero; returns where the message begins.
pub(super) fn begin(out: &mut BytesMut, kind: MessageType) -> usize {
    let start = out.len();
    out.put_slice(&MARKER);
    out.put_u16(0);
    out.put_u8(kind as u8);
    start
}

/// Fills in the length of the message that begins at `start`.
pub(super) fn finish(out: &mut BytesMut, start: usize) {
    let len = u16::try_from(out.len() - start).expect("encoders keep to the maximum message length");
    out[start + 16..start + 18].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests;
