//! Requests at a steady pace: a late or lost answer never delays the next one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Report;

/// How many requests, how fast, and how long to wait for the last answers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests to send.
    pub count: u64,
    /// Time from one to the next.
    pub interval: Duration,
    /// Time to wait after the last one.
    pub patience: Duration,
}

/// What sends requests that somebody answers.
pub(super) trait Echo {
    /// Sends a request, and says by which number its answer will be known.
    fn send(&mut self, number: u64) -> io::Result<u64>;

    /// Waits for whatever comes next, and returns the number of the request that it answers, if it answers one.
    fn receive(&mut self, patience: Duration) -> io::Result<Option<u64>>;
}

/// Sends requests for as long as they are wanted, and counts the answers.
pub(super) fn exchange(echo: &mut impl Echo, pace: Pace, wanted: &AtomicBool) -> Report {
    let mut exchange = Exchange { echo, pending: BTreeMap::new(), report: Report::default() };
    let started = Instant::now();
    while exchange.report.sent < pace.count && wanted.load(Ordering::Relaxed) {
        exchange.send();
        let next = started + pace.interval * u32::try_from(exchange.report.sent).unwrap_or(u32::MAX);
        exchange.receive_until(next);
    }
    let deadline = Instant::now() + pace.patience;
    while exchange.report.received < exchange.report.sent && Instant::now() < deadline {
        exchange.receive_until(deadline.min(Instant::now() + Duration::from_millis(10)));
    }
    exchange.report
}

struct Exchange<'a, E> {
    echo: &'a mut E,
    /// Requests that wait for their answer, and when they were sent.
    pending: BTreeMap<u64, Instant>,
    report: Report,
}

impl<E: Echo> Exchange<'_, E> {
    fn send(&mut self) {
        let number = self.report.sent;
        self.report.sent += 1;
        match self.echo.send(number) {
            Ok(known) => {
                self.pending.insert(known, Instant::now());
            }
            Err(error) => self.report.error = Some(format!("send: {error}")),
        }
    }

    /// Takes answers until a moment in time.
    fn receive_until(&mut self, moment: Instant) {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Less than a microsecond would be rounded to zero, which means for ever.
            match self.echo.receive(left.max(Duration::from_micros(1))) {
                Ok(number) => {
                    if let Some(sent) = number.and_then(|number| self.pending.remove(&number)) {
                        self.report.note(sent.elapsed());
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                // An ICMP error that belongs to some request: that one is lost, the others go on.
                Err(error) => self.report.error = Some(format!("receive: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Answers every request twice, but for one in ten, which it does not answer at all.
    #[derive(Default)]
    struct Forgetful(VecDeque<u64>);

    impl Echo for Forgetful {
        fn send(&mut self, number: u64) -> io::Result<u64> {
            if number % 10 != 9 {
                self.0.extend([number, number]);
            }
            Ok(number)
        }

        fn receive(&mut self, patience: Duration) -> io::Result<Option<u64>> {
            if self.0.is_empty() {
                std::thread::sleep(patience);
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(self.0.pop_front())
        }
    }

    #[test]
    fn every_answer_counts_once_and_what_is_lost_delays_nothing() {
        let pace =
            Pace { count: 50, interval: Duration::from_millis(1), patience: Duration::from_millis(20) };
        let report = exchange(&mut Forgetful::default(), pace, &AtomicBool::new(true));
        assert_eq!((report.sent, report.received, report.lost()), (50, 45, 5));
        let stopped = exchange(&mut Forgetful::default(), pace, &AtomicBool::new(false));
        assert_eq!(stopped, Report::default());
    }
}
