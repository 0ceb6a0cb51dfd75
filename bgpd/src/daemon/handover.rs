//! The daemon's part of a take-over: the configuration, the sockets, and what these have not taken yet.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bgp_core::speaker::{Speaker, Surroundings};
use bgpd_api::config::{load, to_yaml};
use bytes::Bytes;
use cairn_kernel::object::IfIndex;
use cairn_net::Families;
use serde_json::{Value, json};
use tracing::{error, info};

use super::unnumbered::by_address;
use super::{Daemon, Handle, Link, Links, Running};
use crate::bfd::Frozen;
use crate::settings::Settings;
use crate::takeover::{Asked, TakeOverError, Taken};
use crate::transport::{Connection, Listener, Place};

/// What the configuration is called in messages about it.
const SOURCE: &str = "the running bgpd";

impl Daemon {
    /// Hands everything over to the process that asks. After success this daemon must not touch a socket any more, and ends.
    ///
    /// # Errors
    /// If this is no moment to do so, or the other process does not get ready. Nothing has changed then.
    pub(crate) fn hand_over(&mut self, asked: &Asked) -> Result<(), TakeOverError> {
        let began = Instant::now();
        let refused = |why: String| {
            asked.refuse(&why);
            TakeOverError::Refused(why)
        };
        let handed = self.speaker.hand_over().map_err(|error| refused(error.to_string()))?;
        let Some(running) = &self.running else { return Err(refused("it has no configuration".to_owned())) };
        let mut files: Vec<BorrowedFd<'_>> =
            self.listeners.values().map(|listener| listener.socket.as_fd()).collect();
        let mut pending = Vec::new();
        for conn in &handed.connections {
            let Some(connection) = self.connections.get(conn) else {
                return Err(refused("a session has just lost its connection".to_owned()));
            };
            files.push(connection.stream.as_fd());
            let unwritten = connection.unwritten();
            pending.extend_from_slice(&(unwritten.len() as u64).to_be_bytes());
            pending.extend_from_slice(&unwritten);
        }
        let by_hand: serde_json::Map<String, Value> =
            self.by_hand.iter().map(|(peer, enabled)| (peer.to_string(), json!(enabled))).collect();
        let daemon = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "document": to_yaml(&running.config),
            "source": running.source,
            "byHand": by_hand,
            "links": links_to_json(&self.unnumbered.links),
            "listeners": self.listeners.keys().map(place_to_json).collect::<Vec<_>>(),
            "sessions": handed.connections.len(),
        });
        let parts = [daemon.to_string().into_bytes(), pending];
        let parts = [parts[0].as_slice(), parts[1].as_slice(), &handed.state];
        asked
            .give(&parts, &files, self.patience(), || self.bfd.freeze())
            .inspect_err(|_| self.bfd.resume())?;
        self.handed_over = true;
        info!(
            sessions = handed.connections.len(),
            octets = handed.state.len(),
            milliseconds = began.elapsed().as_millis(),
            "another process has taken over"
        );
        Ok(())
    }

    /// Goes on with the BFD sessions of the process that has let go.
    pub(crate) fn take_over_bfd(&mut self, frozen: Frozen) {
        if frozen.is_empty() {
            self.sync_bfd();
            return;
        }
        let wanted = self.wanted_bfd();
        let sessions = wanted.sessions.len();
        if let Err(error) = self.bfd.adopt(frozen, wanted) {
            error!(%error, sessions, "cannot go on with the BFD sessions of the old process: they begin anew");
            self.sync_bfd();
        }
    }

    /// How long the other process may take: KEEPALIVEs wait meanwhile.
    fn patience(&self) -> Duration {
        let peers = self.speaker.peers();
        let holds = peers.iter().filter_map(|peer| peer.session.as_ref()).map(|session| session.hold_time);
        let shortest = holds.filter(|hold| !hold.is_zero()).min().unwrap_or(Duration::from_secs(30));
        (shortest / 3).clamp(Duration::from_secs(1), Duration::from_secs(10))
    }

    /// A daemon that goes on where the one that was asked stopped, with the files of its gRPC socket. It does nothing before [`Daemon::run`].
    ///
    /// # Errors
    /// If what was handed over cannot be used.
    pub(crate) fn take_over(
        taken: &Taken,
        kept: Families,
        default_metrics: Option<SocketAddr>,
    ) -> Result<(Self, Handle, [OwnedFd; 3]), TakeOverError> {
        let damaged = || TakeOverError::Damaged("the daemon's part cannot be read");
        let header: Value = serde_json::from_slice(&taken.daemon).map_err(|_| damaged())?;
        let text = |field: &str| header[field].as_str().ok_or_else(damaged);
        let places = header["listeners"].as_array().ok_or_else(damaged)?.iter();
        let places: Option<Vec<Place>> = places.map(place_from_json).collect();
        let places = places.ok_or_else(damaged)?;
        let count = header["sessions"].as_u64().and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= taken.speaker.len()).ok_or_else(damaged)?;
        let (parting, files) = taken.files(places.len() + count)?;

        let config =
            load(text("document")?, SOURCE).map_err(|error| TakeOverError::Config(error.to_string()))?;
        let links = links_from_json(&header["links"]).ok_or_else(damaged)?;
        let settings =
            Settings::new(&config, kept, &links).map_err(|error| TakeOverError::Config(error.to_string()))?;
        let tracked = settings.speaker.next_hop_tracking.is_some();
        let surroundings = Surroundings { links: by_address(&links) };
        let (speaker, sessions) =
            Speaker::take_over(Instant::now(), &settings.speaker, surroundings, &taken.speaker)?;
        if sessions.len() != count {
            return Err(TakeOverError::Damaged("there is not one socket for each session"));
        }
        let (mut daemon, handle) = Self::new(kept, default_metrics);
        daemon.speaker = speaker;
        let mut files = files.into_iter();
        for (place, file) in places.into_iter().zip(&mut files) {
            let listener = Listener::adopt(place.clone(), file)?;
            daemon.events.acceptable(&listener, Duration::ZERO);
            daemon.listeners.insert(place, listener);
        }
        let mut pending = taken.pending.as_slice();
        for (session, file) in sessions.into_iter().zip(files) {
            let unwritten = unwritten(&mut pending).ok_or_else(damaged)?;
            let connection = Connection::adopt(session.peer, file, unwritten)?;
            daemon.events.readable(session.conn, &connection.stream);
            daemon.connections.insert(session.conn, connection);
            daemon.enqueue(session.conn);
        }
        for (peer, enabled) in header["byHand"].as_object().ok_or_else(damaged)? {
            let peer: IpAddr = peer.parse().map_err(|_| damaged())?;
            daemon.by_hand.insert(peer, enabled.as_bool().ok_or_else(damaged)?);
        }
        daemon.metrics.listen(config.metrics.listen.or(default_metrics));
        let (collectors, mrt) = (config.bmp.clone(), config.mrt.clone());
        let source = text("source")?.to_owned();
        daemon.running = Some(Running::new(config, source, &settings));
        daemon.set_collectors(&collectors);
        daemon.set_mrt(&mrt);
        daemon.listen_again_later();
        daemon.unnumbered.links = links;
        daemon.follow_interfaces();
        daemon.follow_kernel(tracked);
        Ok((daemon, handle, parting))
    }
}

