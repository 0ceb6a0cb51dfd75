//! Traffic of our own, so that neither ping nor iperf need be installed and every lost packet is counted.
//!
//! [`ping()`] sends ICMP echo requests at a steady pace, [`serve`] echoes TCP and UDP, [`stream`] keeps one TCP connection busy with
//! numbered messages, [`datagrams_while`] sends such messages over UDP. Each reports a [`Report`] as one line of JSON. [`tell`] answers [`ask`] and
//! [`ask_all`] with the address that they are seen by, and [`sink`] counts what [`flood`] sends.

mod bulk;
mod checksum;
mod pace;
mod ping;
mod sctp;
mod seen;
mod tcp;
mod udp;

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use bulk::{Amount, flood, sink};
pub use pace::Pace;
pub use ping::{ping, ping_while};
pub use seen::{Seen, ask, ask_all, tell};
pub use tcp::{serve, stream, stream_while};
pub use udp::datagrams_while;

/// What came of a probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// Answers received.
    pub received: u64,
    /// The smallest round trip, in microseconds.
    pub min_us: u64,
    /// The mean round trip, in microseconds.
    pub mean_us: u64,
    /// The largest round trip, in microseconds.
    pub max_us: u64,
    /// What ended the probe early, if anything did.
    pub error: Option<String>,
}

impl Report {
    /// Requests without an answer.
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Reads the line that a probe printed.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text.trim()).with_context(|| format!("a probe printed `{}`", text.trim()))
    }

    fn note(&mut self, round_trip: Duration) {
        let time = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.min_us = if self.received == 0 { time } else { self.min_us.min(time) };
        self.max_us = self.max_us.max(time);
        self.mean_us = (self.mean_us * self.received + time) / (self.received + 1);
        self.received += 1;
    }
}
