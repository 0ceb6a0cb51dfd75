use std::collections::VecDeque;

use bytes::Bytes;
use cairn_net::{Families, Family};
use foldhash::HashSet;

use super::{Group, catch_up};
use crate::rib::source::SourceId;
use crate::rib::table::Table;
use crate::wire::{AfiSafi, Nlri, RefreshSubtype, RouteRefresh, encode_end_of_rib};

/// What a member of a group has been told, as a place in the group's log, and what it is to be told before it reads on.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The place in the log.
    next: u64,
    /// Nothing was handed out yet: what the log holds by then is in the table that is sent first.
    newcomer: bool,
    /// Counted by the group as lagging.
    pub(crate) behind: bool,
    /// The next place of the table to send, by family; `None`: the family is complete.
    dump: [Option<u32>; 2],
    /// The place of the log after which to send End-of-RIB, by family; `None`: sent, or not yet to be sent.
    end_of_rib: [Option<u64>; 2],
    /// The dump of a family is the answer to a request, whose end is to be marked (RFC 7313).
    refresh: [bool; 2],
    /// The place of the log after which to mark it.
    end_of_refresh: [Option<u64>; 2],
    /// Routes whose messages were cut off the log before they were read.
    missed: HashSet<Nlri>,
    /// Made by catching up, not handed out yet.
    ready: VecDeque<(Bytes, u32)>,
}

/// What a member has not been told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// Families that are to be sent whole.
    pub(crate) dumps: Families,
    /// Families of which a refresh was begun whose end is not marked yet (RFC 7313).
    pub(crate) refreshes: Families,
    /// Families of which End-of-RIB is due after all else.
    pub(crate) end_of_ribs: Families,
    /// Routes that are to be sent anew, each once.
    pub(crate) routes: Vec<Nlri>,
}

/// What a call of [`Group::read`] handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: usize,
    /// UPDATEs.
    pub(crate) messages: u64,
    /// Marks of the end of a refresh.
    pub(crate) refreshes: u64,
    /// End-of-RIBs among them.
    pub(crate) more: bool,
}

impl Cursor {
    /// At a place of the log, with nothing to catch up.
    pub(crate) fn at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Of a member that has not been told anything; it is to be sent all its families.
    pub(crate) fn of_newcomer(next: u64) -> Self {
        Self { newcomer: true, ..Self::at(next) }
    }

    /// Send the whole family from the table.
    pub(crate) fn dump(&mut self, family: Family) {
        self.dump[family as usize] = Some(0);
    }

    /// Mark the end of the family's next dump as the end of a refresh.
    pub(crate) fn end_of_refresh_after_dump(&mut self, family: Family) {
        self.refresh[family as usize] = true;
        self.end_of_refresh[family as usize] = None;
    }

    /// Send End-of-RIB once everything up to this place of the log is sent.
    pub(crate) fn end_of_rib_after(&mut self, family: Family, place: u64) {
        self.end_of_rib[family as usize] = Some(place);
    }

    /// Send these routes anew, as they are then.
    pub(crate) fn refresh(&mut self, routes: impl IntoIterator<Item = Nlri>) {
        if !self.newcomer {
            self.missed.extend(routes);
        }
    }

    /// How many routes are to be sent anew.
    pub(crate) fn missed(&self) -> usize {
        self.missed.len()
    }

    /// The part of the log at this place is about to go: if it was not read, its routes are to be sent anew.
    pub(crate) fn lose(&mut self, place: u64, for_me: bool, routes: &[Nlri]) {
        if self.next == place {
            self.next += 1;
            if for_me && !self.newcomer {
                self.missed.extend(routes);
            }
        }
    }

    /// What was not sent yet, for another group, whose members begin at this place.
    pub(crate) fn moved_to(mut self, place: u64) -> Self {
        self.next = place;
        self.behind = false;
        for after in self.end_of_rib.iter_mut().chain(&mut self.end_of_refresh).flatten() {
            *after = place;
        }
        self
    }
}

impl Group {
    /// The place at which a new member begins.
    pub(crate) fn end(&self) -> u64 {
        self.log.end()
    }

    /// Appends messages for a member to `out`, until `budget` octets or nothing is left.
    pub(crate) fn read(
        &self,
        table: &Table,
        cursor: &mut Cursor,
        me: SourceId,
        budget: usize,
        out: &mut Vec<Bytes>,
    ) -> Progress {
        if std::mem::take(&mut cursor.newcomer) {
            cursor.next = self.log.end();
        }
        let mut progress = Progress::default();
        while progress.bytes < budget {
            let Some((bytes, messages)) = self.next_for(table, cursor, me) else {
                return progress;
            };
            progress.bytes += bytes.len();
            progress.messages += u64::from(messages);
            progress.refreshes += u64::from(messages == 0);
            out.push(bytes);
        }
        progress.more = true;
        progress
    }

