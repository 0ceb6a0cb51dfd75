//! Systems in virtual time, with a network that loses, delays and cuts, and with restarts. Every run is determined by its seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use proptest::prelude::*;

use super::*;
use crate::jitter::Random;
use crate::{Authentication, AuthenticationKind, Change, Datagram, Endpoint, Input, Output};

/// How the network treats packets.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    /// Of 1000 packets so many are lost.
    loss: u32,
    /// Delay. Unit: milliseconds, chosen anew for each packet, so that packets overtake each other.
    delay: u64,
}

struct Flight {
    from: usize,
    to: usize,
    octets: Vec<u8>,
}

/// A full mesh of systems.
struct World {
    now: Instant,
    random: Random,
    weather: Weather,
    systems: Vec<Option<Endpoint>>,
    configs: Vec<BTreeMap<Key, SessionConfig>>,
    /// One way from here to there is cut.
    cut: BTreeMap<(usize, usize), bool>,
    flights: BinaryHeap<Reverse<(Instant, u64)>>,
    cargo: BTreeMap<u64, Flight>,
    next: u64,
    changes: Vec<(Instant, usize, IpAddr, Change)>,
}

fn address(system: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(system).unwrap()])
}

impl World {
    fn new(seed: u64, configs: &[SessionConfig]) -> Self {
        let now = start();
        let configs: Vec<BTreeMap<Key, SessionConfig>> = (0..configs.len())
            .map(|here| {
                let others = (0..configs.len()).filter(|other| *other != here);
                others.map(|other| (Key::new(address(other), Hops::Single), configs[here].clone())).collect()
            })
            .collect();
        let mut world = Self {
            now,
            random: Random::new(seed),
            weather: Weather::default(),
            systems: configs.iter().map(|_| None).collect(),
            configs,
            cut: BTreeMap::new(),
            flights: BinaryHeap::new(),
            cargo: BTreeMap::new(),
            next: 0,
            changes: Vec::new(),
        };
        (0..world.systems.len()).for_each(|system| world.boot(system));
        world
    }

    /// Starts a system, or starts it anew without memory of what was.
    fn boot(&mut self, system: usize) {
        self.systems[system] = Some(Endpoint::new(self.now, self.random.next()));
        self.configure(system);
    }

    /// Has another process go on with a system's sessions after this time, in which it is deaf and mute.
    fn take_over(&mut self, system: usize, pause: Duration) {
        let old = self.systems[system].take().unwrap();
        let (state, names) = old.hand_over();
        self.run(pause);
        let seed = self.random.next();
        let (new, taken) = Endpoint::take_over(self.now, seed, &self.configs[system], &state).unwrap();
        assert_eq!(names.len(), taken.len());
        self.systems[system] = Some(new);
        self.configure(system);
    }

    fn configure(&mut self, system: usize) {
        let config = self.configs[system].clone();
        self.systems[system].as_mut().unwrap().handle(self.now, Input::Configure(&config));
        self.flush(system);
    }

    fn flush(&mut self, system: usize) {
        while let Some(output) = self.systems[system].as_mut().and_then(Endpoint::poll_output) {
            match output {
                Output::Transmit { key, packet, len, .. } => self.send(system, key.remote, &packet[..len]),
                Output::Changed { key, change } => self.changes.push((self.now, system, key.remote, change)),
                Output::Forgotten { .. } => {}
            }
        }
    }

    fn send(&mut self, from: usize, remote: IpAddr, octets: &[u8]) {
        let to = (0..self.systems.len()).find(|other| address(*other) == remote).unwrap();
        let lost = self.random.next_u32() % 1000 < self.weather.loss;
        if lost || self.cut.get(&(from, to)).copied().unwrap_or(false) {
            return;
        }
        let delay = u64::from(self.random.next_u32()) % (self.weather.delay + 1);
        self.next += 1;
        self.flights.push(Reverse((self.now + ms(delay), self.next)));
        self.cargo.insert(self.next, Flight { from, to, octets: octets.to_vec() });
    }

