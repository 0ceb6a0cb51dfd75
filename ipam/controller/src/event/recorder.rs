//! What is told when. Pure: the same matters at the same times are told the same.
//!
//! | step | when |
//! |---|---|
//! | begins | a matter has lasted: an object's at once, what nodes report of themselves and of sessions for half a minute |
//! | lasts | again each half hour, for a server forgets an event after an hour |
//! | ends | it is no more, and nothing of its kind came in its place |
//!
//! Whoever begins to record, after a start or as a new leader, takes what he finds as told if there is an event of it. So many at once, and
//! then so many a second: what has ended before its turn is never told. Bounded by what is wrong: [`MOST`] matters of one object count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use cairn_api::core::Regarding;

use super::matter::{By, Matter, Matters};

/// So many matters of one object count, the first in their order.
pub const MOST: usize = 16;
/// How long what passes otherwise must last.
const PATIENCE: Duration = Duration::from_secs(30);
/// When what lasts is told again.
const AGAIN: Duration = Duration::from_secs(30 * 60);
/// So many events at once, and so long for each one more.
const BURST: u32 = 50;
const REFILL: Duration = Duration::from_millis(200);

/// What is told of a matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is no more.
    Ends,
    /// It is there now.
    Begins,
    /// It was there when recording began: told only if there is no event of it.
    Found,
    /// It is still there.
    Lasts,
}

/// An event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What of it.
    pub step: Step,
    /// The matter.
    pub matter: Matter,
    /// Who says so.
    pub by: By,
}

#[derive(Debug, Clone)]
struct Known {
    by: By,
    /// What comes next, and when.
    next: Step,
    due: Duration,
    told: bool,
    /// What was told before in other words, while this is not.
    before: Option<(Matter, By)>,
}

/// What is known and told of all matters. Times are of a clock that nobody sets.
#[derive(Debug, Default)]
pub struct Recorder {
    began: bool,
    matters: BTreeMap<Matter, Known>,
    ended: BTreeMap<Matter, By>,
    /// How many events were written at once, less what time has given back since.
    spent: u32,
    since: Duration,
    /// Until when nothing is written, for something could not be.
    paused: Duration,
}

impl Recorder {
    /// These are all matters now, and these all objects: of one that is gone nothing ends.
    pub fn follow(&mut self, now: Duration, matters: Matters, present: &HashSet<Regarding>) {
        let there: HashSet<Matter> = matters.keys().cloned().collect();
        let matters = bounded(matters);
        let gone: Vec<(Matter, Known)> =
            self.matters.extract_if(.., |matter, _| !matters.contains_key(matter)).collect();
        let fresh: HashSet<_> =
            matters.keys().filter(|matter| !self.matters.contains_key(*matter)).map(Matter::line).collect();
        // What was not told yet in other words has waited already, and ends what was told before it.
        let mut waited: HashMap<_, Duration> = HashMap::new();
        let mut before: HashMap<_, (Matter, By)> = HashMap::new();
        for (matter, known) in &gone {
            if !known.told {
                let due = waited.entry(matter.line()).or_insert(known.due);
                *due = known.due.min(*due);
            }
            let told =
                if known.told { Some((matter.clone(), known.by.clone())) } else { known.before.clone() };
            let Some((told, by)) = told else { continue };
            if fresh.contains(&matter.line()) {
                before.insert(matter.line(), (told, by));
            } else if !there.contains(&told) {
                self.ended.insert(told, by);
            }
        }
        self.ended.retain(|matter, _| present.contains(&matter.regarding));
        let first = if self.began { Step::Begins } else { Step::Found };
        self.began = true;
        for (matter, by) in matters {
            if let Some(known) = self.matters.get_mut(&matter) {
                known.by = by;
                continue;
            }
            // What ended and is there again before anybody was told has lasted.
            let told = self.ended.remove(&matter).is_some();
            let patience = if matter.is_passing(&by) { PATIENCE } else { Duration::ZERO };
            let due = waited.get(&matter.line()).copied().unwrap_or(now + patience);
            let (next, due) = if told { (Step::Lasts, now + AGAIN) } else { (first, due) };
            let before = before.get(&matter.line()).cloned();
            self.matters.insert(matter, Known { by, next, due, told, before });
        }
    }

    /// What is to be written now; it counts as told unless [`Self::failed`] says otherwise.
    pub fn due(&mut self, now: Duration) -> Vec<Note> {
        if now < self.paused {
            return Vec::new();
        }
        let mut left = self.left(now);
        let mut notes = Vec::new();
        while left > 0 {
            let Some((matter, by)) = self.ended.pop_first() else { break };
            notes.push(Note { step: Step::Ends, matter, by });
            left -= 1;
        }
        // What begins comes before what is only told again.
        let mut waiting: Vec<_> = self.matters.iter_mut().filter(|(_, known)| known.due <= now).collect();
        waiting.sort_by_key(|(_, known)| (known.next, known.due));
        for (matter, known) in waiting.into_iter().take(left) {
            notes.push(Note { step: known.next, matter: matter.clone(), by: known.by.clone() });
            (known.next, known.due, known.told) = (Step::Lasts, now + AGAIN, true);
        }
        self.spent += u32::try_from(notes.len()).unwrap_or(BURST);
        notes
    }

    /// It was not written: it is to be tried again at this time, and nothing else before.
    pub fn failed(&mut self, note: Note, again: Duration) {
        self.paused = self.paused.max(again);
        if note.step == Step::Ends {
            self.ended.insert(note.matter, note.by);
        } else if let Some(known) = self.matters.get_mut(&note.matter) {
            (known.next, known.due) = (note.step, again);
            known.told = note.step == Step::Lasts;
        }
    }

    /// When [`Self::due`] has something next.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let next = self.matters.values().map(|known| known.due).min();
        let next = if self.ended.is_empty() { next } else { Some(now) }?;
        let next = next.max(self.paused);
        Some(if self.spent < BURST { next } else { next.max(self.since + REFILL) })
    }

    /// How many matters there are.
    pub fn len(&self) -> usize {
        self.matters.len()
    }

    /// Is nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.matters.is_empty()
    }

    /// How many events may be written now.
    fn left(&mut self, now: Duration) -> usize {
        let refilled = now.saturating_sub(self.since).as_millis() / REFILL.as_millis();
        let refilled = u32::try_from(refilled).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_sub(refilled);
        // A part of an interval counts for the next time.
        self.since = if self.spent == 0 { now } else { self.since + REFILL.saturating_mul(refilled) };
        usize::try_from(BURST - self.spent.min(BURST)).unwrap_or_default()
    }
}

/// The first of each object.
fn bounded(mut matters: Matters) -> Matters {
    let mut counts: BTreeMap<Regarding, usize> = BTreeMap::new();
    matters.retain(|matter, _| {
        let count = counts.entry(matter.regarding.clone()).or_default();
        *count += 1;
        *count <= MOST
    });
    matters
}

#[cfg(test)]
mod tests;