    /// The next piece, and how many UPDATEs it has: none in the mark of the end of a refresh.
    fn next_for(&self, table: &Table, cursor: &mut Cursor, me: SourceId) -> Option<(Bytes, u32)> {
        loop {
            if let Some(ready) = cursor.ready.pop_front() {
                return Some(ready);
            }
            if let Some(family) =
                Family::ALL.into_iter().find(|family| cursor.dump[*family as usize].is_some())
            {
                let dump = &mut cursor.dump[family as usize];
                let from = dump.take().unwrap_or_default();
                let (next, chunk) = catch_up::dump((&self.treatment, &self.hits), table, me, family, from);
                *dump = next;
                cursor.ready.extend(chunk);
                if next.is_none() && std::mem::take(&mut cursor.refresh[family as usize]) {
                    // A prefix that moved in the table while it was dumped is in the log.
                    cursor.end_of_refresh[family as usize] = Some(self.log.end());
                }
            } else if !cursor.missed.is_empty() {
                cursor.ready.extend(catch_up::missed(
                    (&self.treatment, &self.hits),
                    table,
                    me,
                    &mut cursor.missed,
                ));
            } else if let Some(family) = self.end_of_refresh_due(cursor) {
                cursor.end_of_refresh[family as usize] = None;
                let end = RouteRefresh { family: AfiSafi::from(family), subtype: RefreshSubtype::End };
                return Some((end.encode(), 0));
            } else if let Some(family) = self.end_of_rib_due(cursor) {
                cursor.end_of_rib[family as usize] = None;
                return Some((encode_end_of_rib(family), 1));
            } else {
                let entry = self.log.get(cursor.next)?;
                cursor.next += 1;
                if entry.audience.includes(me) {
                    return Some((entry.bytes.clone(), entry.messages));
                }
            }
        }
    }

    fn end_of_rib_due(&self, cursor: &Cursor) -> Option<Family> {
        let due =
            |family: &Family| cursor.end_of_rib[*family as usize].is_some_and(|place| place <= cursor.next);
        self.treatment.families.iter().find(due)
    }

    fn end_of_refresh_due(&self, cursor: &Cursor) -> Option<Family> {
        let due = |family: &Family| {
            cursor.end_of_refresh[*family as usize].is_some_and(|place| place <= cursor.next)
        };
        self.treatment.families.iter().find(due)
    }

    /// The routes in what the member has not read of the log.
    pub(crate) fn unread(&self, cursor: &Cursor, me: SourceId) -> Vec<Nlri> {
        (cursor.next..self.log.end())
            .filter_map(|place| self.log.get(place))
            .filter(|entry| entry.audience.includes(me))
            .flat_map(|entry| catch_up::routes_in(&entry.bytes, &self.treatment))
            .collect()
    }

    /// What the member has not been told yet.
    pub(crate) fn left_for(&self, cursor: &Cursor, me: SourceId) -> Left {
        let families = |places: [bool; 2]| {
            Family::ALL.into_iter().zip(places).filter(|(_, due)| *due).map(|(family, _)| family).collect()
        };
        let mut routes = cursor.missed.clone();
        if !cursor.newcomer {
            routes.extend(self.unread(cursor, me));
        }
        let ready = cursor.ready.iter();
        routes.extend(ready.flat_map(|(bytes, _)| catch_up::routes_in(bytes, &self.treatment)));
        Left {
            dumps: families(cursor.dump.map(|place| place.is_some())),
            refreshes: families(std::array::from_fn(|family| {
                cursor.refresh[family] || cursor.end_of_refresh[family].is_some()
            })),
            end_of_ribs: families(cursor.end_of_rib.map(|place| place.is_some())),
            routes: routes.into_iter().collect(),
        }
    }

    /// Is anything to be sent to the member?
    pub(crate) fn has_news_for(&self, cursor: &Cursor) -> bool {
        cursor.next < self.log.end()
            || !cursor.ready.is_empty()
            || !cursor.missed.is_empty()
            || cursor.dump.iter().any(Option::is_some)
            || self.end_of_rib_due(cursor).is_some()
            || self.end_of_refresh_due(cursor).is_some()
    }

    /// Everybody has read everything: nothing needs to be kept.
    pub(crate) fn forget_log(&mut self) {
        while self.log.pop().is_some() {}
    }

    /// Cuts the oldest part off a log that is too long; who has not read it must be told of these routes in another way.
    pub(crate) fn cut_log(&mut self) -> Option<CutOff> {
        if !self.log.is_too_long() {
            return None;
        }
        let place = self.log.base();
        let entry = self.log.pop()?;
        let routes = catch_up::routes_in(&entry.bytes, &self.treatment);
        Some(CutOff { place, audience: entry.audience, routes })
    }
}

/// A part that was cut off a log.
#[derive(Debug)]
pub(crate) struct CutOff {
    pub(crate) place: u64,
    audience: super::log::Audience,
    pub(crate) routes: Vec<Nlri>,
}

impl CutOff {
    /// Was it for this member?
    pub(crate) fn is_for(&self, member: SourceId) -> bool {
        self.audience.includes(member)
    }
}
