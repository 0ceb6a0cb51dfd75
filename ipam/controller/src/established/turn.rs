use std::collections::BTreeMap;
use std::time::Duration;

use cairn_api::kinds::BgpPeer;
use cairn_api::{Draft, Object, Timestamp};
use cairn_datastore::Known;
use tokio::time::Instant;

use super::count::{Change, Counts, wanted};

/// Least time between two writes of one object; changes that come together are looked at together.
pub(super) const SETTLE: Duration = Duration::from_secs(5);
/// How long it must last that sessions are down which were not: longer than a daemon that begins again takes to report them.
const PATIENCE: Duration = Duration::from_secs(15);
/// Least time between two writes that change words alone: errors go round in circles while nothing changes.
const WORDS: Duration = Duration::from_secs(60);
/// So many objects are written at a time.
const MOST: usize = 20;

/// The BGPPeers, and when something of each was written.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) peers: Known<Draft<BgpPeer>>,
    times: BTreeMap<String, Times>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Times {
    written: Option<Instant>,
    /// Since when it is worse than it is said to be.
    worse: Option<Instant>,
}

impl Turns {
    /// What is to be written now, and when to look again though nothing changes. It counts as written.
    pub(super) fn due(
        &mut self,
        counts: &Counts,
        now: Instant,
        wall: Timestamp,
    ) -> (Vec<Object<Draft<BgpPeer>>>, Option<Instant>) {
        let objects = &self.peers.objects;
        self.times.retain(|name, _| objects.contains_key(name));
        let (mut due, mut again) = (Vec::new(), None);
        for (name, object) in objects {
            let times = self.times.entry(name.clone()).or_default();
            let Some((status, change)) = wanted(object, counts.get(name), wall) else {
                times.worse = None;
                continue;
            };
            let settled = times.written.map(|written| written + SETTLE);
            let ready = match change {
                Change::Worse => Some(*times.worse.get_or_insert(now) + PATIENCE).max(settled),
                Change::Words => times.written.map(|written| written + WORDS),
                Change::Facts => settled,
            };
            if change != Change::Worse {
                times.worse = None;
            }
            match ready.filter(|ready| *ready > now) {
                Some(ready) => again = sooner(again, ready),
                None => due.push((times.written, Object { status: Some(status), ..(**object).clone() })),
            }
        }
        // Whoever has waited longest comes first.
        due.sort_by_key(|(written, _)| *written);
        if due.len() > MOST {
            due.truncate(MOST);
            again = sooner(again, now + SETTLE);
        }
        let due: Vec<_> = due.into_iter().map(|(_, object)| object).collect();
        for object in &due {
            self.times.entry(object.name().to_owned()).or_default().written = Some(now);
        }
        (due, again)
    }
}

/// The earlier of two times, if there are two.
pub(super) fn sooner(one: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(one.map_or(other, |one| one.min(other)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_datastore::Event;
    use cairn_verdict::Spoken;
    use cairn_verdict::judge::NodeFacts;

    use super::super::count::count;
    use super::super::count::tests::{peer, report, session};
    use super::*;

    fn counts(state: &str, error: &str) -> Counts {
        let nodes = [("n1".to_owned(), NodeFacts::default())].into();
        let report = report("n1", &["tor"], vec![session("tor", state, error)]);
        let spoken = Spoken { nodes, ..Spoken::default() };
        count(&spoken, &[("n1".to_owned(), Arc::new(report))].into())
    }

    struct World {
        turns: Turns,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let mut turns = Turns::default();
            turns.peers.take(Event::Listed(vec![Arc::new(peer())]));
            Self { turns, now: Instant::now() }
        }

        /// Is it written, so many seconds later? What is, is what is there then.
        fn writes(&mut self, seconds: u64, counts: &Counts) -> bool {
            self.now += Duration::from_secs(seconds);
            let (due, _) = self.turns.due(counts, self.now, Timestamp::from_unix(1));
            let written = !due.is_empty();
            due.into_iter().for_each(|object| self.turns.peers.take(Event::Modified(Arc::new(object))));
            written
        }
    }

    #[test]
    fn what_gets_worse_must_last_and_what_gets_better_is_said_at_once() {
        let (up, down) = (counts("Established", ""), counts("Active", "a"));
        let mut world = World::new();
        assert!(world.writes(0, &up));
        assert!(!world.writes(100, &down));
        assert!(!world.writes(10, &up), "it was a daemon that began again");
        assert!(!world.writes(10, &down) && !world.writes(14, &down));
        assert!(world.writes(1, &down));
        assert!(!world.writes(4, &up), "one write in so much time");
        assert!(world.writes(1, &up));
    }

    #[test]
    fn words_alone_wait() {
        let mut world = World::new();
        assert!(world.writes(0, &counts("Active", "a")));
        assert!(!world.writes(59, &counts("Idle", "b")));
        assert!(world.writes(1, &counts("Idle", "b")));
        assert!(!world.writes(600, &counts("Idle", "b")), "that is said");
    }

    #[test]
    fn of_many_those_that_have_waited_longest_come_first() {
        let mut turns = Turns::default();
        for number in 0..50 {
            let mut object = peer();
            object.metadata.name = format!("p{number:02}");
            turns.peers.take(Event::Added(Arc::new(object)));
        }
        let mut now = Instant::now();
        let mut names = Vec::new();
        for left in [30, 10, 0] {
            let (due, again) = turns.due(&Counts::new(), now, Timestamp::from_unix(1));
            assert_eq!(again.is_some(), left > 0);
            names.extend(due.iter().map(|object| object.name().to_owned()));
            due.into_iter().for_each(|object| turns.peers.take(Event::Modified(Arc::new(object))));
            now += SETTLE;
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 50);
    }
}
