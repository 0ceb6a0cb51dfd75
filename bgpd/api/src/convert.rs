//! Between the messages of [`crate::proto`] and the types of this crate. The one place where that is done.
//!
//! What comes from a socket is checked here: an address has 4 or 16 octets, a prefix no host bits, an enum a known value.

mod bfd;
mod history;
mod next_hop;
mod peer;
mod policy;
mod route;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cairn_net::{Families, Family, Prefix, RouterId};
use prost::bytes::Bytes;
use thiserror::Error;

use crate::proto;

/// A field of a message that is not what the schema says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {value}: {rule}")]
pub struct FieldError {
    /// The field.
    pub field: &'static str,
    /// What it holds.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

impl FieldError {
    /// A fault. Of the value only the beginning is kept.
    pub fn new(field: &'static str, value: impl std::fmt::Debug, rule: &'static str) -> Self {
        Self { field, value: format!("{value:?}").chars().take(80).collect(), rule }
    }
}

/// The messages of a list.
fn each<T, M: From<T>>(list: Vec<T>) -> Vec<M> {
    list.into_iter().map(Into::into).collect()
}

/// What a list of messages says, or the first fault in it.
fn all<M, T: TryFrom<M, Error = FieldError>>(messages: Vec<M>) -> Result<Vec<T>, FieldError> {
    messages.into_iter().map(TryInto::try_into).collect()
}

/// The octets of an address.
pub fn address_bytes(addr: IpAddr) -> Bytes {
    match addr {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

/// An address from its octets.
///
/// # Errors
/// Unless there are 4 or 16 of them.
pub fn address(field: &'static str, octets: &[u8]) -> Result<IpAddr, FieldError> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        Ok(v4.into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(octets) {
        Ok(v6.into())
    } else {
        Err(FieldError::new(field, octets, "an address has 4 or 16 octets"))
    }
}

/// An address from its octets, or none from none.
///
/// # Errors
/// Unless there are 0, 4 or 16 of them.
pub fn optional_address(field: &'static str, octets: &[u8]) -> Result<Option<IpAddr>, FieldError> {
    if octets.is_empty() { Ok(None) } else { address(field, octets).map(Some) }
}

/// The octets of a router id.
pub fn router_id_bytes(id: RouterId) -> Bytes {
    Bytes::copy_from_slice(&id.get().to_be_bytes())
}

/// A router id from its octets, or none from none.
///
/// # Errors
/// Unless there are 0 or 4 of them, and not all zero.
pub fn router_id(field: &'static str, octets: &[u8]) -> Result<Option<RouterId>, FieldError> {
    if octets.is_empty() {
        return Ok(None);
    }
    <[u8; 4]>::try_from(octets)
        .ok()
        .and_then(|octets| RouterId::try_from(Ipv4Addr::from(octets)).ok())
        .map(Some)
        .ok_or_else(|| FieldError::new(field, octets, "a router id has 4 octets, not all zero"))
}

impl From<Prefix> for proto::Prefix {
    fn from(prefix: Prefix) -> Self {
        Self { address: address_bytes(prefix.addr()), length: prefix.len().into() }
    }
}

impl TryFrom<&proto::Prefix> for Prefix {
    type Error = FieldError;

    fn try_from(message: &proto::Prefix) -> Result<Self, FieldError> {
        let addr = address("prefix.address", &message.address)?;
        u8::try_from(message.length).ok().and_then(|len| Self::new(addr, len)).ok_or_else(|| {
            FieldError::new(
                "prefix",
                (addr, message.length),
                "the length is at most 32 or 128, and bits beyond it are zero",
            )
        })
    }
}

/// A prefix that must be there.
///
/// # Errors
/// If it is missing or not valid.
pub fn prefix(message: Option<&proto::Prefix>) -> Result<Prefix, FieldError> {
    message.ok_or_else(|| FieldError::new("prefix", (), "is required"))?.try_into()
}

impl From<Family> for proto::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

/// A family from its number; `None` where it is not specified.
///
/// # Errors
/// If the number is not known.
pub fn family(number: i32) -> Result<Option<Family>, FieldError> {
    match proto::Family::try_from(number) {
        Ok(proto::Family::Unspecified) => Ok(None),
        Ok(proto::Family::Ipv4) => Ok(Some(Family::Ipv4)),
        Ok(proto::Family::Ipv6) => Ok(Some(Family::Ipv6)),
        Err(_) => Err(FieldError::new("family", number, "is not a known family")),
    }
}

/// A set of families.
///
/// # Errors
/// If a number is not known.
pub fn families(numbers: &[i32]) -> Result<Families, FieldError> {
    numbers.iter().filter_map(|number| family(*number).transpose()).collect()
}

/// The numbers of a set of families.
pub fn family_numbers(families: Families) -> Vec<i32> {
    families.iter().map(|family| proto::Family::from(family).into()).collect()
}

fn port(field: &'static str, number: u32) -> Result<u16, FieldError> {
    u16::try_from(number).map_err(|_| FieldError::new(field, number, "a port is 0 to 65535"))
}

fn socket(addr: &[u8], number: u32) -> Result<Option<SocketAddr>, FieldError> {
    let port = port("local_port", number)?;
    Ok(optional_address("local_address", addr)?.map(|addr| SocketAddr::new(addr, port)))
}
