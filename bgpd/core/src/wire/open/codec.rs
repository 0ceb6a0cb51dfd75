use bytes::{BufMut, BytesMut};
use cairn_net::{Asn, RouterId};

use super::{Capability, Open};
use crate::wire::notification::{Notification, NotificationCode, OpenError};
use crate::wire::parse::{Overrun, Reader};
use crate::wire::{HEADER_LEN, MAX_MESSAGE_LEN};

/// The version of RFC 4271.
const VERSION: u8 = 4;
/// Optional parameter: capabilities (RFC 5492).
const PARAMETER_CAPABILITIES: u8 = 2;
/// Marks the extended format, as length and as type (RFC 9072).
const EXTENDED: u8 = 255;
/// Room for capabilities in an OPEN of 4096 octets, next to the fixed fields and the extended format's heads.
const MAX_CAPABILITIES_LEN: usize = MAX_MESSAGE_LEN - HEADER_LEN - 10 - 6;

impl Open {
    /// From a message body.
    ///
    /// # Errors
    /// The NOTIFICATION of RFC 4271 section 6.2 for whatever is wrong by itself: version, AS 0, identifier 0, hold
    /// time 1 or 2, parameters that do not parse, or of an unknown type.
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let truncated = |_: Overrun| refuse(OpenError::Unspecific, &[]);
        let mut reader = Reader::new(body);
        let version = reader.u8().map_err(truncated)?;
        if version != VERSION {
            return Err(refuse(OpenError::UnsupportedVersionNumber, &u16::from(VERSION).to_be_bytes()));
        }
        let fixed_as = Asn(reader.u16().map_err(truncated)?.into());
        let hold_time = reader.u16().map_err(truncated)?;
        let router_id = reader.u32().map_err(truncated)?;
        let capabilities = decode_parameters(reader)?;
        let asn = four_octet_as(&capabilities).unwrap_or(fixed_as);
        if asn == Asn::ZERO || fixed_as == Asn::ZERO {
            return Err(refuse(OpenError::BadPeerAs, &[]));
        }
        if matches!(hold_time, 1 | 2) {
            return Err(refuse(OpenError::UnacceptableHoldTime, &[]));
        }
        let Some(router_id) = RouterId::new(router_id) else {
            return Err(refuse(OpenError::BadBgpIdentifier, &[]));
        };
        Ok(Self { asn, hold_time, router_id, capabilities })
    }

    /// Appends the body. All capabilities go into one parameter, in the extended format if they take more than 253
    /// octets. One that does not fit into the message is left out.
    pub(in crate::wire) fn encode_body(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u16(self.asn.two_octet());
        out.put_u16(self.hold_time);
        out.put_u32(self.router_id.get());
        let mut capabilities = BytesMut::new();
        for capability in &self.capabilities {
            let start = capabilities.len();
            capabilities.put_slice(&[capability.code(), 0]);
            capability.encode_value(&mut capabilities);
            match u8::try_from(capabilities.len() - start - 2) {
                Ok(len) if capabilities.len() <= MAX_CAPABILITIES_LEN => capabilities[start + 1] = len,
                // More than a capability or an OPEN can hold: what does not fit cannot be said.
                _ => capabilities.truncate(start),
            }
        }
        match u8::try_from(capabilities.len()) {
            Ok(0) => out.put_u8(0),
            Ok(len @ ..=253) => out.put_slice(&[len + 2, PARAMETER_CAPABILITIES, len]),
            _ => {
                let len = u16::try_from(capabilities.len()).expect("at most MAX_CAPABILITIES_LEN");
                out.put_slice(&[EXTENDED, EXTENDED]);
                out.put_u16(len + 3);
                out.put_u8(PARAMETER_CAPABILITIES);
                out.put_u16(len);
            }
        }
        out.put_slice(&capabilities);
    }
}

/// Reads the optional parameters, in either format, to the end of the message.
fn decode_parameters(mut reader: Reader<'_>) -> Result<Vec<Capability>, Notification> {
    let malformed = |_: Overrun| refuse(OpenError::Unspecific, &[]);
    let len = reader.u8().map_err(malformed)?;
    // RFC 9072: the first parameter's type tells the format; the length should be 255 then, but must not be zero.
    let extended = len != 0 && reader.rest().first() == Some(&EXTENDED);
    let mut parameters = if extended {
        reader.u8().map_err(malformed)?;
        reader.counted_u16().map_err(malformed)?
    } else {
        reader.take(len.into()).map(Reader::new).map_err(malformed)?
    };
    if !reader.is_empty() {
        return Err(refuse(OpenError::Unspecific, &[]));
    }
    let mut capabilities = Vec::new();
    while !parameters.is_empty() {
        let kind = parameters.u8().map_err(malformed)?;
        let value = if extended { parameters.counted_u16() } else { parameters.counted_u8() };
        let mut value = value.map_err(malformed)?;
        if kind != PARAMETER_CAPABILITIES {
            return Err(refuse(OpenError::UnsupportedOptionalParameter, &[]));
        }
        while !value.is_empty() {
            let code = value.u8().map_err(malformed)?;
            let value = value.counted_u8().map_err(malformed)?;
            capabilities.push(Capability::decode(code, value.rest()));
        }
    }
    Ok(capabilities)
}

fn four_octet_as(capabilities: &[Capability]) -> Option<Asn> {
    capabilities.iter().find_map(|capability| match capability {
        Capability::FourOctetAs(asn) => Some(*asn),
        _ => None,
    })
}

pub(super) fn refuse(error: OpenError, data: &[u8]) -> Notification {
    Notification::new(NotificationCode::Open(error), data)
}
