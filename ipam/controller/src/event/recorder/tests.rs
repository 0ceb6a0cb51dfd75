use super::*;

fn matter(kind: &str, name: &str, reason: &str, message: &str) -> Matter {
    let regarding = Regarding { kind: kind.to_owned(), name: name.to_owned(), ..Regarding::default() };
    Matter { regarding, about: "Accepted".to_owned(), reason: reason.to_owned(), message: message.to_owned() }
}

fn peer(reason: &str) -> Matter {
    matter("BGPPeer", "tor", reason, "")
}

/// A recorder that has begun before anything was wrong, and its clock.
struct World {
    recorder: Recorder,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let mut recorder = Recorder::default();
        recorder.follow(Duration::ZERO, Matters::new(), &HashSet::new());
        Self { recorder, now: Duration::from_secs(1000) }
    }

    /// These are all now; what is to be written.
    fn see(&mut self, matters: &[Matter]) -> Vec<(Step, String)> {
        let all = ["BGPPeer", "Node"].map(|kind| matter(kind, "tor", "", "").regarding);
        let matters = matters.iter().map(|matter| (matter.clone(), By::default())).collect();
        self.recorder.follow(self.now, matters, &HashSet::from(all));
        self.due()
    }

    fn due(&mut self) -> Vec<(Step, String)> {
        let due = self.recorder.due(self.now);
        due.into_iter().map(|note| (note.step, note.matter.reason)).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn one(step: Step, reason: &str) -> Vec<(Step, String)> {
    vec![(step, reason.to_owned())]
}

#[test]
fn a_matter_begins_lasts_and_ends() {
    let mut world = World::new();
    assert_eq!(world.see(&[peer("FilterMissing")]), one(Step::Begins, "FilterMissing"));
    assert_eq!(world.see(&[peer("FilterMissing")]), []);
    assert_eq!(world.recorder.wake(world.now), Some(world.now + AGAIN));
    world.pass(AGAIN.as_secs());
    assert_eq!(world.due(), one(Step::Lasts, "FilterMissing"));
    assert_eq!(world.due(), []);
    assert_eq!(world.see(&[]), one(Step::Ends, "FilterMissing"));
    assert_eq!(world.see(&[]), []);
    assert_eq!(world.recorder.wake(world.now), None);
    assert_eq!(world.see(&[peer("FilterMissing")]), one(Step::Begins, "FilterMissing"), "again");
}

#[test]
fn what_comes_in_the_place_of_another_ends_nothing() {
    let mut world = World::new();
    world.see(&[peer("FilterMissing")]);
    assert_eq!(world.see(&[peer("SecretMissing")]), one(Step::Begins, "SecretMissing"));
    assert_eq!(world.see(&[]), one(Step::Ends, "SecretMissing"));
}

#[test]
fn of_an_object_that_is_gone_nothing_ends() {
    let mut world = World::new();
    world.see(&[peer("FilterMissing")]);
    world.recorder.follow(world.now, Matters::new(), &HashSet::new());
    assert_eq!(world.due(), []);
}

#[test]
fn what_a_node_reports_must_last_for_half_a_minute_in_whatever_words() {
    let mut world = World::new();
    let of_node = |message| matter("Node", "tor", "Unavailable", message);
    assert_eq!(world.see(&[of_node("a")]), []);
    world.pass(29);
    assert_eq!(world.see(&[]), [], "it has passed");
    assert_eq!(world.see(&[of_node("a")]), []);
    world.pass(20);
    assert_eq!(world.see(&[of_node("b")]), []);
    world.pass(9);
    assert_eq!(world.due(), []);
    world.pass(1);
    assert_eq!(world.due(), one(Step::Begins, "Unavailable"));
}

#[test]
fn what_was_told_ends_also_when_other_words_came_in_between() {
    let mut world = World::new();
    let of_node = |message| matter("Node", "tor", "Unavailable", message);
    assert_eq!(world.see(&[of_node("a and b")]), []);
    world.pass(30);
    assert_eq!(world.due(), one(Step::Begins, "Unavailable"));
    assert_eq!(world.see(&[of_node("b")]), []);
    world.pass(5);
    assert_eq!(world.see(&[]), one(Step::Ends, "Unavailable"));
}

#[test]
fn a_new_leader_takes_what_he_finds_as_told() {
    let mut world = World { recorder: Recorder::default(), now: Duration::from_secs(1) };
    assert_eq!(world.see(&[peer("FilterMissing")]), one(Step::Found, "FilterMissing"));
    assert_eq!(world.see(&[]), one(Step::Ends, "FilterMissing"));
}

#[test]
fn what_is_not_written_is_tried_again_unless_it_is_over() {
    let mut world = World::new();
    world.recorder.follow(world.now, [(peer("FilterMissing"), By::default())].into(), &HashSet::new());
    let [note] = world.recorder.due(world.now).try_into().unwrap();
    world.recorder.failed(note, world.now + Duration::from_secs(5));
    assert_eq!(world.due(), []);
    world.pass(5);
    let [note] = world.recorder.due(world.now).try_into().unwrap();
    assert_eq!(note.step, Step::Begins);
    world.recorder.failed(note, world.now + Duration::from_secs(5));
    assert_eq!(world.see(&[]), [], "nobody was told that it began");

    world.pass(5);
    world.see(&[peer("FilterMissing")]);
    world.recorder.follow(world.now, Matters::new(), &HashSet::from([peer("").regarding]));
    let [note] = world.recorder.due(world.now).try_into().unwrap();
    world.recorder.failed(note, world.now);
    assert_eq!(world.due(), one(Step::Ends, "FilterMissing"));
}

#[test]
fn so_many_are_told_at_once_and_then_so_many_a_second() {
    let mut world = World::new();
    let many: Vec<Matter> = (0..200).map(|n| matter("BGPPeer", &format!("p{n}"), "Invalid", "")).collect();
    let burst = usize::try_from(BURST).unwrap();
    assert_eq!(world.see(&many).len(), burst);
    assert_eq!(world.due(), []);
    assert_eq!(world.recorder.wake(world.now), Some(world.now + REFILL));
    world.pass(1);
    assert_eq!(world.due().len(), 5);
    world.pass(3600);
    assert_eq!(world.due().len(), burst);
    assert_eq!(world.see(&many[..0]).len(), 0, "the objects are gone, and nobody waits for them");
    assert!(world.recorder.is_empty() && world.recorder.wake(world.now).is_none());
}

#[test]
fn an_object_has_so_many_matters_and_no_more() {
    let mut world = World::new();
    let many: Vec<Matter> =
        (0..100).map(|n| matter("BGPPeer", "tor", "Ambiguous", &format!("pod {n:03}"))).collect();
    assert_eq!(world.see(&many).len(), MOST);
    assert_eq!(world.recorder.len(), MOST);
}
