//! ROUTE-REFRESH: ask for a peer's routes again.
//!
//! Spec: RFC 2918; RFC 7313 (begin and end marks).

use bytes::{BufMut, BytesMut};

use super::AfiSafi;
use super::header::{self, HEADER_LEN, MessageType};
use super::notification::{Notification, NotificationCode, RouteRefreshError};

/// What a ROUTE-REFRESH means (RFC 7313 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshSubtype {
    /// Send me your Adj-RIB-Out again.
    Request,
    /// A refresh begins.
    Begin,
    /// A refresh is complete: what was not announced since its begin is stale.
    End,
    /// Not defined: to be ignored (RFC 7313 section 5).
    Unknown(u8),
}

/// A ROUTE-REFRESH message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family that it is about; one that was not negotiated is to be ignored.
    pub family: AfiSafi,
    /// Request, begin or end.
    pub subtype: RefreshSubtype,
}

impl RouteRefresh {
    /// From a message body.
    ///
    /// # Errors
    /// The NOTIFICATION of RFC 7313 section 5 for a length other than 4. Outbound route filters (RFC 5291), which
    /// make the message longer, are never negotiated.
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let &[afi_high, afi_low, subtype, safi] = body else {
            let mut message = BytesMut::with_capacity(HEADER_LEN + body.len());
            let start = header::begin(&mut message, MessageType::RouteRefresh);
            message.put_slice(body);
            header::finish(&mut message, start);
            let code = NotificationCode::RouteRefresh(RouteRefreshError::InvalidMessageLength);
            return Err(Notification { code, data: message.freeze() });
        };
        let subtype = match subtype {
            0 => RefreshSubtype::Request,
            1 => RefreshSubtype::Begin,
            2 => RefreshSubtype::End,
            other => RefreshSubtype::Unknown(other),
        };
        Ok(Self { family: AfiSafi { afi: u16::from_be_bytes([afi_high, afi_low]), safi }, subtype })
    }

    pub(super) fn encode_body(self, out: &mut BytesMut) {
        out.put_u16(self.family.afi);
        out.put_u8(match self.subtype {
            RefreshSubtype::Request => 0,
            RefreshSubtype::Begin => 1,
            RefreshSubtype::End => 2,
            RefreshSubtype::Unknown(other) => other,
        });
        out.put_u8(self.family.safi);
    }
}
