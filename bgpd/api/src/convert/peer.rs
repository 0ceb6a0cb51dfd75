//! Neighbours and status.

use std::time::Duration;

use cairn_net::{Asn, Family};

use super::{FieldError, address, address_bytes, each, port, router_id, router_id_bytes, socket};
use crate::peer::{Counters, FamilyStatus, Peer, PeerEvent, PeerFamily, SessionState, SpeakerStatus, Status};
use crate::proto;

impl From<SessionState> for proto::SessionState {
    fn from(state: SessionState) -> Self {
        match state {
            SessionState::Idle => Self::Idle,
            SessionState::Connect => Self::Connect,
            SessionState::Active => Self::Active,
            SessionState::OpenSent => Self::OpenSent,
            SessionState::OpenConfirm => Self::OpenConfirm,
            SessionState::Established => Self::Established,
        }
    }
}

fn state(number: i32) -> Result<SessionState, FieldError> {
    Ok(match proto::SessionState::try_from(number) {
        Ok(proto::SessionState::Idle) => SessionState::Idle,
        Ok(proto::SessionState::Connect) => SessionState::Connect,
        Ok(proto::SessionState::Active) => SessionState::Active,
        Ok(proto::SessionState::OpenSent) => SessionState::OpenSent,
        Ok(proto::SessionState::OpenConfirm) => SessionState::OpenConfirm,
        Ok(proto::SessionState::Established) => SessionState::Established,
        Ok(proto::SessionState::Unspecified) | Err(_) => {
            return Err(FieldError::new("state", number, "is not a known state"));
        }
    })
}

fn family(number: i32) -> Result<Family, FieldError> {
    super::family(number)?.ok_or_else(|| FieldError::new("family", number, "is required"))
}

/// Seconds as they travel. A hold time has at most 65535 of them.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl From<Peer> for proto::Peer {
    fn from(peer: Peer) -> Self {
        Self {
            address: address_bytes(peer.address),
            remote_as: peer.remote_as.0,
            local_as: peer.local_as.0,
            description: peer.description,
            enabled: peer.enabled,
            state: proto::SessionState::from(peer.state).into(),
            state_seconds: peer.state_for.as_secs(),
            last_error: peer.last_error,
            last_error_seconds: peer.last_error_age.as_secs(),
            notes: peer.notes,
            established_count: peer.established_count,
            router_id: peer.router_id.map(router_id_bytes).unwrap_or_default(),
            local_address: peer.local.map(|local| address_bytes(local.ip())).unwrap_or_default(),
            local_port: peer.local.map_or(0, |local| local.port().into()),
            remote_port: peer.remote_port.unwrap_or(0).into(),
            hold_time_seconds: seconds(peer.hold_time),
            keepalive_time_seconds: seconds(peer.keepalive_time),
            capabilities: peer.capabilities,
            families: each(peer.families),
            messages_received: peer.counters.messages_received,
            messages_sent: peer.counters.messages_sent,
            updates_received: peer.counters.updates_received,
            updates_sent: peer.counters.updates_sent,
            received: Some(peer.counters.received.into()),
            sent: Some(peer.counters.sent.into()),
            capabilities_sent: peer.capabilities_sent,
            capabilities_received: peer.capabilities_received,
            notification_sent: peer.notification_sent.map(Into::into),
            notification_received: peer.notification_received.map(Into::into),
            dropped_count: peer.dropped_count,
            up_down_seconds: peer.up_down.map(|time| time.as_secs()),
            hold_timer_milliseconds: super::history::milliseconds(peer.hold_timer),
            keepalive_timer_milliseconds: super::history::milliseconds(peer.keepalive_timer),
            connect_timer_milliseconds: super::history::milliseconds(peer.connect_timer),
        }
    }
}

impl TryFrom<proto::Peer> for Peer {
    type Error = FieldError;

