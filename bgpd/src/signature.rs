//! The kernel's counters of TCP segments that it dropped for their MD5 signature (RFC 2385).
//!
//! A wrong password shows nowhere else: both sides see silence.

/// The counters, and what they were at the last look.
#[derive(Debug, Default)]
pub(crate) struct SignatureCounters {
    last: Option<Dropped>,
}

/// Segments that were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Without a signature where one was due: `TCPMD5NotFound`.
    pub(crate) missing: u64,
    /// With a signature where none was due: `TCPMD5Unexpected`.
    pub(crate) unexpected: u64,
    /// With a wrong one: `TCPMD5Failure`.
    pub(crate) wrong: u64,
}

impl SignatureCounters {
    /// What was dropped since the last look; since the boot at the first one.
    pub(crate) fn since_last_look(&mut self) -> Dropped {
        let now = std::fs::read_to_string("/proc/net/netstat").map(|text| parse(&text)).unwrap_or_default();
        let last = self.last.replace(now).unwrap_or_default();
        Dropped {
            missing: now.missing.saturating_sub(last.missing),
            unexpected: now.unexpected.saturating_sub(last.unexpected),
            wrong: now.wrong.saturating_sub(last.wrong),
        }
    }
}

/// The file has pairs of lines: names, then values in the same order.
fn parse(text: &str) -> Dropped {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Dropped::default() };
    let counters = names.split_whitespace().zip(values.split_whitespace());
    let mut dropped = Dropped::default();
    for (name, value) in counters {
        let value = value.parse().unwrap_or(0);
        match name {
            "TCPMD5NotFound" => dropped.missing = value,
            "TCPMD5Unexpected" => dropped.unexpected = value,
            "TCPMD5Failure" => dropped.wrong = value,
            _ => {}
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure X\n\
                    TcpExt: 9 1 2 3 7\nIpExt: A\nIpExt: 5\n";
        assert_eq!(parse(text), Dropped { missing: 1, unexpected: 2, wrong: 3 });
        assert_eq!(parse("nothing"), Dropped::default());
    }
}
