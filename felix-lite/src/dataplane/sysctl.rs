//! Kernel settings that a node needs to forward: set at the start, and put back when somebody undoes them, the slower the longer he goes on
//! (docs/adr/0015). What is right already is not written.
//!
//! The kernel tells of forwarding as it changes. Of the others it does not: they are compared whenever something is, and now and then.
//! Reverse path filters are left as they are: the firewall checks the sources of pods by itself.

use std::collections::BTreeMap;
use std::time::Instant;

use cairn_kernel::object::{Link, LinkName};
use cairn_kernel::reconciler::Quarrel;
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_kernel::{Error, Rtnl};
use cairn_net::Family;
use tracing::{info, warn};

use super::host::is_workload;
use super::patience::Patience;
use super::quarrel::Quarrels;
use super::tunnel::is_tunnel;

/// Router advertisements are believed unless the host forwards.
const UNLESS_FORWARDING: i64 = 1;
/// They are believed all the same.
const ALWAYS: i64 = 2;

/// Settings of the whole node, and what each should be.
fn wanted() -> [(Sysctl, i64); 4] {
    [
        (Sysctl::IpForward, 1),
        (Sysctl::Conf(Family::Ipv6, Scope::All, Conf::Forwarding), 1),
        // Flows, not only pairs of hosts, are spread over equal-cost paths.
        (Sysctl::MultipathHashPolicy(Family::Ipv4), 1),
        (Sysctl::MultipathHashPolicy(Family::Ipv6), 1),
    ]
}

/// Settings of the node, kept as they should be.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    /// Some may be others than when they were last read.
    stale: bool,
    /// Repairs that wait, by setting.
    pending: BTreeMap<String, Instant>,
    patience: Patience<String>,
    quarrels: Quarrels<String>,
    /// What cannot be read or written, by setting.
    faults: BTreeMap<String, String>,
}

impl Sysctls {
    /// Sets all that is not as it should be.
    pub(super) fn open(links: &[Link]) -> Self {
        let mut sysctls = Self::default();
        sysctls.go_on_believing(links);
        for (setting, value) in wanted() {
            let done = match sysctl::read(&setting) {
                Ok(found) if found == value => Ok(()),
                Ok(_) => sysctl::write(&setting, value),
                Err(error) => Err(error),
            };
            sysctls.note(setting.to_string(), done);
        }
        sysctls
    }

    /// Settings were changed, or may have been: they are compared at the next [`Self::write`].
    pub(super) const fn changed(&mut self) {
        self.stale = true;
    }

    /// An interface of the host is there, or was changed.
    pub(super) fn link_changed(&mut self, link: &Link) {
        self.go_on_believing(std::slice::from_ref(link));
    }

    /// Compares what the kernel does not tell of.
    pub(super) fn look(&mut self, rtnl: &mut Rtnl) {
        self.believe_all(rtnl);
        self.stale = true;
    }

