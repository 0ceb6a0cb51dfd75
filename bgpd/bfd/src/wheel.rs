//! The one timer wheel: two timers for each session, armed, moved and taken out in constant time without allocating.

use std::time::Duration;

/// Resolution. Due times are rounded up to it.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Slots: one turn is about four seconds. Longer times stay in their slot for several turns.
const SLOTS: usize = 4096;
const WORDS: usize = SLOTS / 64;
/// No entry.
const NONE: u32 = u32::MAX;
/// The time of an entry that is not armed.
const NEVER: u64 = u64::MAX;

/// Timers by number, hashed into slots by their tick.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32; SLOTS]>,
    /// A bit for each slot that is not empty.
    occupied: [u64; WORDS],
    entries: Vec<Entry>,
    /// Everything before this tick has been taken.
    cursor: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    tick: u64,
    previous: u32,
    next: u32,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { heads: Box::new([NONE; SLOTS]), occupied: [0; WORDS], entries: Vec::new(), cursor: 0 }
    }

    /// Makes room for timers with numbers below `count`. The only thing here that allocates.
    pub(crate) fn reserve(&mut self, count: usize) {
        if count > self.entries.len() {
            self.entries.resize(count, Entry { tick: NEVER, previous: NONE, next: NONE });
        }
    }

    /// Arms a timer, or moves it; `None`: takes it out. A tick that has passed is now. Numbers without room are ignored.
    pub(crate) fn set(&mut self, id: u32, tick: Option<u64>) {
        let Some(entry) = self.entries.get(id as usize) else { return };
        let tick = tick.map_or(NEVER, |tick| tick.clamp(self.cursor, NEVER - 1));
        if entry.tick == tick {
            return;
        }
        if entry.tick != NEVER {
            self.unlink(id);
        }
        if tick != NEVER {
            self.link(id, tick);
        }
    }

    /// Takes a timer that is due at this tick or before; call until `None`.
    pub(crate) fn pop(&mut self, now: u64) -> Option<u32> {
        while self.cursor <= now {
            let mut id = self.heads[slot(self.cursor)];
            while let Some(entry) = self.entries.get(id as usize) {
                if entry.tick <= now {
                    self.unlink(id);
                    return Some(id);
                }
                id = entry.next;
            }
            self.cursor = self.next_occupied(self.cursor + 1).map_or(now + 1, |tick| tick.min(now + 1));
        }
        None
    }

    /// When to look again at the latest. A timer that is more than a turn away may cost a look for each turn.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut from = self.cursor;
        while let Some(tick) = self.next_occupied(from).filter(|tick| tick - self.cursor < SLOTS as u64) {
            let mut id = self.heads[slot(tick)];
            while let Some(entry) = self.entries.get(id as usize) {
                if entry.tick <= tick {
                    return Some(tick);
                }
                id = entry.next;
            }
            from = tick + 1;
        }
        self.occupied.iter().any(|word| *word != 0).then_some(self.cursor + SLOTS as u64)
    }

    /// The first tick from here on, within a turn, whose slot is not empty.
    fn next_occupied(&self, from: u64) -> Option<u64> {
        let start = slot(from);
        // The first word twice: its upper bits at the beginning, its lower ones at the end of the turn.
        for step in 0..=WORDS {
            let index = (start / 64 + step) % WORDS;
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == WORDS {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let found = index * 64 + word.trailing_zeros() as usize;
                return Some(from + ((found + SLOTS - start) % SLOTS) as u64);
            }
        }
        None
    }

    fn link(&mut self, id: u32, tick: u64) {
        let slot = slot(tick);
        let head = std::mem::replace(&mut self.heads[slot], id);
        if let Some(next) = self.entries.get_mut(head as usize) {
            next.previous = id;
        }
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.entries[id as usize] = Entry { tick, previous: NONE, next: head };
    }

    fn unlink(&mut self, id: u32) {
        let free = Entry { tick: NEVER, previous: NONE, next: NONE };
        let Entry { tick, previous, next } = std::mem::replace(&mut self.entries[id as usize], free);
        if let Some(entry) = self.entries.get_mut(next as usize) {
            entry.previous = previous;
        }
        if let Some(entry) = self.entries.get_mut(previous as usize) {
            entry.next = next;
            return;
        }
        let slot = slot(tick);
        self.heads[slot] = next;
        if next == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // below SLOTS
const fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timer_of_several_turns_is_not_taken_early() {
        let mut wheel = Wheel::new();
        wheel.reserve(1);
        wheel.set(0, Some(10_000));
        let mut looks = 0;
        while let Some(at) = wheel.next() {
            looks += 1;
            if let Some(id) = wheel.pop(at) {
                assert_eq!((id, at), (0, 10_000));
                break;
            }
        }
        assert!(looks <= 4, "{looks} looks");
        assert_eq!(wheel.next(), None);
    }

    proptest! {
        /// Against a sorted map: whatever is set, moved and taken out, the same timers come at the same ticks.
        #[test]
        fn the_wheel_agrees_with_a_sorted_map(
            steps in prop::collection::vec((0u32..20, prop::option::of(1u64..9000), 0u64..3000), 1..200)
        ) {
            let mut wheel = Wheel::new();
            wheel.reserve(20);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = 0;
            for (id, delay, pass) in steps {
                wheel.set(id, delay.map(|delay| now + delay));
                match delay {
                    Some(delay) => model.insert(id, now + delay),
                    None => model.remove(&id),
                };
                let first = model.values().min().copied();
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                if let (Some(next), Some(first)) = (wheel.next(), first) {
                    prop_assert!(next <= first.max(wheel.cursor));
                }
                now += pass;
                let mut taken: Vec<u32> = std::iter::from_fn(|| wheel.pop(now)).collect();
                taken.sort_unstable();
                let due: Vec<u32> =
                    model.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
                prop_assert_eq!(&taken, &due);
                due.iter().for_each(|id| { model.remove(id); });
            }
        }
    }
}