    /// Lets time pass. Packets that arrive at a moment are handed over before that moment's timers run.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.systems.iter().flatten().filter_map(Endpoint::poll_timeout);
            let flight = self.flights.peek().map(|Reverse((at, _))| *at);
            let Some(at) = timers.chain(flight).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            while let Some(Reverse((_, number))) =
                self.flights.peek().copied().filter(|Reverse((at, _))| *at <= self.now)
            {
                self.flights.pop();
                let Flight { from, to, octets } = self.cargo.remove(&number).unwrap();
                if let Some(system) = &mut self.systems[to] {
                    let datagram = Datagram {
                        hops: Hops::Single,
                        source: address(from),
                        destination: address(to),
                        interface: 1,
                        ttl: 255,
                        payload: &octets,
                    };
                    system.handle(self.now, Input::Received(datagram));
                }
                self.flush(to);
            }
            for system in 0..self.systems.len() {
                if let Some(endpoint) = &mut self.systems[system] {
                    endpoint.handle(self.now, Input::Tick);
                }
                self.flush(system);
            }
        }
        self.now = end;
    }

    fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        self.cut.insert((a, b), cut);
    }

    fn state(&self, here: usize, there: usize) -> State {
        let sessions = self.systems[here].as_ref().unwrap().sessions();
        sessions.filter(|view| view.key.remote == address(there)).map(|view| view.state).next().unwrap()
    }

    fn all_up(&self) -> bool {
        let running: Vec<usize> = (0..self.systems.len()).filter(|n| self.systems[*n].is_some()).collect();
        running.iter().all(|a| running.iter().all(|b| a == b || self.state(*a, *b) == State::Up))
    }

    fn failures(&self) -> usize {
        self.changes.iter().filter(|(_, _, _, change)| change.is_failure()).count()
    }
}

#[test]
fn two_systems_come_up_within_two_seconds_and_stay_up() {
    for seed in 0..50 {
        let mut world = World::new(seed, &[config(50, 50, 3), config(300, 100, 3)]);
        world.weather.delay = 5;
        world.run(ms(2000));
        assert!(world.all_up(), "seed {seed}");
        world.run(ms(60_000));
        assert_eq!(world.failures(), 0, "seed {seed}");
    }
}

#[test]
fn a_cut_in_either_direction_is_noticed_by_both_within_the_detection_time() {
    for seed in 0..50 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut world = World::new(seed, &[config(50, 50, 3), config(50, 50, 3)]);
            world.run(ms(5000));
            let cut_at = world.now;
            world.set_cut(from, to, true);
            world.run(ms(500));
            let failed: Vec<_> = world.changes.iter().filter(|(.., change)| change.is_failure()).collect();
            assert_eq!(failed.len(), 2, "seed {seed}");
            // The last packet came up to an interval before the cut; the timers have a tick of a millisecond.
            assert!(failed.iter().all(|(at, ..)| *at <= cut_at + ms(152)), "seed {seed}");
            assert_eq!(failed[0].3.diagnostic, Diagnostic::ControlDetectionTimeExpired);
            assert_eq!(failed[1].3.diagnostic, Diagnostic::NeighborSignaledSessionDown);
            world.set_cut(from, to, false);
            world.run(ms(3000));
            assert!(world.all_up(), "seed {seed}");
        }
    }
}

#[test]
fn a_restarted_system_is_noticed_and_is_up_again() {
    for seed in 0..50 {
        let mut world = World::new(seed, &[config(300, 300, 3), config(300, 300, 3)]);
        world.run(ms(5000));
        world.boot(1);
        world.run(ms(5000));
        assert!(world.all_up(), "seed {seed}");
        assert_eq!(world.failures(), 1, "seed {seed}: the one that stayed");
    }
}

#[test]
fn neither_side_notices_that_another_process_goes_on() {
    let with = Authentication::new(AuthenticationKind::MeticulousKeyedSha1, 3, b"stone");
    for (seed, authentication) in (0..50).flat_map(|seed| [(seed, None), (seed, with.clone())]) {
        let config = SessionConfig { authentication, ..config(300, 300, 3) };
        let mut world = World::new(seed, &[config.clone(), config.clone(), config]);
        world.weather.delay = 3;
        world.run(ms(5000));
        let seen = |world: &World| -> Vec<_> {
            let systems = world.systems.iter().flatten();
            let views = systems.flat_map(|system| system.sessions().collect::<Vec<_>>());
            views.map(|view| (view.key, view.discriminator, view.counters.up, view.counters.down)).collect()
        };
        let before = seen(&world);
        for _ in 0..20 {
            // Long enough for a packet each way: pauses must not add up.
            let wait = 600 + u64::from(world.random.next_u32()) % 1000;
            world.run(ms(wait));
            let (system, pause) = (world.random.next_u32() as usize % 3, world.random.next_u32() % 250);
            let counted =
                world.systems[system].as_ref().unwrap().sessions().map(|view| view.counters.received);
            let counted: Vec<u64> = counted.collect();
            world.take_over(system, ms(pause.into()));
            let sessions = world.systems[system].as_ref().unwrap().sessions();
            assert!(sessions.zip(counted).all(|(view, before)| view.counters.received >= before));
        }
        world.run(ms(10_000));
        assert!(world.all_up(), "seed {seed}");
        assert_eq!((world.failures(), seen(&world)), (0, before), "seed {seed}");
    }
}

