//! Reading the state.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_net::handover::{Damaged, Reader};
use cairn_net::{Asn, Families, Family};

use super::codec;
use super::give::CONTEXT;
use super::{STATE_VERSION, Surroundings, TakeOverError, TakenOver, kernel, most_places};
use crate::fsm::{Agreement, Fsm, State};
use crate::rib::{ImportRules, NewPath, PathId, SourceId, Table, Verdict, Verdicts};
use crate::speaker::condition::Conditions;
use crate::speaker::configure::is_multipath;
use crate::speaker::connection::{Connection, Opens};
use crate::speaker::establish::import_rules;
use crate::speaker::peer::{PeerId, jitter};
use crate::speaker::retention::{Phase, Retention};
use crate::speaker::{BfdState, Config, Direction, Interface, OriginatedRoute, Speaker};
use crate::wire::{DecodeContext, EXTENDED_MAX_MESSAGE_LEN, Framer, Message, Nlri, Open, PeerKind, WireList};

type Result<T, E = TakeOverError> = std::result::Result<T, E>;

/// A session as it was handed over.
struct SessionState<'a> {
    direction: Direction,
    ends: Option<(std::net::SocketAddr, std::net::SocketAddr)>,
    opens: Opens,
    age: Duration,
    routes_age: Duration,
    complete: Families,
    refreshing: [Option<Duration>; 2],
    keepalive: Option<Duration>,
    unread: &'a [u8],
    control: &'a [u8],
    dumps: Families,
    refreshes: Families,
    end_of_ribs: Families,
    routes: Vec<Nlri>,
}

/// Paths of one message or several, as far as they are not in it.
struct Common {
    learned: u32,
    stale: bool,
    /// The paths' numbers in the table, in order; none where no peer knows them.
    places: Vec<u32>,
}

impl Speaker {
    /// A speaker that goes on where another one was when it wrote `state`, with the configuration that the other one had. The
    /// sessions are in the order of `HandedOver::connections`.
    ///
    /// # Errors
    /// If the state is not one of this version, or does not fit the configuration. Nothing has happened then.
    pub fn take_over(
        now: Instant,
        config: &Config,
        surroundings: Surroundings,
        state: &[u8],
    ) -> Result<(Self, Vec<TakenOver>)> {
        let mut reader = Reader(state);
        let found = reader.u32()?;
        if found != STATE_VERSION {
            return Err(TakeOverError::Version { found });
        }
        let mut speaker = Self::new(now);
        speaker.started = before(now, reader.duration()?);
        speaker.next_conn = reader.u64()?;
        if speaker.next_conn > u64::MAX / 2 {
            return Err(TakeOverError::Damaged("there were too many connections"));
        }
        let most = most_places(state.len());
        speaker.interfaces = reader.list(|reader| Ok(Interface { addresses: reader.list(Reader::addr)? }))?;
        speaker.config = Some(config.clone());
        speaker.configure_tracking(config.next_hop_tracking);
        let kernel = reader.option(kernel::table)?;
        speaker.adopt_kernel(kernel, surroundings.links);
        speaker.rib.watch(false);
        speaker.rib.table.multipath = is_multipath(config);
        speaker.rib.conditions = Conditions::new(config, &speaker.rib.table);
        speaker.configure_aggregates(config);
        for (address, peer) in &config.peers {
            speaker.insert_peer(*address, peer, config);
        }
        for _ in 0..reader.count()? {
            speaker.take_owner(most, &mut reader)?;
        }
        let mut sessions = Vec::new();
        for _ in 0..reader.count()? {
            let (address, id) = speaker.take_peer(config, &mut reader)?;
            let session = reader.option(take_session)?;
            if session.is_some() && id.is_none_or(|id| !speaker.peers[id].is_enabled()) {
                return Err(TakeOverError::UnknownPeer(address));
            }
            speaker.take_routes((config, most), id, session.as_ref(), &mut reader)?;
            sessions.extend(id.zip(session));
        }
        if !reader.0.is_empty() {
            return Err(TakeOverError::Damaged("it goes on after its end"));
        }
        speaker.rib.table.end_restore();
        // Before anybody is a member of a group: nobody is told what was known already.
        speaker.flush();
        let taken =
            sessions.into_iter().map(|(id, session)| speaker.resume(id, session)).collect::<Result<_>>()?;
        speaker.begin_others();
        for family in Family::ALL {
            speaker.rib.report_end(family);
        }
        Ok((speaker, taken))
    }

