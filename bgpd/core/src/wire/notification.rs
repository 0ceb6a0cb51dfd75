//! NOTIFICATION: why a session ends.
//!
//! Spec: RFC 4271 section 4.5; subcodes of RFC 4486, 6608, 7313, 8538, 9234, 9384, 9687; text of RFC 9003.
//! Invariant: every code and subcode survives decode and encode, known or not.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Longest shutdown text in octets (RFC 9003 section 2).
const MAX_SHUTDOWN_TEXT: usize = 255;

/// An enum of subcodes with wire numbers, texts, and a variant for numbers without a name.
macro_rules! subcodes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A subcode without a name, kept as it came.
            Other(u8),
        }

        impl $name {
            /// From the wire's number.
            pub const fn from_wire(value: u8) -> Self {
                match value {
                    $($value => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The wire's number.
            pub const fn to_wire(self) -> u8 {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Other(other) => other,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($text),)*
                    Self::Other(other) => write!(f, "subcode {other}"),
                }
            }
        }
    };
}

subcodes! {
    /// Subcodes of Message Header Error (RFC 4271 section 6.1).
    HeaderError {
        /// Zero: nothing more specific.
        Unspecific = 0, "Unspecific";
        /// The marker is not all ones.
        ConnectionNotSynchronized = 1, "Connection Not Synchronized";
        /// The length is out of range; data: the length field.
        BadMessageLength = 2, "Bad Message Length";
        /// The type is unknown; data: the type field.
        BadMessageType = 3, "Bad Message Type";
    }
}

subcodes! {
    /// Subcodes of OPEN Message Error (RFC 4271 section 6.2, RFC 5492, RFC 9234).
    OpenError {
        /// Zero: nothing more specific, for instance an option that cannot be parsed.
        Unspecific = 0, "Unspecific";
        /// Data: the largest version that we speak.
        UnsupportedVersionNumber = 1, "Unsupported Version Number";
        /// The AS is not the one expected, or zero (RFC 7607).
        BadPeerAs = 2, "Bad Peer AS";
        /// The identifier is zero, or ours (RFC 6286).
        BadBgpIdentifier = 3, "Bad BGP Identifier";
        /// An optional parameter is not recognised.
        UnsupportedOptionalParameter = 4, "Unsupported Optional Parameter";
        /// Deprecated by RFC 4271.
        AuthenticationFailure = 5, "Authentication Failure";
        /// One or two seconds.
        UnacceptableHoldTime = 6, "Unacceptable Hold Time";
        /// Data: the capabilities that are missing (RFC 5492 section 5).
        UnsupportedCapability = 7, "Unsupported Capability";
        /// The two roles do not fit each other (RFC 9234 section 4.2).
        RoleMismatch = 11, "Role Mismatch";
    }
}

subcodes! {
    /// Subcodes of UPDATE Message Error (RFC 4271 section 6.3).
    UpdateError {
        /// Zero: nothing more specific.
        Unspecific = 0, "Unspecific";
        /// Lengths do not add up, or an attribute comes twice.
        MalformedAttributeList = 1, "Malformed Attribute List";
        /// Data: the attribute.
        UnrecognizedWellKnownAttribute = 2, "Unrecognized Well-known Attribute";
        /// Data: the attribute's type.
        MissingWellKnownAttribute = 3, "Missing Well-known Attribute";
        /// Data: the attribute.
        AttributeFlagsError = 4, "Attribute Flags Error";
        /// Data: the attribute.
        AttributeLengthError = 5, "Attribute Length Error";
        /// Data: the attribute.
        InvalidOriginAttribute = 6, "Invalid ORIGIN Attribute";
        /// Deprecated by RFC 4271.
        AsRoutingLoop = 7, "AS Routing Loop";
        /// Data: the attribute.
        InvalidNextHopAttribute = 8, "Invalid NEXT_HOP Attribute";
        /// Data: the attribute.
        OptionalAttributeError = 9, "Optional Attribute Error";
        /// A prefix cannot be parsed.
        InvalidNetworkField = 10, "Invalid Network Field";
        /// The AS_PATH cannot be parsed.
        MalformedAsPath = 11, "Malformed AS_PATH";
    }
}

subcodes! {
    /// Subcodes of Finite State Machine Error (RFC 6608).
    FsmError {
        /// Zero: nothing more specific.
        Unspecific = 0, "Unspecific";
        /// Data: the message's type.
        UnexpectedInOpenSent = 1, "Unexpected Message in OpenSent";
        /// Data: the message's type.
        UnexpectedInOpenConfirm = 2, "Unexpected Message in OpenConfirm";
        /// Data: the message's type.
        UnexpectedInEstablished = 3, "Unexpected Message in Established";
    }
}

