//! Scripts: one line is a step or an expectation, so that a test reads as what happens.
//!
//! `set k=v`, `unset k`, `seen k=v`, `gone k`, `resync`, `prune on|off`, `wait MS`: what the owner does.
//! `kernel k=v`, `kernel -k`, `refuse k`, `accept k`, `lose answers`: what others do.
//! `run: OPS`: reconciles, and expects these operations, comma-separated (`!` marks a refused one).
//! `run lost: OPS`: the same, and expects that the answers were lost.
//! `holds: k=v ...`: expects the kernel's content.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fake::Fake;
use super::{BackOff, Reconciler};
use crate::object::Change;

struct Script {
    reconciler: Reconciler<Fake>,
    now: Instant,
}

fn run(script: &str) {
    let mut state =
        Script { reconciler: Reconciler::new(Fake::default(), BackOff::default()), now: Instant::now() };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        state.step(line);
    }
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap();
    (key.to_owned(), value.to_owned())
}

impl Script {
    fn step(&mut self, line: &str) {
        if let Some((verb, expected)) = line.split_once(':') {
            return self.expect(line, verb, expected.trim());
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let fake = self.reconciler.backend();
        match (verb, rest) {
            ("kernel", rest) if rest.starts_with('-') => drop(fake.objects.remove(&rest[1..])),
            ("kernel", rest) => fake.objects.extend([pair(rest)]),
            ("refuse", key) => drop(fake.refuse.insert(key.to_owned())),
            ("accept", key) => drop(fake.refuse.remove(key)),
            ("lose", "answers") => fake.lose_answers = true,
            ("fail", "list") => fake.fail_list = true,
            ("set", rest) => {
                let (key, value) = pair(rest);
                self.reconciler.set(key, value);
            }
            ("unset", key) => self.reconciler.unset(&key.to_owned()),
            ("seen", rest) => self.reconciler.observe(Change::Present(pair(rest))),
            ("gone", key) => self.reconciler.observe(Change::Gone((key.to_owned(), String::new()))),
            ("distrust", suffix) => self.reconciler.distrust(|_, value| value.ends_with(suffix)),
            ("resync", "") => self.reconciler.resync().unwrap(),
            ("resync", "fails") => drop(self.reconciler.resync().unwrap_err()),
            ("prune", rest) => self.reconciler.allow_prune(rest == "on"),
            ("wait", ms) => self.now += Duration::from_millis(ms.parse().unwrap()),
            _ => panic!("no such step: {line}"),
        }
    }

    fn expect(&mut self, line: &str, verb: &str, expected: &str) {
        let found = match verb {
            "run" => {
                self.reconciler.reconcile(self.now).unwrap();
                self.reconciler.backend().take_log().join(", ")
            }
            "run lost" => {
                self.reconciler.reconcile(self.now).unwrap_err();
                self.reconciler.backend().take_log().join(", ")
            }
            "holds" => {
                let objects = &self.reconciler.backend().objects;
                objects.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
            }
            "quarrels" => {
                let report = self.reconciler.reconcile(self.now).unwrap();
                self.reconciler.backend().take_log();
                let quarrels = report.quarrels.iter();
                let text =
                    |q: &super::Quarrel<String>| format!("{} {} {} ms", q.key, q.repairs, q.wait.as_millis());
                quarrels.map(text).collect::<Vec<_>>().join(", ")
            }
            "next" => {
                let next = self.reconciler.poll_timeout().map(|at| at - self.now);
                next.map_or("none".to_owned(), |wait| format!("{} ms", wait.as_millis()))
            }
            _ => panic!("no such expectation: {line}"),
        };
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn a_change_costs_itself_alone() {
    run("set a=1
         set b=1
         run: update a=1, update b=1
         set a=1
         run:
         set a=2
         run: update a=2
         unset b
         run: delete b
         run:
         holds: a=2");
}

#[test]
fn a_restart_adopts_what_is_there_and_sweeps_when_allowed() {
    run("kernel a=1
         kernel b=1
         kernel stray=1
         resync
         run:
         set a=1
         set b=2
         run: update b=2
         holds: a=1 b=2 stray=1
         prune on
         run: delete stray
         holds: a=1 b=2");
}

#[test]
fn what_was_wanted_in_this_life_goes_without_prune() {
    run("kernel a=1
         resync
         set a=1
         unset a
         run: delete a
         holds:");
}

#[test]
fn a_refused_object_waits_and_holds_up_nobody() {
    run("refuse a
         set a=1
         set b=1
         run: update a=1!, update b=1
         next: 100 ms
         run:
         wait 99
         run:
         wait 1
         run: update a=1!
         next: 200 ms
         accept a
         wait 200
         run: update a=1
         next: none
         refuse a
         set a=2
         run: update a=2!
         next: 100 ms");
}

#[test]
fn a_new_value_does_not_wait_for_the_old_ones_back_off() {
    run("refuse a
         set a=1
         run: update a=1!
         wait 10
         accept a
         set a=2
         run: update a=2
         next: none
         wait 1000
         run:");
}

#[test]
fn a_refused_object_that_is_no_more_wanted_is_forgotten() {
    run("refuse a
         set a=1
         run: update a=1!
         unset a
         run:
         next: none
         wait 1000
         run:");
}

#[test]
fn interference_is_repaired() {
    run("set a=1
         prune on
         run: update a=1
         kernel -a
         gone a
         run: update a=1
         kernel a=9
         seen a=9
         run: update a=1
         kernel stray=1
         seen stray=1
         run: delete stray
         seen a=1
         run:
         holds: a=1");
}

#[test]
fn who_changes_an_object_again_and_again_slows_its_repair_and_nothing_else() {
    let meddle = "kernel -a\ngone a\nrun: update a=1\n".repeat(5);
    run(&format!(
        "set a=1
         set b=1
         run: update a=1, update b=1
         {meddle}
         kernel -a
         gone a
         quarrels: a 6 100 ms
         next: 100 ms
         kernel -b
         gone b
         run: update b=1
         wait 100
         run: update a=1
         kernel a=9
         seen a=9
         quarrels: a 7 200 ms
         wait 200
         run: update a=1
         wait 120001
         kernel -a
         gone a
         quarrels:
         holds: a=1 b=1
         next: none"
    ));
}

#[test]
fn what_is_wanted_anew_does_not_wait_for_the_end_of_a_quarrel() {
    let meddle = "kernel -a\ngone a\nrun: update a=1\n".repeat(5);
    run(&format!(
        "set a=1
         run: update a=1
         {meddle}
         kernel -a
         gone a
         quarrels: a 6 100 ms
         set a=2
         run: update a=2
         unset a
         run: delete a
         next: none"
    ));
}

#[test]
fn numbers_of_forgotten_objects_are_used_again() {
    run("set a=1
         set b=1
         run: update a=1, update b=1
         unset a
         run: delete a
         set c=1
         set d=1
         set a=3
         run: update c=1, update d=1, update a=3
         unset b
         unset c
         run: delete b, delete c
         resync
         run:
         holds: a=3 d=1");
}

#[test]
fn without_prune_a_stray_is_left_alone_and_can_be_adopted() {
    run("kernel stray=1
         seen stray=1
         run:
         set stray=1
         run:
         unset stray
         run: delete stray");
}

#[test]
fn lost_answers_mean_all_again() {
    run("set a=1
         set b=1
         lose answers
         run lost: update a=1, update b=1
         resync
         run:
         set c=1
         lose answers
         run lost: update c=1
         run: update c=1
         holds: a=1 b=1 c=1");
}

#[test]
fn a_failed_list_changes_nothing() {
    run("kernel a=1
         fail list
         resync fails
         run:
         resync
         prune on
         run: delete a");
}

#[test]
fn what_the_kernel_may_have_lost_silently_is_written_again() {
    run("set a=eth0
         set b=eth1
         run: update a=eth0, update b=eth1
         kernel -a
         distrust eth0
         run: update a=eth0
         holds: a=eth0 b=eth1");
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8),
    Unset(u8),
    Interfere(u8, Option<u8>, bool),
    Refuse(u8, bool),
    Lose,
    Run(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5u8, 0..3u8).prop_map(|(key, value)| Step::Set(key, value)),
        (0..5u8).prop_map(Step::Unset),
        (0..5u8, proptest::option::of(0..3u8), any::<bool>())
            .prop_map(|(k, v, told)| Step::Interfere(k, v, told)),
        (0..5u8, any::<bool>()).prop_map(|(key, on)| Step::Refuse(key, on)),
        Just(Step::Lose),
        (0..500u16).prop_map(Step::Run),
    ]
}

proptest! {
    /// Whatever happened: once nobody refuses and the kernel was read again, it holds what is wanted, and then nothing is written.
    #[test]
    fn it_converges(steps in proptest::collection::vec(step(), 0..60)) {
        let mut now = Instant::now();
        let mut reconciler = Reconciler::new(Fake::default(), BackOff::default());
        let mut wanted = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    wanted.insert(key.to_string(), value.to_string());
                    reconciler.set(key.to_string(), value.to_string());
                }
                Step::Unset(key) => {
                    wanted.remove(&key.to_string());
                    reconciler.unset(&key.to_string());
                }
                Step::Interfere(key, Some(value), told) => {
                    let object = (key.to_string(), value.to_string());
                    reconciler.backend().objects.extend([object.clone()]);
                    if told {
                        reconciler.observe(Change::Present(object));
                    }
                }
                Step::Interfere(key, None, told) => {
                    reconciler.backend().objects.remove(&key.to_string());
                    if told {
                        reconciler.observe(Change::Gone((key.to_string(), String::new())));
                    }
                }
                Step::Refuse(key, true) => drop(reconciler.backend().refuse.insert(key.to_string())),
                Step::Refuse(key, false) => drop(reconciler.backend().refuse.remove(&key.to_string())),
                Step::Lose => reconciler.backend().lose_answers = true,
                Step::Run(ms) => {
                    now += Duration::from_millis(ms.into());
                    let _ = reconciler.reconcile(now);
                }
            }
        }
        reconciler.backend().refuse.clear();
        reconciler.backend().lose_answers = false;
        reconciler.allow_prune(true);
        reconciler.resync().unwrap();
        now += BackOff::default().longest;
        reconciler.reconcile(now).unwrap();
        prop_assert_eq!(&reconciler.backend().objects, &wanted);
        prop_assert!(reconciler.is_idle());
        prop_assert_eq!(reconciler.poll_timeout(), None);
        reconciler.backend().take_log();
        reconciler.resync().unwrap();
        reconciler.reconcile(now).unwrap();
        prop_assert_eq!(reconciler.backend().take_log(), Vec::<String>::new());
    }
}
