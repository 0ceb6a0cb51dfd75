use std::collections::VecDeque;

use bytes::Bytes;

use crate::rib::source::SourceId;

/// Whom a part of the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// All but the source of the routes.
    AllBut(SourceId),
    /// Only this member: its own path became the best, so what it was told before ends.
    Only(SourceId),
}

impl Audience {
    /// Is the member in it?
    pub(super) fn includes(self, member: SourceId) -> bool {
        match self {
            Self::AllBut(source) => source != member,
            Self::Only(source) => source == member,
        }
    }
}

/// Some whole messages with one audience, in one buffer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    pub(super) audience: Audience,
    pub(super) messages: u32,
}

/// The messages of a group, the oldest first; a place in it is a number that only grows.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The place of the first entry that is kept.
    base: u64,
    bytes: usize,
}

impl Log {
    /// Octets that are kept for members that lag behind. What is cut off beyond is sent from the table.
    ///
    /// A prefix takes about ten octets here and four times as many in the set of what a member missed, so the window holds a
    /// full table: it costs less to keep than to cut.
    pub(super) const WINDOW: usize = 16 << 20;

    /// The place after the last entry.
    pub(super) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The place of the first entry.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Octets that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes.len();
        self.entries.push_back(entry);
    }

    /// The entry at a place; `None` at the end, or if it is no longer kept.
    pub(super) fn get(&self, place: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(place.checked_sub(self.base)?).ok()?)
    }

    /// Is more kept than the window allows?
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes > Self::WINDOW
    }

    /// Takes the first entry away.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.base += 1;
        self.bytes -= entry.bytes.len();
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
