//! What tests need of the kernel. It is part of their names: one in a module `needs_vrf_netem` needs VRFs and netem, one in a module `lacks_vrf` a
//! kernel without VRFs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

/// Begins the name of a module whose tests need something.
const MARK: &str = "needs_";
/// Begins the name of a module whose tests show what happens without something.
const WITHOUT: &str = "lacks_";

/// What the other kernel lacks as well: Debian builds none with TCP-AO. Tests that need it run in the lab tier, on kernels that have it.
const NOT_THERE: [&str; 1] = ["tcpao"];

/// Whoever needs this sets the time of day, under the feet of whatever else runs there.
const CLOCK: &str = "clock";

/// Tests that need nothing special, and run under the other kernel too: what this kernel does must not be all that works.
const ALSO: [&str; 4] = [
    "bfd::a_silent_path_is_left_long_before_the_hold_time",
    "mesh::pods_across_a_mesh::dual",
    "routers::foreign_routers_exchange_routes_of_both_families",
    "sessions::a_session_bound_to_an_interface_comes_up_by_it_alone",
];

/// What a test needs, by its name.
fn needs(test: &str) -> impl Iterator<Item = &str> {
    marked(test, MARK)
}

/// What the kernel must not have for a test, by its name.
fn without(test: &str) -> impl Iterator<Item = &str> {
    marked(test, WITHOUT)
}

/// Does a test do to its machine what no other test there would survive?
pub(super) fn own_machine(test: &str) -> bool {
    needs(test).any(|name| name == CLOCK)
}

/// Does a test need what the vm tier's kernel does not have either?
pub(super) fn runs_in_no_machine(test: &str) -> bool {
    needs(test).any(|name| NOT_THERE.contains(&name))
}

fn marked<'a>(test: &'a str, mark: &'static str) -> impl Iterator<Item = &'a str> {
    test.split("::").filter_map(move |part| part.strip_prefix(mark)).flat_map(|list| list.split('_'))
}

/// What the host's kernel has.
pub(super) struct Features(BTreeMap<String, bool>);

impl Features {
    /// Asks the lab, which tries.
    pub(super) fn of_host(programs: &Path) -> Result<Self> {
        let text = process::capture(Command::new(programs.join("cairn-lab")).arg("features"))?;
        let line = |line: &str| -> Result<(String, bool)> {
            let (name, word) = line.split_once(' ').context("cairn-lab features: no pair")?;
            Ok((name.to_owned(), word == "yes"))
        };
        text.lines().map(line).collect::<Result<_>>().map(Self)
    }

    /// What a test needs and the kernel does not have.
    pub(super) fn lacks<'a>(&self, test: &'a str) -> Vec<&'a str> {
        needs(test).filter(|name| self.0.get(*name) != Some(&true)).collect()
    }

    /// Does the kernel have what a test is to do without?
    pub(super) fn has_too_much_for(&self, test: &str) -> bool {
        without(test).any(|name| self.0.get(name) != Some(&false))
    }
}

/// Which tests the vm tier runs.
pub(super) struct Choice<'a> {
    filter: Option<&'a str>,
    seen: Vec<&'static str>,
}

impl<'a> Choice<'a> {
    /// With a filter, whatever it names; otherwise the tests with needs, and [`ALSO`].
    pub(super) fn new(filter: Option<&'a str>) -> Self {
        Self { filter, seen: Vec::new() }
    }

    /// Whether a test is to run.
    pub(super) fn takes(&mut self, test: &str) -> bool {
        // The machine's kernel has everything else.
        if without(test).next().is_some() || runs_in_no_machine(test) {
            return false;
        }
        if let Some(filter) = self.filter {
            return test.contains(filter);
        }
        let also = ALSO.iter().find(|name| **name == test);
        self.seen.extend(also);
        also.is_some() || needs(test).next().is_some()
    }

    /// Fails if a test of [`ALSO`] is not there any more.
    pub(super) fn finish(&self) -> Result<()> {
        let gone = ALSO.iter().find(|name| self.filter.is_none() && !self.seen.contains(*name));
        ensure!(gone.is_none(), "vm tier: there is no test {}", gone.unwrap_or(&""));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Features, needs, own_machine, runs_in_no_machine};

    #[test]
    fn a_module_of_the_tests_name_says_what_it_needs() {
        let name = "vrf::sessions::needs_vrf_netem::ipv4";
        assert_eq!(needs(name).collect::<Vec<_>>(), ["vrf", "netem"]);
        assert!(own_machine("a::needs_netem_clock::b") && !own_machine(name));
        let features = Features([("vrf".to_owned(), true), ("netem".to_owned(), false)].into());
        assert_eq!(features.lacks(name), ["netem"]);
        assert_eq!(features.lacks("a::needs_something"), ["something"]);
        assert!(features.lacks("mesh::needs::nothing").is_empty());
        assert!(
            features.has_too_much_for("a::lacks_vrf::b") && features.has_too_much_for("a::lacks_unknown::b")
        );
        assert!(!features.has_too_much_for("a::lacks_netem::b") && !features.has_too_much_for(name));
    }

    #[test]
    fn a_filter_chooses_alone() {
        let mut all = Choice::new(None);
        assert!(all.takes("a::needs_vrf::b") && !all.takes("a::b"));
        assert!(runs_in_no_machine("a::needs_tcpao::b") && !all.takes("a::needs_tcpao::b"));
        assert!(all.finish().is_err(), "the tests that always run were not there");
        let mut filtered = Choice::new(Some("mesh"));
        assert!(filtered.takes("mesh::b") && !filtered.takes("a::needs_vrf::b"));
        assert!(!filtered.takes("mesh::lacks_vrf::b"));
        assert!(filtered.finish().is_ok());
    }
}
