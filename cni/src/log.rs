//! Lines for people on standard error. The runtime keeps or shows them; nothing reads them.

use std::fmt;
use std::io::Write as _;

/// From which weight on lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What failed.
    Error,
    /// What is odd but went well.
    Warn,
    /// One line for each call.
    Info,
    /// What was asked and answered.
    Debug,
}

impl Level {
    /// As in `log_level`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let known = [
            ("error", Self::Error),
            ("warn", Self::Warn),
            ("warning", Self::Warn),
            ("info", Self::Info),
            ("debug", Self::Debug),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| level)
    }
}

/// Writes lines up to a level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log(pub(crate) Level);

impl Log {
    pub(crate) fn line(self, level: Level, text: impl fmt::Display) {
        if level <= self.0 {
            // Nobody may be there to read it: that is no reason to fail.
            let _ = writeln!(std::io::stderr().lock(), "cairn-cni: {level:?}: {text}");
        }
    }
}
