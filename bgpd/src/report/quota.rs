//! How many lines one peer may cause.

/// Lines about one peer in a minute. A session that comes up and goes takes two.
const LINES: u32 = 20;

/// The lines about one peer in the current minute. The minute begins with the last line that is written.
#[derive(Debug, Default)]
pub(super) struct Quota {
    written: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It is written.
    Written,
    /// It is written, and no other one until [`Quota::renew`], a minute later.
    Last,
    /// It is counted.
    LeftOut,
}

impl Quota {
    /// Decides about the next line.
    pub(super) fn take(&mut self) -> Line {
        if self.written >= LINES {
            self.left_out += 1;
            return Line::LeftOut;
        }
        self.written += 1;
        if self.written == LINES { Line::Last } else { Line::Written }
    }

    /// Begins anew; says how many lines were left out.
    pub(super) fn renew(&mut self) -> u64 {
        std::mem::take(self).left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_quota_is_counted_until_it_is_renewed() {
        let mut quota = Quota::default();
        for _ in 0..2 {
            let lines: Vec<Line> = (0..1000).map(|_| quota.take()).collect();
            let count = |wanted| lines.iter().filter(|line| **line == wanted).count();
            assert_eq!((count(Line::Written), count(Line::Last), count(Line::LeftOut)), (19, 1, 980));
            assert_eq!(lines[19], Line::Last);
            assert_eq!(quota.renew(), 980);
        }
        assert_eq!(quota.renew(), 0);
    }
}
