//! The fields of the state: numbers in network order, everything of variable length with its length in front.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use cairn_net::{Families, Family, Prefix};

use super::TakeOverError;
use crate::wire::Nlri;

/// Writes a state.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.0.extend_from_slice(value);
    }

    pub(super) fn addr(&mut self, addr: IpAddr) {
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

    pub(super) fn socket(&mut self, socket: SocketAddr) {
        self.addr(socket.ip());
        self.u32(socket.port().into());
        self.u32(if let SocketAddr::V6(v6) = socket { v6.scope_id() } else { 0 });
    }

    pub(super) fn prefix(&mut self, prefix: Prefix) {
        self.addr(prefix.addr());
        self.u8(prefix.len());
    }

    pub(super) fn nlri(&mut self, nlri: Nlri) {
        self.prefix(nlri.prefix);
        self.u32(nlri.path_id);
    }

    /// In nanoseconds.
    pub(super) fn duration(&mut self, value: Duration) {
        self.u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn families(&mut self, families: Families) {
        self.u8(families.iter().map(|family| 1 << family as u8).sum());
    }

    /// Whether there is a value, then the value.
    pub(super) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// How many values there are, then the values.
    pub(super) fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.count(values.len());
        values.for_each(|value| put(self, value));
    }
}

/// Reads a state.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

type Result<T> = std::result::Result<T, TakeOverError>;

const SHORT: TakeOverError = TakeOverError::Damaged("it ends too early");
/// No time of a speaker is longer: a deadline with it is still far from the end of the clock.
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

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number of elements, each of which takes at least one octet: so a wrong number reserves no memory.
    pub(super) fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.u64()?).map_err(|_| SHORT)?;
        if count > self.0.len() { Err(SHORT) } else { Ok(count) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| TakeOverError::Damaged("a text is not UTF-8"))
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(TakeOverError::Damaged("a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn addr(&mut self) -> Result<IpAddr> {
        match self.u8()? {
            4 => self.array::<4>().map(|octets| Ipv4Addr::from(octets).into()),
            6 => self.array::<16>().map(|octets| Ipv6Addr::from(octets).into()),
            _ => Err(TakeOverError::Damaged("an address is of no known family")),
        }
    }

    pub(super) fn socket(&mut self) -> Result<SocketAddr> {
        let addr = self.addr()?;
        let port = u16::try_from(self.u32()?).map_err(|_| TakeOverError::Damaged("a port is above 65535"))?;
        let mut socket = SocketAddr::new(addr, port);
        let scope = self.u32()?;
        if let SocketAddr::V6(v6) = &mut socket {
            v6.set_scope_id(scope);
        }
        Ok(socket)
    }

    pub(super) fn prefix(&mut self) -> Result<Prefix> {
        let addr = self.addr()?;
        let len = self.u8()?;
        Prefix::new(addr, len).ok_or(TakeOverError::Damaged("a prefix has host bits or is too long"))
    }

    pub(super) fn nlri(&mut self) -> Result<Nlri> {
        Ok(Nlri { prefix: self.prefix()?, path_id: self.u32()? })
    }

    pub(super) fn duration(&mut self) -> Result<Duration> {
        let value = Duration::from_nanos(self.u64()?);
        if value > LONGEST { Err(TakeOverError::Damaged("a time is too long")) } else { Ok(value) }
    }

    pub(super) fn families(&mut self) -> Result<Families> {
        let bits = self.u8()?;
        if bits >= 1 << Family::ALL.len() {
            return Err(TakeOverError::Damaged("an unknown family"));
        }
        Ok(Family::ALL.into_iter().filter(|family| bits & (1 << *family as u8) != 0).collect())
    }

    pub(super) fn option<T>(&mut self, get: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { get(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn list<T>(&mut self, mut get: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        // Not reserved in one go: an element may be larger in memory than here.
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(get(self)?);
        }
        Ok(values)
    }
}