    /// Starts the peers that had no session.
    fn begin_others(&mut self) {
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        for id in ids {
            if self.peers[id].is_enabled() && self.peers[id].session.is_none() {
                self.start(id);
            }
            self.schedule(id);
        }
    }

    fn take_owner(&mut self, most: usize, reader: &mut Reader<'_>) -> Result<()> {
        let owner = reader.text()?;
        let source = self.owner(&owner);
        for _ in 0..reader.count()? {
            let prefix = reader.prefix()?;
            let learned = reader.u32()?;
            let damaged = TakeOverError::Damaged("a list of communities has a wrong length");
            let route = OriginatedRoute {
                next_hop: reader.option(Reader::addr)?,
                local_pref: reader.option(Reader::u32)?,
                med: reader.option(Reader::u32)?,
                communities: list(reader.bytes()?).ok_or(damaged.clone())?,
                large_communities: list(reader.bytes()?).ok_or(damaged.clone())?,
                extended_communities: list(reader.bytes()?).ok_or(damaged)?,
                ..OriginatedRoute::new(prefix)
            };
            let place = reader.option(Reader::u32)?.map(|place| (PathId(place), most));
            let new = self.own_path(&route, learned);
            enter(&mut self.rib.table, source, prefix.into(), new, place)?;
        }
        Ok(())
    }

    /// The address of a record and its peer, if it is configured or may go on as one of its listen range.
    fn take_peer(&mut self, config: &Config, reader: &mut Reader<'_>) -> Result<(IpAddr, Option<PeerId>)> {
        let now = self.now;
        let address = reader.addr()?;
        let range = reader.option(Reader::prefix)?;
        let asn = Asn(reader.u32()?);
        let router_id = reader.u32()?;
        let stopped = reader.option(Reader::text)?;
        let restart_at = reader.option(Reader::duration)?.map(|left| now + left);
        let bfd = match reader.u8()? {
            0 => BfdState::Down,
            1 => BfdState::Up,
            2 => BfdState::AdminDown,
            _ => return Err(TakeOverError::Damaged("an unknown state of BFD")),
        };
        let since = before(now, reader.duration()?);
        let mut counts = [0; 11];
        for count in &mut counts {
            *count = reader.u64()?;
        }
        let mut retained = [None; 2];
        for retention in &mut retained {
            *retention = reader.option(|reader| take_retention(now, reader))?;
        }
        let id = match range {
            None => self.by_address.get(&address).copied(),
            Some(range) => self.resume_dynamic(config, address, range, asn),
        };
        let Some(id) = id else { return Ok((address, None)) };
        if config.may_have(&self.peers[id].config, asn) {
            self.know_as(id, asn);
        }
        let peer = &mut self.peers[id];
        peer.stopped = stopped;
        peer.restart_at = restart_at;
        peer.bfd = bfd;
        peer.state.1 = since;
        peer.retained = retained;
        let counters = &mut peer.counters;
        [
            counters.opens_received,
            counters.opens_sent,
            counters.updates_received,
            counters.updates_sent,
            counters.notifications_received,
            counters.notifications_sent,
            counters.keepalives_received,
            counters.keepalives_sent,
            counters.route_refreshes_received,
            counters.route_refreshes_sent,
            counters.established,
        ] = counts;
        self.rib.table.sources[peer.source].router_id = router_id;
        Ok((address, Some(id)))
    }