    fn try_from(message: proto::Peer) -> Result<Self, FieldError> {
        Ok(Self {
            address: address("address", &message.address)?,
            remote_as: Asn(message.remote_as),
            local_as: Asn(message.local_as),
            enabled: message.enabled,
            state: state(message.state)?,
            state_for: Duration::from_secs(message.state_seconds),
            established_count: message.established_count,
            router_id: router_id("router_id", &message.router_id)?,
            local: socket(&message.local_address, message.local_port)?,
            remote_port: Some(port("remote_port", message.remote_port)?).filter(|port| *port != 0),
            hold_time: Duration::from_secs(message.hold_time_seconds.into()),
            keepalive_time: Duration::from_secs(message.keepalive_time_seconds.into()),
            counters: Counters {
                messages_received: message.messages_received,
                messages_sent: message.messages_sent,
                updates_received: message.updates_received,
                updates_sent: message.updates_sent,
                received: message.received.unwrap_or_default().into(),
                sent: message.sent.unwrap_or_default().into(),
            },
            dropped_count: message.dropped_count,
            up_down: message.up_down_seconds.map(Duration::from_secs),
            hold_timer: Duration::from_millis(message.hold_timer_milliseconds),
            keepalive_timer: Duration::from_millis(message.keepalive_timer_milliseconds),
            connect_timer: Duration::from_millis(message.connect_timer_milliseconds),
            capabilities_sent: message.capabilities_sent,
            capabilities_received: message.capabilities_received,
            notification_sent: message.notification_sent.map(TryInto::try_into).transpose()?,
            notification_received: message.notification_received.map(TryInto::try_into).transpose()?,
            families: message.families.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            description: message.description,
            last_error: message.last_error,
            last_error_age: Duration::from_secs(message.last_error_seconds),
            notes: message.notes,
            capabilities: message.capabilities,
        })
    }
}

impl From<PeerFamily> for proto::PeerFamily {
    fn from(part: PeerFamily) -> Self {
        Self {
            family: proto::Family::from(part.family).into(),
            received: part.received,
            accepted: part.accepted,
            sent: part.sent,
            end_of_rib: part.end_of_rib,
            stale: part.stale,
        }
    }
}

impl TryFrom<&proto::PeerFamily> for PeerFamily {
    type Error = FieldError;

    fn try_from(message: &proto::PeerFamily) -> Result<Self, FieldError> {
        Ok(Self {
            family: family(message.family)?,
            received: message.received,
            accepted: message.accepted,
            sent: message.sent,
            end_of_rib: message.end_of_rib,
            stale: message.stale,
        })
    }
}

impl From<PeerEvent> for proto::PeerEvent {
    fn from(event: PeerEvent) -> Self {
        match event {
            PeerEvent::Changed(peer) => Self { peer: Some((*peer).into()), ..Self::default() },
            PeerEvent::Removed(addr) => Self {
                peer: Some(proto::Peer { address: address_bytes(addr), ..proto::Peer::default() }),
                removed: true,
                in_sync: false,
            },
            PeerEvent::InSync => Self { in_sync: true, ..Self::default() },
        }
    }
}

impl TryFrom<proto::PeerEvent> for PeerEvent {
    type Error = FieldError;

    fn try_from(message: proto::PeerEvent) -> Result<Self, FieldError> {
        match (message.peer, message.removed, message.in_sync) {
            (Some(peer), true, _) => address("peer.address", &peer.address).map(Self::Removed),
            (Some(peer), false, _) => Ok(Self::Changed(Box::new(peer.try_into()?))),
            (None, _, true) => Ok(Self::InSync),
            (None, _, false) => Err(FieldError::new("peer", (), "is required")),
        }
    }
}

impl From<Status> for proto::GetStatusResponse {
    fn from(status: Status) -> Self {
        Self {
            version: status.version,
            pid: status.pid,
            uptime_seconds: status.uptime.as_secs(),
            configured: status.speaker.is_some(),
            router_id: status.speaker.map(|speaker| router_id_bytes(speaker.router_id)).unwrap_or_default(),
            local_as: status.speaker.map_or(0, |speaker| speaker.local_as.0),
            listening: status.listening,
            peers: status.peers,
            peers_established: status.peers_established,
            families: status
                .families
                .into_iter()
                .map(|part| proto::FamilyStatus {
                    family: proto::Family::from(part.family).into(),
                    complete: part.complete,
                })
                .collect(),
            prefixes: status.prefixes,
            attribute_sets: status.attribute_sets,
        }
    }
}

impl TryFrom<proto::GetStatusResponse> for Status {
    type Error = FieldError;

    fn try_from(message: proto::GetStatusResponse) -> Result<Self, FieldError> {
        let local_as = Asn(message.local_as);
        Ok(Self {
            version: message.version,
            pid: message.pid,
            uptime: Duration::from_secs(message.uptime_seconds),
            speaker: router_id("router_id", &message.router_id)?
                .map(|router_id| SpeakerStatus { router_id, local_as }),
            listening: message.listening,
            peers: message.peers,
            peers_established: message.peers_established,
            families: message
                .families
                .iter()
                .map(|part| Ok(FamilyStatus { family: family(part.family)?, complete: part.complete }))
                .collect::<Result<_, FieldError>>()?,
            prefixes: message.prefixes,
            attribute_sets: message.attribute_sets,
        })
    }
}