subcodes! {
    /// Subcodes of Cease (RFC 4486, RFC 8538, RFC 9384).
    CeaseError {
        /// Zero: nothing more specific.
        Unspecific = 0, "Unspecific";
        /// More prefixes than the operator allows.
        MaximumPrefixesReached = 1, "Maximum Number of Prefixes Reached";
        /// The operator stopped the session; may carry a text.
        AdministrativeShutdown = 2, "Administrative Shutdown";
        /// The peer's configuration was removed.
        PeerDeconfigured = 3, "Peer De-configured";
        /// The operator resets the session; may carry a text.
        AdministrativeReset = 4, "Administrative Reset";
        /// The connection is not welcome.
        ConnectionRejected = 5, "Connection Rejected";
        /// The configuration changed in a way that needs a new session.
        OtherConfigurationChange = 6, "Other Configuration Change";
        /// The other connection to the same peer wins.
        ConnectionCollisionResolution = 7, "Connection Collision Resolution";
        /// No memory, for instance.
        OutOfResources = 8, "Out of Resources";
        /// End without graceful restart; data: the real code, subcode and data (RFC 8538).
        HardReset = 9, "Hard Reset";
        /// BFD found the path down (RFC 9384).
        BfdDown = 10, "BFD Down";
    }
}

subcodes! {
    /// Subcodes of ROUTE-REFRESH Message Error (RFC 7313 section 5).
    RouteRefreshError {
        /// Zero: reserved.
        Unspecific = 0, "Unspecific";
        /// Data: the whole message.
        InvalidMessageLength = 1, "Invalid Message Length";
    }
}

/// Code and subcode of a NOTIFICATION.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationCode {
    /// Code 1.
    Header(HeaderError),
    /// Code 2.
    Open(OpenError),
    /// Code 3.
    Update(UpdateError),
    /// Code 4, with the subcode that came along (zero in the specification).
    HoldTimerExpired(u8),
    /// Code 5.
    Fsm(FsmError),
    /// Code 6.
    Cease(CeaseError),
    /// Code 7.
    RouteRefresh(RouteRefreshError),
    /// Code 8 (RFC 9687), with the subcode that came along.
    SendHoldTimerExpired(u8),
    /// A code without a name, kept as it came.
    Other {
        /// The code.
        code: u8,
        /// The subcode.
        subcode: u8,
    },
}

impl NotificationCode {
    /// From the wire's two numbers.
    pub const fn from_wire(code: u8, subcode: u8) -> Self {
        match code {
            1 => Self::Header(HeaderError::from_wire(subcode)),
            2 => Self::Open(OpenError::from_wire(subcode)),
            3 => Self::Update(UpdateError::from_wire(subcode)),
            4 => Self::HoldTimerExpired(subcode),
            5 => Self::Fsm(FsmError::from_wire(subcode)),
            6 => Self::Cease(CeaseError::from_wire(subcode)),
            7 => Self::RouteRefresh(RouteRefreshError::from_wire(subcode)),
            8 => Self::SendHoldTimerExpired(subcode),
            code => Self::Other { code, subcode },
        }
    }

    /// The wire's two numbers: code, subcode.
    pub const fn to_wire(self) -> (u8, u8) {
        match self {
            Self::Header(error) => (1, error.to_wire()),
            Self::Open(error) => (2, error.to_wire()),
            Self::Update(error) => (3, error.to_wire()),
            Self::HoldTimerExpired(subcode) => (4, subcode),
            Self::Fsm(error) => (5, error.to_wire()),
            Self::Cease(error) => (6, error.to_wire()),
            Self::RouteRefresh(error) => (7, error.to_wire()),
            Self::SendHoldTimerExpired(subcode) => (8, subcode),
            Self::Other { code, subcode } => (code, subcode),
        }
    }
}

impl fmt::Display for NotificationCode {
    /// `Cease / Administrative Shutdown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "Message Header Error / {error}"),
            Self::Open(error) => write!(f, "OPEN Message Error / {error}"),
            Self::Update(error) => write!(f, "UPDATE Message Error / {error}"),
            Self::HoldTimerExpired(_) => f.write_str("Hold Timer Expired"),
            Self::Fsm(error) => write!(f, "Finite State Machine Error / {error}"),
            Self::Cease(error) => write!(f, "Cease / {error}"),
            Self::RouteRefresh(error) => write!(f, "ROUTE-REFRESH Message Error / {error}"),
            Self::SendHoldTimerExpired(_) => f.write_str("Send Hold Timer Expired"),
            Self::Other { code, subcode } => write!(f, "code {code} subcode {subcode}"),
        }
    }
}