    fn take_routes(
        &mut self,
        (config, most): (&Config, usize),
        id: Option<PeerId>,
        session: Option<&SessionState<'_>>,
        reader: &mut Reader<'_>,
    ) -> Result<()> {
        let rules = id.map(|id| {
            let local = session.and_then(|session| session.ends).map(|(local, _)| local.ip().to_canonical());
            (id, import_rules(config, &self.peers[id], local))
        });
        for _ in 0..reader.count()? {
            let common =
                Common { learned: reader.u32()?, stale: reader.flag()?, places: reader.list(Reader::u32)? };
            let updates = reader.bytes()?;
            if let Some((id, rules)) = &rules {
                self.enter_updates(*id, rules, (common, most), updates)?;
            }
        }
        Ok(())
    }

    fn enter_updates(
        &mut self,
        id: PeerId,
        rules: &ImportRules,
        (common, most): (Common, usize),
        updates: &[u8],
    ) -> Result<()> {
        let Common { learned, stale, places } = common;
        let numbered = !places.is_empty();
        let mut places = places.into_iter().map(|place| (PathId(place), most));
        let context = context(rules.kind.peer_kind());
        let Self { peers, rib, .. } = self;
        let (source, hits) = (peers[id].source, &peers[id].import_hits);
        let mut framer = Framer::default();
        framer.allow_extended_messages();
        framer.push(updates);
        let damaged = TakeOverError::Damaged("a route cannot be read");
        while let Some(frame) = framer.next_frame().map_err(|_| damaged.clone())? {
            let Ok(Message::Update(update)) = Message::decode(&frame, &context) else { return Err(damaged) };
            let Some(attributes) = update.attributes.filter(|_| update.faults.is_empty()) else {
                return Err(damaged);
            };
            for part in update.reach {
                let received = rib.interner.intern(attributes.clone(), part.next_hop);
                let check = rules.check(&received);
                let prepared = rules.prepared(&received, &mut rib.interner);
                let mut verdicts = Verdicts::default();
                for nlri in part.nlri {
                    let verdict = match check {
                        Ok(()) => {
                            rules.filter(nlri.prefix, &prepared, &mut rib.interner, &mut verdicts, hits)
                        }
                        Err(rejection) => Verdict::Rejected(rejection),
                    };
                    let place = places.next();
                    if place.is_some() != numbered {
                        return Err(damaged);
                    }
                    let table = &mut rib.table;
                    let new = NewPath { received: Arc::clone(&received), verdict, learned };
                    enter(table, source, nlri, new, place)?;
                    let net = table.find(nlri.prefix).filter(|_| stale);
                    if let Some(path) = net.and_then(|net| table.path_of(net, source, nlri.path_id)) {
                        table.set_stale(path, true);
                    }
                }
            }
        }
        if framer.buffered() == 0 && places.next().is_none() { Ok(()) } else { Err(damaged) }
    }

    /// The session goes on.
    fn resume(&mut self, id: PeerId, state: SessionState<'_>) -> Result<TakenOver> {
        let now = self.now;
        let conn = self.allocate_conn();
        let peer = self.peers[id].address;
        let (Some(settings), Some(config)) = (self.settings_of(id), &self.config) else {
            return Err(TakeOverError::UnknownPeer(peer));
        };
        let jitter = jitter(config.router_id, peer);
        let (sent, received) = (open(&state.opens.sent)?, open(&state.opens.received)?);
        let agreement = Agreement::between(&sent, received, &settings.timers);
        let keepalive = state.keepalive.map(|left| now + left);
        let fsm = Fsm::resumed(settings, jitter, state.direction, conn, (agreement.clone(), keepalive), now);
        let entry = &mut self.peers[id];
        match state.direction {
            Direction::Outbound => {
                entry.connector = fsm;
                entry.attempt = Some(conn);
            }
            Direction::Inbound => entry.accepted.push(fsm),
        }
        entry.state.0 = State::Established;
        let mut connection = Connection::new(id);
        connection.ends = state.ends;
        connection.opens = state.opens;
        if agreement.negotiated.max_message_len == EXTENDED_MAX_MESSAGE_LEN {
            connection.framer.allow_extended_messages();
        }
        connection.framer.push(state.unread);
        if !state.control.is_empty() {
            connection.control.push_back(Bytes::copy_from_slice(state.control));
        }
        self.connections.insert(conn, connection);
        let local = state.ends.map(|(local, _)| local.ip());
        let Some(mut session) = self.new_session(id, conn, &agreement, local) else {
            return Err(TakeOverError::UnknownPeer(peer));
        };
        session.since = before(now, state.age);
        session.last_routes = before(now, state.routes_age);
        session.complete = state.complete;
        session.refreshing = state.refreshing.map(|left| left.map(|left| now + left));
        let place = self.rib.groups[session.group].group.end();
        state.dumps.iter().for_each(|family| session.cursor.dump(family));
        for family in state.refreshes.iter() {
            // How far it came is not known here: all between begin and end once more.
            session.cursor.end_of_refresh_after_dump(family);
            session.cursor.dump(family);
        }
        state.end_of_ribs.iter().for_each(|family| session.cursor.end_of_rib_after(family, place));
        session.cursor.refresh(state.routes);
        let news = self.rib.groups[session.group].group.has_news_for(&session.cursor);
        self.peers[id].session = Some(session);
        if news || !state.control.is_empty() {
            self.wake(conn);
        }
        self.schedule(id);
        Ok(TakenOver { conn, peer })
    }
}

