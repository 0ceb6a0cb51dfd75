//! Sessions go on in another process (docs/adr/0016): same discriminators, states and times, so that the other sides notice nothing.
//!
//! Shape: `[version:u8][sessions:u32]` and the sessions, numbers in network order, times in nanoseconds from the moment of writing.
//! Invariants: writing changes nothing, so that the old endpoint can go on; reading never panics, whatever the octets.
//! Not here: sockets and configuration, which the shell hands over itself; sessions that are saying goodbye, which nobody misses.

use std::collections::BTreeMap;
use std::time::Instant;

use cairn_net::handover::{Damaged, Reader, Writer};

use crate::{Endpoint, Hops, Key, Session, SessionConfig, SessionId};

/// The form of the state.
const VERSION: u8 = 1;
pub(crate) type Result<T> = std::result::Result<T, Damaged>;

impl Endpoint {
    /// Writes what another process needs to go on with the sessions, and which these are, in that order.
    pub fn hand_over(&self) -> (Vec<u8>, Vec<SessionId>) {
        let wanted = || self.all().filter(|(_, session)| session.farewells.is_none());
        let mut out = Writer(vec![VERSION]);
        // There are at most 2^32 - 1.
        out.u32(u32::try_from(wanted().count()).unwrap_or(u32::MAX));
        for (_, session) in wanted() {
            put_key(&mut out, &session.key);
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
            return Err(Damaged("the BFD sessions have a version that this program does not read"));
        }
        let mut endpoint = Self::new(now, seed);
        let mut names = Vec::new();
        for _ in 0..reader.u32()? {
            let key = key(&mut reader)?;
            let seed = endpoint.next_random();
            // Read in any case: the next one is behind it.
            let config = sessions.get(&key).cloned();
            let session = Session::take(key, config.clone().unwrap_or_default(), seed, now, &mut reader)?;
            names.push(match config {
                Some(_) => Some(endpoint.adopt(session).ok_or(Damaged("a BFD session is there twice"))?),
                None => None,
            });
        }
        if reader.0.is_empty() {
            Ok((endpoint, names))
        } else {
            Err(Damaged("something is behind the BFD sessions"))
        }
    }
}

fn put_key(out: &mut Writer, key: &Key) {
    out.flag(key.hops == Hops::Multi);
    out.addr(key.remote);
    out.option(key.interface, Writer::u32);
    out.option(key.local, Writer::addr);
}

fn key(reader: &mut Reader<'_>) -> Result<Key> {
    let hops = if reader.flag()? { Hops::Multi } else { Hops::Single };
    Ok(Key {
        hops,
        remote: reader.addr()?,
        interface: reader.option(Reader::u32)?,
        local: reader.option(Reader::addr)?,
    })
}