/// A NOTIFICATION message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Why.
    pub code: NotificationCode,
    /// What the code says about it; see the subcodes.
    pub data: Bytes,
}

impl Notification {
    /// A notification with the given data.
    pub fn new(code: NotificationCode, data: &[u8]) -> Self {
        Self { code, data: Bytes::copy_from_slice(data) }
    }

    /// Cease, without text.
    pub const fn cease(error: CeaseError) -> Self {
        Self { code: NotificationCode::Cease(error), data: Bytes::new() }
    }

    /// Cease with a text for the other operator (RFC 9003), cut to 255 octets at a character's end.
    pub fn shutdown(error: CeaseError, text: &str) -> Self {
        if text.is_empty() {
            return Self::cease(error);
        }
        let mut end = text.len().min(MAX_SHUTDOWN_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text.as_bytes()[..end];
        let len = u8::try_from(end).expect("cut to 255 above");
        let mut data = BytesMut::with_capacity(1 + end);
        data.put_u8(len);
        data.put_slice(text);
        Self { code: NotificationCode::Cease(error), data: data.freeze() }
    }

    /// Cease / Maximum Number of Prefixes Reached, with the family and the limit (RFC 4486 section 4).
    pub fn prefix_limit(family: super::AfiSafi, limit: u32) -> Self {
        let mut data = BytesMut::with_capacity(7);
        data.put_u16(family.afi);
        data.put_u8(family.safi);
        data.put_u32(limit);
        Self { code: NotificationCode::Cease(CeaseError::MaximumPrefixesReached), data: data.freeze() }
    }

    /// This notification wrapped as a hard reset: the peer must not keep the routes (RFC 8538 section 3).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let (code, subcode) = self.code.to_wire();
        let mut data = BytesMut::with_capacity(2 + self.data.len());
        data.put_slice(&[code, subcode]);
        data.put_slice(&self.data);
        Self { code: NotificationCode::Cease(CeaseError::HardReset), data: data.freeze() }
    }

    /// What a hard reset wraps; `None` if this is none or carries nothing.
    pub fn hard_reset_cause(&self) -> Option<Self> {
        if self.code != NotificationCode::Cease(CeaseError::HardReset) {
            return None;
        }
        let (&[code, subcode], _) = self.data.split_first_chunk::<2>()?;
        Some(Self { code: NotificationCode::from_wire(code, subcode), data: self.data.slice(2..) })
    }

    /// The operator's text in an administrative shutdown or reset (RFC 9003); invalid UTF-8 is replaced, and
    /// control characters are blanks, so that it can be logged.
    pub fn shutdown_text(&self) -> Option<String> {
        use CeaseError::{AdministrativeReset, AdministrativeShutdown};
        let NotificationCode::Cease(AdministrativeShutdown | AdministrativeReset) = self.code else {
            return None;
        };
        let (&len, rest) = self.data.split_first()?;
        let text: Cow<'_, str> = String::from_utf8_lossy(rest.get(..usize::from(len))?);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        (!text.is_empty()).then_some(text)
    }

    /// From a message body. The framer has checked that it holds the two code octets; a shorter one reads as zeros. The data is copied:
    /// a NOTIFICATION is kept for a long time, and would keep the buffer that it was read into.
    pub fn decode(body: &Bytes) -> Self {
        match body.split_first_chunk::<2>() {
            Some((&[code, subcode], data)) => {
                Self { code: NotificationCode::from_wire(code, subcode), data: Bytes::copy_from_slice(data) }
            }
            None => Self { code: NotificationCode::Other { code: 0, subcode: 0 }, data: Bytes::new() },
        }
    }

    /// Appends the body. Data beyond what an unextended message holds is cut off.
    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        let (code, subcode) = self.code.to_wire();
        out.put_slice(&[code, subcode]);
        let room = super::MAX_MESSAGE_LEN - super::HEADER_LEN - 2;
        out.put_slice(&self.data[..self.data.len().min(room)]);
    }
}

impl fmt::Display for Notification {
    /// `Cease / Administrative Shutdown: maintenance`; other data as hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cause) = self.hard_reset_cause() {
            // Only one level, whatever the peer nests.
            write!(f, "{}: {}", self.code, cause.code)?;
            return cause.shutdown_text().map_or(Ok(()), |text| write!(f, ": {text}"));
        }
        self.code.fmt(f)?;
        if let Some(text) = self.shutdown_text() {
            return write!(f, ": {text}");
        }
        if !self.data.is_empty() {
            f.write_str(" (data")?;
            for byte in self.data.iter().take(32) {
                write!(f, " {byte:02x}")?;
            }
            f.write_str(if self.data.len() > 32 { " ...)" } else { ")" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