#[test]
fn a_new_process_finds_out_that_the_other_side_fell_silent_meanwhile() {
    for seed in 0..20 {
        let mut world = World::new(seed, &[config(300, 300, 3), config(300, 300, 3)]);
        world.run(ms(5000));
        world.systems[1] = None;
        world.run(ms(400));
        world.take_over(0, ms(5));
        assert_eq!(world.state(0, 1), State::Up, "seed {seed}");
        // Nobody is there to send to, so only the detection time is left.
        world.run(ms(900));
        assert_eq!(world.state(0, 1), State::Down, "seed {seed}");
        world.boot(1);
        world.run(ms(5000));
        assert!(world.all_up(), "seed {seed}");
    }
}

#[test]
fn removal_and_shutdown_are_no_failure_for_the_other_side() {
    for seed in 0..20 {
        let mut world = World::new(seed, &[config(300, 300, 3), config(300, 300, 3)]);
        world.run(ms(5000));
        let sessions = std::mem::take(&mut world.configs[1]);
        world.configure(1);
        world.run(ms(10_000));
        assert_eq!(world.failures(), 0, "seed {seed}");
        assert!(world.systems[1].as_ref().unwrap().is_empty());
        let told = world.changes.iter().any(|(_, at, _, change)| *at == 0 && change.is_remote_admin_down());
        assert!(told, "seed {seed}");
        world.configs[1] = sessions;
        world.configure(1);
        world.run(ms(5000));
        assert!(world.all_up(), "seed {seed}");
        let now = world.now;
        world.systems[1].as_mut().unwrap().handle(now, Input::Shutdown);
        world.flush(1);
        world.systems[1] = None;
        world.run(ms(10_000));
        assert_eq!(world.failures(), 0, "seed {seed}");
    }
}

#[test]
fn changed_times_take_effect_without_a_flap() {
    for seed in 0..50 {
        let mut world = World::new(seed, &[config(300, 300, 3), config(300, 300, 3)]);
        world.weather = Weather { loss: 50, delay: 3 };
        world.run(ms(10_000));
        let before = world.failures();
        let mut random = Random::new(seed);
        for _ in 0..20 {
            let side = usize::from(random.next_u32().is_multiple_of(2));
            let times = [50, 100, 300, 1000, 2000];
            let pick = |random: &mut Random| times[random.next_u32() as usize % times.len()];
            // Ten in a row are not lost.
            let changed = config(pick(&mut random), pick(&mut random), 10);
            world.configs[side].values_mut().for_each(|config| *config = changed.clone());
            world.configure(side);
            world.run(ms(u64::from(random.next_u32()) % 3000));
        }
        world.run(ms(10_000));
        assert!(world.all_up() && world.failures() == before, "seed {seed}");
        let views: Vec<_> =
            world.systems.iter().flat_map(|system| system.as_ref().unwrap().sessions()).collect();
        assert!(!views[0].polling && !views[1].polling);
        assert_eq!(
            views[0].transmit_interval,
            Some(views[0].desired_min_tx.max(views[1].required_min_rx)),
            "seed {seed}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happened before, once the network is whole and quiet every session is up on both sides.
    #[test]
    fn every_history_ends_with_all_sessions_up(
        seed: u64,
        count in 2usize..5,
        steps in prop::collection::vec((0u8..7, 0usize..5, 0usize..5, 0u64..2000), 0..30),
    ) {
        let mut world = World::new(seed, &vec![config(100, 100, 3); count]);
        for (what, a, b, time) in steps {
            let (a, b) = (a % count, b % count);
            match what {
                0 => world.set_cut(a, b, true),
                1 => world.set_cut(a, b, false),
                2 => world.boot(a),
                3 => world.weather = Weather { loss: 300, delay: 80 },
                4 => world.configs[a].values_mut().for_each(|config| config.desired_min_tx = ms(50 + time)),
                5 if world.systems[a].is_some() => world.take_over(a, ms(time / 8)),
                _ => world.systems[a] = None,
            }
            if world.systems[a].is_some() && what == 4 {
                world.configure(a);
            }
            world.run(ms(time));
        }
        world.weather = Weather::default();
        world.cut.clear();
        for system in 0..count {
            if world.systems[system].is_none() {
                world.boot(system);
            }
        }
        world.run(ms(20_000));
        prop_assert!(world.all_up());
        let failures = world.failures();
        world.run(ms(60_000));
        prop_assert_eq!(world.failures(), failures);
    }
}