fn place_to_json(place: &Place) -> Value {
    json!({ "local": place.local.to_string(), "device": place.device })
}

fn place_from_json(place: &Value) -> Option<Place> {
    let device = match &place["device"] {
        Value::Null => None,
        device => Some(device.as_str()?.to_owned()),
    };
    Some(Place { local: place["local"].as_str()?.parse().ok()?, device })
}

fn links_to_json(links: &Links) -> Value {
    let link =
        |(name, link): (&String, &Link)| (name.clone(), json!([link.address.to_string(), link.index.0]));
    Value::Object(links.iter().map(link).collect())
}

/// A daemon that knew no such neighbours names none.
fn links_from_json(links: &Value) -> Option<Links> {
    if links.is_null() {
        return Some(Links::new());
    }
    let link = |(name, link): (&String, &Value)| {
        let address = link[0].as_str()?.parse().ok()?;
        let index = IfIndex(u32::try_from(link[1].as_u64()?).ok()?);
        Some((name.clone(), Link { address, index }))
    };
    links.as_object()?.iter().map(link).collect()
}

/// The next part of what the sockets have not taken.
fn unwritten(pending: &mut &[u8]) -> Option<Bytes> {
    let (len, rest) = pending.split_first_chunk::<8>()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
    *pending = rest;
    Some(Bytes::copy_from_slice(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_of_interfaces_are_handed_over() {
        let link = Link { address: "fe80::1".parse().unwrap(), index: IfIndex(7) };
        let links = Links::from([("eth1".to_owned(), link)]);
        assert_eq!(links_from_json(&links_to_json(&links)), Some(links));
        assert_eq!(links_from_json(&Value::Null), Some(Links::new()));
        for wrong in
            [json!(1), json!({"eth1": []}), json!({"eth1": ["fe80::1", -1]}), json!({"eth1": ["x", 1]})]
        {
            assert_eq!(links_from_json(&wrong), None, "{wrong}");
        }
    }
}