/// Enters a path, with a place below a limit if it is to have the number that it had.
fn enter(
    table: &mut Table,
    source: SourceId,
    nlri: Nlri,
    new: NewPath,
    place: Option<(PathId, usize)>,
) -> Result<()> {
    let Some(place) = place else {
        table.announce(source, nlri, new);
        return Ok(());
    };
    if table.restore(source, nlri, new, place) {
        Ok(())
    } else {
        Err(TakeOverError::Damaged("a path is twice in the table, or at a place that it cannot have"))
    }
}

fn take_session<'a>(reader: &mut Reader<'a>) -> Result<SessionState<'a>, Damaged> {
    let direction = if reader.flag()? { Direction::Inbound } else { Direction::Outbound };
    let ends = reader.option(|reader| Ok((reader.socket()?, reader.socket()?)))?;
    let opens = Opens {
        sent: Bytes::copy_from_slice(reader.bytes()?),
        received: Bytes::copy_from_slice(reader.bytes()?),
    };
    Ok(SessionState {
        direction,
        ends,
        opens,
        age: reader.duration()?,
        routes_age: reader.duration()?,
        complete: reader.families()?,
        refreshing: [reader.option(Reader::duration)?, reader.option(Reader::duration)?],
        keepalive: reader.option(Reader::duration)?,
        unread: reader.bytes()?,
        control: reader.bytes()?,
        dumps: reader.families()?,
        refreshes: reader.families()?,
        end_of_ribs: reader.families()?,
        routes: reader.list(codec::nlri)?,
    })
}

fn take_retention(now: Instant, reader: &mut Reader<'_>) -> Result<Retention, Damaged> {
    let (until, limit) = (now + reader.duration()?, now + reader.duration()?);
    let phase = if reader.flag()? {
        Phase::LongLived
    } else {
        Phase::Restarting { long_lived: reader.option(Reader::duration)? }
    };
    Ok(Retention { until, limit, phase })
}

fn open(bytes: &[u8]) -> Result<Open> {
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    framer.push(bytes);
    let frame = framer.next_frame().ok().flatten();
    match frame.map(|frame| Message::decode(&frame, &context(PeerKind::External))) {
        Some(Ok(Message::Open(open))) => Ok(open),
        _ => Err(TakeOverError::Damaged("an OPEN cannot be read")),
    }
}

fn list<T: crate::wire::WireElement>(wire: &[u8]) -> Option<Vec<T>> {
    Some(WireList::from_wire(wire)?.iter().collect())
}

/// What [`CONTEXT`] has written; who sent it decides which attributes there may be.
fn context(peer: PeerKind) -> DecodeContext {
    DecodeContext {
        peer,
        four_octet_as: CONTEXT.four_octet_as,
        families: Families::ALL,
        add_path: CONTEXT.add_path,
        extended_next_hop: true,
        first_as: None,
    }
}

/// A time so long ago; a clock that does not reach back so far begins there.
fn before(now: Instant, age: Duration) -> Instant {
    now.checked_sub(age).unwrap_or(now)
}
