//! Who keeps changing what is repaired: said in a log line, and in a condition until it has been quiet for a while.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use cairn_kernel::object::{Change, Route, protocol_name};
use cairn_kernel::reconciler::Quarrel;
use tracing::warn;

/// After so long without another repair a quarrel is over.
const QUIET: Duration = Duration::from_secs(120);

/// Quarrels over objects of one kind.
#[derive(Debug)]
pub(super) struct Quarrels<K> {
    /// What somebody did to objects of ours since [`Quarrels::note`] was called last: one text an object.
    deeds: BTreeMap<K, String>,
    /// What is said of each quarrel, and until when.
    open: BTreeMap<K, (String, Instant)>,
}

impl<K> Default for Quarrels<K> {
    fn default() -> Self {
        Self { deeds: BTreeMap::new(), open: BTreeMap::new() }
    }
}

impl<K: Ord + Clone + fmt::Display> Quarrels<K> {
    /// Somebody changed an object that was as it should be.
    pub(super) fn seen(&mut self, key: K, deed: String) {
        self.deeds.insert(key, deed);
    }

    /// Takes what the reconciler says of quarrels, and ends those that are over.
    pub(super) fn note(&mut self, now: Instant, quarrels: Vec<Quarrel<K>>) {
        for Quarrel { key, repairs, wait } in quarrels {
            let deed = self.deeds.get(&key).map_or("somebody changed it", String::as_str);
            let wait_ms = wait.as_millis();
            warn!(object = %key, repairs, wait_ms, deed, "changed again and again: its repair waits");
            let text = format!("{key}: {deed}, {repairs} times in a row; each repair waits up to 30 s");
            self.open.insert(key, (text, now + wait + QUIET));
        }
        self.deeds.clear();
        self.open.retain(|_, (_, until)| *until > now);
    }

    /// What is said of the quarrels that go on.
    pub(super) fn texts(&self) -> impl Iterator<Item = &String> {
        self.open.values().map(|(text, _)| text)
    }

    /// When the next of them may be over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().map(|(_, until)| *until).min()
    }
}

/// What somebody did to a route.
pub(super) fn deed(change: &Change<Route>, author: Option<u32>) -> String {
    let who = who(author);
    match change {
        Change::Present(route) => {
            format!("{who} put a route of protocol {} in its place", protocol_name(route.protocol))
        }
        Change::Gone(_) => format!("{who} deleted it"),
    }
}

/// The owner of a netlink socket. The kernel names sockets by the number of the process that opened them, mostly.
pub(super) fn who(author: Option<u32>) -> String {
    let Some(port) = author else { return "the kernel".to_owned() };
    match std::fs::read_to_string(format!("/proc/{port}/comm")) {
        Ok(name) => format!("{} (process {port})", name.trim_end()),
        Err(_) => format!("netlink port {port}, which is gone,"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarrel_is_told_with_who_and_what_until_it_has_been_quiet() {
        let start = Instant::now();
        let mut quarrels = Quarrels::<&str>::default();
        quarrels.seen("route 10.0.0.0/26", deed(&gone(), Some(std::process::id())));
        let quarrel = Quarrel { key: "route 10.0.0.0/26", repairs: 6, wait: Duration::from_millis(100) };
        quarrels.note(start, vec![quarrel]);
        let texts: Vec<_> = quarrels.texts().cloned().collect();
        assert_eq!(texts.len(), 1);
        let me = format!("(process {}) deleted it, 6 times in a row", std::process::id());
        assert!(texts[0].starts_with("route 10.0.0.0/26: ") && texts[0].contains(&me), "{texts:?}");
        let over = quarrels.poll_timeout().unwrap();
        quarrels.note(over, Vec::new());
        assert_eq!((quarrels.texts().count(), quarrels.poll_timeout()), (0, None));
    }

    #[test]
    fn what_was_put_in_the_place_of_a_route_is_named_by_its_protocol() {
        let Change::Gone(route) = gone() else { unreachable!() };
        let bird = Change::Present(Route { protocol: 12, ..route });
        assert_eq!(deed(&bird, None), "the kernel put a route of protocol bird in its place");
        assert!(deed(&bird, Some(u32::MAX)).starts_with("netlink port 4294967295, which is gone,"));
    }

    fn gone() -> Change<Route> {
        Change::Gone(Route::blackhole("10.0.0.0/26".parse().unwrap()))
    }
}
