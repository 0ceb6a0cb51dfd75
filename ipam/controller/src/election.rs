//! Which of several controllers acts: a Lease, as Kubernetes' own controllers have it. Pure.
//!
//! Nobody compares clocks: a lease is over once it has not changed for its duration as seen by whoever waits for it. A holder counts his time
//! from before he asked for the renewal, whoever waits from after he read the lease: so the one stops before the other can begin.

use std::time::Duration;

use cairn_api::core::Lease;
use cairn_api::{Metadata, Object, Timestamp};

/// One candidate.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    /// The version that was last seen of somebody else's lease, and since when.
    seen: Option<(String, Duration)>,
}

/// What to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// There is no lease: make this one.
    Create(Object<Lease>),
    /// Replace the lease that was read.
    Update(Object<Lease>),
    /// Somebody else has it.
    Wait,
}

impl Candidate {
    /// A candidate. Whole seconds of the duration count, one at least.
    pub fn new(identity: impl Into<String>, duration: Duration) -> Self {
        let duration = Duration::from_secs(duration.as_secs().max(1));
        Self { identity: identity.into(), duration, seen: None }
    }

    /// How long the lease counts.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// What follows from the lease as it is in the store. `now` is of a clock that nobody sets, and read after the lease; `wall` is the time
    /// of day, for people.
    pub fn step(
        &mut self,
        found: Option<Object<Lease>>,
        key: Metadata,
        now: Duration,
        wall: Timestamp,
    ) -> Step {
        let Some(mut lease) = found else {
            self.seen = None;
            return Step::Create(Object::new(key, self.lease(Some(wall), wall, 0)));
        };
        let transitions = lease.spec.lease_transitions.unwrap_or(0);
        match lease.spec.holder() {
            Some(holder) if holder == self.identity => {
                self.seen = None;
                lease.spec = self.lease(lease.spec.acquire_time, wall, transitions);
                Step::Update(lease)
            }
            Some(_) if !self.is_over(&lease, now) => Step::Wait,
            _ => {
                lease.spec = self.lease(Some(wall), wall, transitions.saturating_add(1));
                Step::Update(lease)
            }
        }
    }

    /// Gives the lease back, so that the next one need not wait. `None` where it is somebody else's.
    pub fn give_back(&self, mut found: Object<Lease>) -> Option<Object<Lease>> {
        if found.spec.holder() != Some(&self.identity) {
            return None;
        }
        found.spec.holder_identity = Some(String::new());
        found.spec.lease_duration_seconds = Some(1);
        Some(found)
    }

    fn is_over(&mut self, lease: &Object<Lease>, now: Duration) -> bool {
        let version = &lease.metadata.resource_version;
        match &self.seen {
            Some((seen, since)) if seen == version => {
                let theirs = lease
                    .spec
                    .lease_duration_seconds
                    .map_or(self.duration, |seconds| Duration::from_secs(seconds.into()));
                now.saturating_sub(*since) >= theirs
            }
            _ => {
                self.seen = Some((version.clone(), now));
                false
            }
        }
    }

    fn lease(&self, acquired: Option<Timestamp>, renewed: Timestamp, transitions: u32) -> Lease {
        Lease {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(u32::try_from(self.duration.as_secs()).unwrap_or(u32::MAX)),
            acquire_time: acquired,
            renew_time: Some(renewed),
            lease_transitions: Some(transitions),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    /// A store with one lease, and when each candidate believes to lead.
    struct World {
        candidates: Vec<(Candidate, Duration)>,
        stored: Option<Object<Lease>>,
        version: u64,
        now: Duration,
    }

    impl World {
        fn new(count: usize) -> Self {
            let candidates =
                (0..count).map(|name| (Candidate::new(name.to_string(), LEASE), Duration::ZERO)).collect();
            Self { candidates, stored: None, version: 0, now: Duration::from_secs(100) }
        }

        /// A candidate reads, time passes on the way, it writes; the answer may be lost.
        fn turn(&mut self, who: usize, delay: u64, lost: bool) {
            let asked = self.now;
            let (candidate, until) = &mut self.candidates[who];
            let wall = Timestamp::from_unix(asked.as_secs());
            let step = candidate.step(self.stored.clone(), Metadata::namespaced("n", "c"), asked, wall);
            let read = self.stored.as_ref().map(|lease| lease.metadata.resource_version.clone());
            let written = match step {
                Step::Create(lease) | Step::Update(lease) => lease,
                Step::Wait => return,
            };
            self.now += Duration::from_secs(delay);
            let mut lease = written;
            // Nobody else had a turn meanwhile: the swap succeeds.
            assert_eq!(read, self.stored.as_ref().map(|lease| lease.metadata.resource_version.clone()));
            self.version += 1;
            lease.metadata.resource_version = self.version.to_string();
            self.stored = Some(lease);
            if !lost {
                *until = asked + candidate.duration();
            }
        }

        fn leaders(&self) -> usize {
            self.candidates.iter().filter(|(_, until)| *until > self.now).count()
        }
    }

    #[test]
    fn the_next_one_leads_within_a_lease_of_the_last_renewal() {
        let mut world = World::new(2);
        world.turn(0, 0, false);
        world.turn(1, 0, false);
        assert_eq!(world.leaders(), 1);
        // The first one dies.
        world.now += LEASE;
        world.turn(1, 0, false);
        assert!(world.candidates[1].1 > world.now && world.candidates[0].1 <= world.now);
        assert_eq!(world.stored.as_ref().unwrap().spec.lease_transitions, Some(1));
    }

    #[test]
    fn a_lease_that_is_given_back_is_taken_at_once() {
        let mut world = World::new(2);
        world.turn(0, 0, false);
        let mut given = world.candidates[0].0.give_back(world.stored.clone().unwrap()).unwrap();
        assert_eq!(world.candidates[1].0.give_back(given.clone()), None);
        given.metadata.resource_version = "given".to_owned();
        (world.stored, world.candidates[0].1) = (Some(given), Duration::ZERO);
        world.turn(1, 0, false);
        assert_eq!(world.stored.as_ref().unwrap().spec.holder(), Some("1"));
    }

    proptest! {
        #[test]
        fn there_are_never_two(turns in proptest::collection::vec((0usize..3, 0u64..20, 0u64..30, any::<bool>()), 1..200)) {
            let mut world = World::new(3);
            for (who, delay, pause, lost) in turns {
                world.turn(who, delay, lost);
                prop_assert!(world.leaders() <= 1, "{:?}", world.candidates);
                world.now += Duration::from_secs(pause);
                prop_assert!(world.leaders() <= 1, "{:?}", world.candidates);
            }
        }
    }
}
