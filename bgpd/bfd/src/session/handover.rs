//! A session as octets.

use std::time::{Duration, Instant};

use cairn_net::handover::{Damaged, Reader, Writer};

use super::{HISTORY, Poll, Session};
use crate::handover::Result;
use crate::packet::Discards;
use crate::packet::authentication::Sequence;
use crate::view::{Counters, Remote, Transition};
use crate::{Diagnostic, Discard, Key, SessionConfig, State};

impl Session {
    /// Writes everything but name and configuration.
    pub(crate) fn give(&self, now: Instant, out: &mut Writer) {
        let ago = |at: Instant| now.saturating_duration_since(at);
        out.u32(self.discriminator);
        out.u8(self.state.to_wire());
        out.duration(ago(self.since));
        out.u8(self.diagnostic.to_wire());
        give_remote(&self.remote, out);
        out.option(self.unconfirmed_rx, Writer::duration);
        out.option(self.unconfirmed_tx, Writer::duration);
        out.u8(match self.poll {
            Poll::Idle => 0,
            Poll::Asking => 1,
            Poll::AskingAgain => 2,
        });
        let (transmit, received) = self.sequence.parts();
        out.u32(transmit);
        out.option(received, |out, (number, until)| {
            out.u32(number);
            out.duration(until.saturating_duration_since(now));
        });
        out.flag(self.final_due);
        out.flag(self.news);
        out.option(self.last_sent, |out, at| out.duration(ago(at)));
        out.option(self.last_received, |out, at| out.duration(ago(at)));
        out.option(self.transmit_due, |out, at| out.duration(at.saturating_duration_since(now)));
        let counters = &self.counters;
        [counters.received, counters.sent, counters.up, counters.down]
            .into_iter()
            .for_each(|count| out.u64(count));
        Discard::ALL.into_iter().for_each(|reason| out.u64(counters.discarded.of(reason)));
        let (newer, older) = self.history.split_at(self.transitions % HISTORY);
        let history = || older.iter().chain(newer).flatten();
        // At most 16.
        out.u8(u8::try_from(history().count()).unwrap_or(u8::MAX));
        for change in history() {
            out.duration(ago(change.at));
            [change.from, change.to, change.remote].into_iter().for_each(|state| out.u8(state.to_wire()));
            out.u8(change.diagnostic.to_wire());
            out.u8(change.remote_diagnostic.to_wire());
        }
    }

    /// A session that goes on where another one was.
    pub(crate) fn take(
        key: Key,
        config: SessionConfig,
        seed: u64,
        now: Instant,
        reader: &mut Reader<'_>,
    ) -> Result<Self> {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let mut session = Self::new(key, config, reader.u32()?, seed, now);
        session.state = state(reader)?;
        session.since = before(reader.duration()?);
        session.diagnostic = diagnostic(reader)?;
        session.remote = take_remote(reader)?;
        session.unconfirmed_rx = reader.option(Reader::duration)?;
        session.unconfirmed_tx = reader.option(Reader::duration)?;
        session.poll = match reader.u8()? {
            0 => Poll::Idle,
            1 => Poll::Asking,
            2 => Poll::AskingAgain,
            _ => return Err(Damaged("a BFD session polls in an unknown way")),
        };
        let transmit = reader.u32()?;
        let received = reader.option(|reader| Ok((reader.u32()?, now + reader.duration()?)))?;
        session.sequence = Sequence::from_parts(transmit, received);
        session.final_due = reader.flag()?;
        session.news = reader.flag()?;
        session.last_sent = reader.option(Reader::duration)?.map(before);
        session.last_received = reader.option(Reader::duration)?.map(before);
        session.transmit_due = reader.option(Reader::duration)?.map(|left| now + left);
        session.armed_with = session.transmit_due.and(session.transmit_interval());
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = counter(reader)?;
        }
        let [received, sent, up, down] = counts;
        let mut discarded = [0; Discard::ALL.len()];
        for count in &mut discarded {
            *count = counter(reader)?;
        }
        session.counters = Counters { received, sent, discarded: Discards::from_counts(discarded), up, down };
        let transitions = usize::from(reader.u8()?);
        for place in 0..transitions {
            let at = before(reader.duration()?);
            let (from, to, remote) = (state(reader)?, state(reader)?, state(reader)?);
            let (diagnostic, remote_diagnostic) = (diagnostic(reader)?, diagnostic(reader)?);
            let place =
                session.history.get_mut(place).ok_or(Damaged("a BFD session has too long a history"))?;
            *place = Some(Transition { at, from, to, diagnostic, remote, remote_diagnostic });
        }
        session.transitions = transitions;
        session.set_detection();
        session.schedule(now);
        Ok(session)
    }
}

fn state(reader: &mut Reader<'_>) -> Result<State> {
    reader.u8().map(State::from_wire)
}

fn diagnostic(reader: &mut Reader<'_>) -> Result<Diagnostic> {
    reader.u8().map(Diagnostic::from_wire)
}

/// A count of something: one that could overflow is none.
fn counter(reader: &mut Reader<'_>) -> Result<u64> {
    let count = reader.u64()?;
    if count > u64::MAX / 2 { Err(Damaged("a BFD counter is too high")) } else { Ok(count) }
}

fn give_remote(remote: &Remote, out: &mut Writer) {
    out.u8(remote.state.to_wire());
    out.u8(remote.diagnostic.to_wire());
    for number in [
        remote.discriminator,
        remote.desired_min_tx,
        remote.required_min_rx,
        remote.required_min_echo_rx,
        remote.detect_mult.into(),
    ] {
        out.u32(number);
    }
    out.flag(remote.demand);
    out.flag(remote.control_plane_independent);
}

fn take_remote(reader: &mut Reader<'_>) -> Result<Remote> {
    Ok(Remote {
        state: state(reader)?,
        diagnostic: diagnostic(reader)?,
        discriminator: reader.u32()?,
        desired_min_tx: reader.u32()?,
        required_min_rx: reader.u32()?,
        required_min_echo_rx: reader.u32()?,
        detect_mult: u8::try_from(reader.u32()?)
            .map_err(|_| Damaged("a BFD detection multiplier is above 255"))?,
        demand: reader.flag()?,
        control_plane_independent: reader.flag()?,
    })
}
