//! BFD sessions as other programs see them.

use std::net::IpAddr;

use bfd_core::packet::Discards;
use bfd_core::{Hops, SessionView, State, Transition};
use bgpd_api::bfd::{BfdDiscard, BfdOffer, BfdPage, BfdSession, BfdState, BfdTransition};

use crate::bfd::Report;

/// Sessions in a page.
const PAGE: usize = 256;

/// A report in pages; the first one is there even if it is empty.
pub(crate) fn pages(report: Option<Report>, only: Option<IpAddr>) -> Vec<BfdPage> {
    let Some(report) = report else { return vec![BfdPage::default()] };
    let wanted = report.sessions.iter().filter(|view| only.is_none_or(|peer| view.key.remote == peer));
    let sessions: Vec<BfdSession> = wanted.map(session).collect();
    let mut pages: Vec<BfdPage> = sessions
        .chunks(PAGE)
        .map(|sessions| BfdPage { sessions: sessions.to_vec(), ..BfdPage::default() })
        .collect();
    if pages.is_empty() {
        pages.push(BfdPage::default());
    }
    if let Some(first) = pages.first_mut() {
        first.discarded = discards(&report.discarded);
        first.send_errors = report.send_errors;
    }
    pages
}

fn discards(discards: &Discards) -> Vec<BfdDiscard> {
    discards.iter().map(|(reason, count)| BfdDiscard { reason: reason.to_string(), count }).collect()
}

fn state(state: State) -> BfdState {
    match state {
        State::AdminDown => BfdState::AdminDown,
        State::Down => BfdState::Down,
        State::Init => BfdState::Init,
        State::Up => BfdState::Up,
    }
}

fn session(view: &SessionView) -> BfdSession {
    let micros = |time: u32| std::time::Duration::from_micros(time.into());
    let remote = &view.remote;
    BfdSession {
        peer: view.key.remote,
        local_address: view.key.local,
        multihop: view.key.hops == Hops::Multi,
        state_for: view.since.elapsed(),
        diagnostic: view.diagnostic.to_string(),
        remote_diagnostic: remote.diagnostic.to_string(),
        local: BfdOffer {
            discriminator: view.discriminator,
            state: state(view.state),
            desired_min_tx: view.desired_min_tx,
            required_min_rx: view.required_min_rx,
            required_min_echo_rx: std::time::Duration::ZERO,
            detect_multiplier: view.detect_mult,
            demand: false,
            control_plane_independent: false,
        },
        remote: BfdOffer {
            discriminator: remote.discriminator,
            state: state(remote.state),
            desired_min_tx: micros(remote.desired_min_tx),
            required_min_rx: micros(remote.required_min_rx),
            required_min_echo_rx: micros(remote.required_min_echo_rx),
            detect_multiplier: remote.detect_mult,
            demand: remote.demand,
            control_plane_independent: remote.control_plane_independent,
        },
        transmit_interval: view.transmit_interval.unwrap_or_default(),
        detection_time: view.detection_time.unwrap_or_default(),
        polling: view.polling,
        authentication: view.authentication.map(|kind| kind.to_string()).unwrap_or_default(),
        last_packet_age: view.last_received.map(|at| at.elapsed()),
        packets_received: view.counters.received,
        packets_sent: view.counters.sent,
        packets_discarded: discards(&view.counters.discarded),
        up_count: view.counters.up,
        down_count: view.counters.down,
        history: view.history.iter().map(transition).collect(),
    }
}

fn transition(change: &Transition) -> BfdTransition {
    BfdTransition {
        age: change.at.elapsed(),
        from: state(change.from),
        to: state(change.to),
        diagnostic: change.diagnostic.to_string(),
        remote_state: state(change.remote),
        remote_diagnostic: change.remote_diagnostic.to_string(),
    }
}
