//! Sessions go on in another process (docs/adr/0016): same discriminators, states and times, so that the other sides notice nothing.
//!
//! Shape: `[version:u8][sessions:u32]` and the sessions, numbers in network order, times in nanoseconds from the moment of writing.
//! Invariants: writing changes nothing, so that the old endpoint can go on; reading never panics, whatever the octets.
//! Not here: sockets and configuration, which the shell hands over itself; sessions that are saying goodbye, which nobody misses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::{Endpoint, Hops, Key, Session, SessionConfig, SessionId};

/// The form of the state.
const VERSION: u8 = 1;
/// No time of a session is longer: a deadline with it is still far from the end of the clock.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// The octets are no state of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the state of the BFD sessions is damaged, or of another version")]
pub struct Damaged;

pub(crate) type Result<T> = std::result::Result<T, Damaged>;

impl Endpoint {
    /// Writes what another process needs to go on with the sessions, and which these are, in that order.
    pub fn hand_over(&self) -> (Vec<u8>, Vec<SessionId>) {
        let wanted = || self.all().filter(|(_, session)| session.farewells.is_none());
        let mut out = Writer(vec![VERSION]);
        // There are at most 2^32 - 1.
        out.u32(u32::try_from(wanted().count()).unwrap_or(u32::MAX));
        for (_, session) in wanted() {
            out.key(&session.key);
            session.give(self.now(), &mut out);
        }
        (out.0, wanted().map(|(id, _)| id).collect())
    }

    /// An endpoint that goes on with another one's sessions, and their names here in the order of [`Endpoint::hand_over`]; `None` stands for a
    /// session that is not in `sessions`. Those that are in there only are begun by [`crate::Input::Configure`].
    ///
    /// # Errors
    /// If the octets are not those of [`Endpoint::hand_over`] of the same version.
    pub fn take_over(
        now: Instant,
        seed: u64,
        sessions: &BTreeMap<Key, SessionConfig>,
        state: &[u8],
    ) -> Result<(Self, Vec<Option<SessionId>>)> {
        let mut reader = Reader(state);
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let mut endpoint = Self::new(now, seed);
        let mut names = Vec::new();
        for _ in 0..reader.u32()? {
            let key = reader.key()?;
            let seed = endpoint.next_random();
            // Read in any case: the next one is behind it.
            let config = sessions.get(&key).cloned();
            let session = Session::take(key, config.clone().unwrap_or_default(), seed, now, &mut reader)?;
            names.push(match config {
                Some(_) => Some(endpoint.adopt(session).ok_or(Damaged)?),
                None => None,
            });
        }
        if reader.0.is_empty() { Ok((endpoint, names)) } else { Err(Damaged) }
    }
}

/// Writes a state.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u8(value.into());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn time(&mut self, value: Duration) {
        self.u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Whether there is a value, then the value.
    pub(crate) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn addr(&mut self, addr: IpAddr) {
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

    fn key(&mut self, key: &Key) {
        self.flag(key.hops == Hops::Multi);
        self.addr(key.remote);
        self.option(key.interface, Self::u32);
        self.option(key.local, Self::addr);
    }
}

/// Reads a state.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged),
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A count of something: one that could overflow is none.
    pub(crate) fn count(&mut self) -> Result<u64> {
        let count = u64::from_be_bytes(self.array()?);
        if count > u64::MAX / 2 { Err(Damaged) } else { Ok(count) }
    }

    pub(crate) fn time(&mut self) -> Result<Duration> {
        let value = Duration::from_nanos(u64::from_be_bytes(self.array()?));
        if value > LONGEST { Err(Damaged) } else { Ok(value) }
    }

    pub(crate) fn option<T>(&mut self, get: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { get(self).map(Some) } else { Ok(None) }
    }

    fn addr(&mut self) -> Result<IpAddr> {
        match self.u8()? {
            4 => self.array::<4>().map(|octets| Ipv4Addr::from(octets).into()),
            6 => self.array::<16>().map(|octets| Ipv6Addr::from(octets).into()),
            _ => Err(Damaged),
        }
    }

    fn key(&mut self) -> Result<Key> {
        let hops = if self.flag()? { Hops::Multi } else { Hops::Single };
        Ok(Key {
            hops,
            remote: self.addr()?,
            interface: self.option(Self::u32)?,
            local: self.option(Self::addr)?,
        })
    }
}