    /// What is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.faults.values()
    }

    /// Who keeps undoing what.
    pub(super) fn quarrels(&self) -> impl Iterator<Item = &String> {
        self.quarrels.texts()
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().copied().chain(self.quarrels.poll_timeout()).min()
    }

    /// Puts back what is not as it should be, if it is time to.
    pub(super) fn write(&mut self, rtnl: &mut Rtnl, now: Instant) {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if !std::mem::take(&mut self.stale) && !due {
            return;
        }
        let mut quarrels = Vec::new();
        for (setting, value) in wanted() {
            let key = setting.to_string();
            let found = match sysctl::read(&setting) {
                Ok(found) => found,
                Err(error) => {
                    self.note(key, Err(error));
                    continue;
                }
            };
            if found == value {
                self.pending.remove(&key);
                self.note(key, Ok(()));
                continue;
            }
            if !self.is_due(&key, found, now, &mut quarrels) {
                continue;
            }
            if setting == Sysctl::Conf(Family::Ipv6, Scope::All, Conf::Forwarding) {
                self.believe_all(rtnl);
            }
            let done = sysctl::write(&setting, value);
            if done.is_ok() {
                info!(setting = key, found, "somebody changed a setting: it is put back");
            }
            self.note(key, done);
        }
        self.quarrels.note(now, quarrels);
    }

    /// A setting has been found to be another: is it time to put it back? Adds to the quarrels if it has to wait.
    fn is_due(&mut self, key: &str, found: i64, now: Instant, quarrels: &mut Vec<Quarrel<String>>) -> bool {
        // Nobody undid what could not be done.
        if self.faults.contains_key(key) {
            return true;
        }
        let at = match self.pending.get(key) {
            Some(at) => *at,
            None => {
                let (repairs, wait) = self.patience.wait(key.to_owned(), now);
                if !wait.is_zero() {
                    self.quarrels.seen(key.to_owned(), format!("somebody set it to {found}"));
                    quarrels.push(Quarrel { key: key.to_owned(), repairs, wait });
                }
                now + wait
            }
        };
        if at > now {
            self.pending.insert(key.to_owned(), at);
            return false;
        }
        self.pending.remove(key);
        true
    }

    /// A host that forwards IPv6 ignores router advertisements, and would lose its own default route, unless told to believe them anyway. What
    /// pods send is nothing to believe.
    fn go_on_believing(&mut self, links: &[Link]) {
        for link in links.iter().filter(|link| !is_workload(link) && !is_tunnel(link)) {
            let Ok(name) = link.name.parse::<LinkName>() else { continue };
            let setting = Sysctl::Conf(Family::Ipv6, Scope::Link(name), Conf::AcceptRa);
            if sysctl::read(&setting) == Ok(UNLESS_FORWARDING) {
                self.note(setting.to_string(), sysctl::write(&setting, ALWAYS));
            }
        }
    }

    /// The same for all interfaces that there are.
    fn believe_all(&mut self, rtnl: &mut Rtnl) {
        // What is wrong with those that are there is found anew.
        self.faults.retain(|key, _| !key.ends_with("/accept_ra"));
        match rtnl.list::<Link>(None) {
            Ok(links) => self.go_on_believing(&links),
            Err(error) => warn!(%error, "the node's interfaces cannot be read"),
        }
    }

    /// Remembers what became of a setting.
    fn note(&mut self, key: String, done: Result<(), Error>) {
        match done {
            Ok(()) => drop(self.faults.remove(&key)),
            // A kernel without IPv6 has none of its settings, and an interface may be gone.
            Err(error) if error.is_not_found() => drop(self.faults.remove(&key)),
            Err(error) => {
                let fault = format!("the node may not forward as it should: {error}");
                if self.faults.get(&key) != Some(&fault) {
                    warn!(fault, "a setting is not as it should be");
                    self.faults.insert(key, fault);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = "net/ipv4/ip_forward";

    #[test]
    fn what_somebody_undoes_is_put_back_at_once_and_later_the_longer_he_goes_on() {
        let (mut sysctls, start) = (Sysctls::default(), Instant::now());
        let undone = |sysctls: &mut Sysctls, at: Instant| {
            let mut quarrels = Vec::new();
            let due = sysctls.is_due(KEY, 0, at, &mut quarrels);
            sysctls.quarrels.note(at, quarrels);
            due
        };
        assert!((0..5).all(|_| undone(&mut sysctls, start)));
        assert_eq!((sysctls.quarrels().count(), sysctls.poll_timeout()), (0, None));
        assert!(!undone(&mut sysctls, start), "the sixth time in a row it waits");
        let due = sysctls.poll_timeout().unwrap();
        assert!(due > start && due < start + Duration::from_secs(1));
        let told: Vec<_> = sysctls.quarrels().cloned().collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("net/ipv4/ip_forward: somebody set it to 0, 6 times"), "{told:?}");
        assert!(!undone(&mut sysctls, start), "looked at again, it still waits");
        assert!(undone(&mut sysctls, due));
        assert!(!undone(&mut sysctls, due), "and once more");
        assert!(sysctls.poll_timeout() > Some(due));
    }

    #[test]
    fn what_cannot_be_written_is_told_and_is_nobodys_quarrel() {
        let mut sysctls = Sysctls::default();
        let refused = |errno: nix::errno::Errno| Err(Error::refused("write", "sysctl", errno));
        sysctls.note(KEY.to_owned(), refused(nix::errno::Errno::EROFS));
        assert!(sysctls.faults().next().is_some_and(|fault| fault.contains("EROFS")));
        let mut quarrels = Vec::new();
        assert!((0..20).all(|_| sysctls.is_due(KEY, 0, Instant::now(), &mut quarrels)));
        assert!(quarrels.is_empty());
        sysctls.note(KEY.to_owned(), refused(nix::errno::Errno::ENOENT));
        assert_eq!(sysctls.faults().count(), 0, "a kernel without it has nothing to be told");
    }
}
