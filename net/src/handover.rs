//! State that a process hands to its successor, as octets: numbers in network order, everything of variable length with its length
//! in front.
//!
//! Invariant: reading never panics and reserves no memory for what is not there, whatever the octets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use crate::{Families, Family, Prefix};

/// The octets end too early, or a field has a value that it cannot have: says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the state is damaged: {0}")]
pub struct Damaged(pub &'static str);

/// Writes a state.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// An octet.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// Four octets.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight octets.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// A number of elements.
    pub fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// Octets with their number in front.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.0.extend_from_slice(value);
    }

    /// The family (4 or 6), and the address.
    pub fn addr(&mut self, addr: IpAddr) {
        match addr {
            IpAddr::V4(v4) => {
                self.u8(4);
                self.0.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.u8(6);
                self.0.extend_from_slice(&v6.octets());
            }
        }
    }

    /// Address, port, and scope.
    pub fn socket(&mut self, socket: SocketAddr) {
        self.addr(socket.ip());
        self.u32(socket.port().into());
        self.u32(if let SocketAddr::V6(v6) = socket { v6.scope_id() } else { 0 });
    }

    /// Address and length.
    pub fn prefix(&mut self, prefix: Prefix) {
        self.addr(prefix.addr());
        self.u8(prefix.len());
    }

    /// In nanoseconds.
    pub fn duration(&mut self, value: Duration) {
        self.u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A bit for each.
    pub fn families(&mut self, families: Families) {
        self.u8(families.iter().map(|family| 1 << family as u8).sum());
    }

    /// Whether there is a value, then the value.
    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// How many values there are, then the values.
    pub fn list<T>(&mut self, values: impl ExactSizeIterator<Item = T>, mut put: impl FnMut(&mut Self, T)) {
        self.count(values.len());
        values.for_each(|value| put(self, value));
    }
}

/// Reads a state.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

type Result<T> = std::result::Result<T, Damaged>;

const SHORT: Damaged = Damaged("it ends too early");
/// No time is longer: a deadline with it is still far from the end of the clock.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// An octet.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Four octets.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight octets.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of elements, each of which takes at least one octet: so a wrong number reserves no memory.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.u64()?).map_err(|_| SHORT)?;
        if count > self.0.len() { Err(SHORT) } else { Ok(count) }
    }

    /// Octets with their number in front.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    /// UTF-8, as octets.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| Damaged("a text is not UTF-8"))
    }

    /// 0 or 1.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged("a flag is neither 0 nor 1")),
        }
    }

    /// As [`Writer::addr`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn addr(&mut self) -> Result<IpAddr> {
        match self.u8()? {
            4 => self.array::<4>().map(|octets| Ipv4Addr::from(octets).into()),
            6 => self.array::<16>().map(|octets| Ipv6Addr::from(octets).into()),
            _ => Err(Damaged("an address is of no known family")),
        }
    }

    /// As [`Writer::socket`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn socket(&mut self) -> Result<SocketAddr> {
        let addr = self.addr()?;
        let port = u16::try_from(self.u32()?).map_err(|_| Damaged("a port is above 65535"))?;
        let mut socket = SocketAddr::new(addr, port);
        let scope = self.u32()?;
        if let SocketAddr::V6(v6) = &mut socket {
            v6.set_scope_id(scope);
        }
        Ok(socket)
    }

    /// As [`Writer::prefix`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn prefix(&mut self) -> Result<Prefix> {
        let addr = self.addr()?;
        let len = self.u8()?;
        Prefix::new(addr, len).ok_or(Damaged("a prefix has host bits or is too long"))
    }

    /// In nanoseconds.
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn duration(&mut self) -> Result<Duration> {
        let value = Duration::from_nanos(self.u64()?);
        if value > LONGEST { Err(Damaged("a time is too long")) } else { Ok(value) }
    }

    /// As [`Writer::families`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn families(&mut self) -> Result<Families> {
        let bits = self.u8()?;
        if bits >= 1 << Family::ALL.len() {
            return Err(Damaged("an unknown family"));
        }
        Ok(Family::ALL.into_iter().filter(|family| bits & (1 << *family as u8) != 0).collect())
    }

    /// As [`Writer::option`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn option<T>(&mut self, get: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { get(self).map(Some) } else { Ok(None) }
    }

    /// As [`Writer::list`].
    ///
    /// # Errors
    /// The octets are damaged.
    pub fn list<T>(&mut self, mut get: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        // Not reserved in one go: an element may be larger in memory than here.
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(get(self)?);
        }
        Ok(values)
    }
}
