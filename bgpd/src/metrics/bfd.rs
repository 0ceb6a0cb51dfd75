//! Metrics of BFD sessions.

use std::time::Duration;

use bfd_core::{SessionView, State};

use super::names as name;
use super::text::Text;
use crate::bfd::Report;

/// Writes them; without BFD there are headings, and counters that stand at 0.
pub(super) fn write(report: Option<&Report>, text: &mut Text) {
    // A session that says goodbye has no name of its own: the next one with the same neighbour may be there already.
    let sessions: Vec<&SessionView> = report
        .iter()
        .flat_map(|report| &report.sessions)
        .filter(|session| session.state != State::AdminDown)
        .collect();
    text.family(name::BFD_UP, |out| {
        for session in &sessions {
            out.sample(&[&session.key.remote], u8::from(session.state == State::Up));
        }
    });
    text.family(name::BFD_STATE, |out| {
        sessions.iter().for_each(|session| out.sample(&[&session.key.remote], session.state.to_wire()));
    });
    text.family(name::BFD_TRANSITIONS, |out| {
        for session in &sessions {
            out.sample(&[&session.key.remote, &"up"], session.counters.up);
            out.sample(&[&session.key.remote, &"down"], session.counters.down);
        }
    });
    text.family(name::BFD_DIAGNOSTIC, |out| {
        for session in &sessions {
            out.sample(&[&session.key.remote, &"local"], session.diagnostic.to_wire());
            out.sample(&[&session.key.remote, &"remote"], session.remote.diagnostic.to_wire());
        }
    });
    for (metric, time) in [
        (name::BFD_DETECTION, (|session| session.detection_time) as fn(&SessionView) -> Option<Duration>),
        (name::BFD_TRANSMIT, |session| session.transmit_interval),
    ] {
        text.family(metric, |out| {
            for session in &sessions {
                out.sample(&[&session.key.remote], time(session).unwrap_or_default().as_secs_f64());
            }
        });
    }
    for (metric, count) in [
        (name::BFD_RECEIVED, (|session| session.counters.received) as fn(&SessionView) -> u64),
        (name::BFD_SENT, |session| session.counters.sent),
        (name::BFD_DISCARDED, |session| session.counters.discarded.total()),
    ] {
        text.family(metric, |out| {
            sessions.iter().for_each(|session| out.sample(&[&session.key.remote], count(session)));
        });
    }
    text.plain(name::BFD_STRAY, report.map_or(0, |report| report.discarded.total()));
    text.plain(name::BFD_SEND_ERRORS, report.map_or(0, |report| report.send_errors));
}
