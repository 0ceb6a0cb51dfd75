//! Next hops that paths use.
//!
//! Shape: equal addresses have one number, which an attribute set names ([`HopNumbers`], beside the interner); what is known of each is in
//! the table ([`Hops`]). So selection finds it by an index, and nothing is kept for each path.
//! Invariants: without tracking nothing is counted and everything is reachable; with it, a next hop is here exactly while a learned path
//! uses it, and what is new is resolved before anything is selected.
//! Not here: how an address is resolved (`nexthop`), when (`speaker`).

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::net::IpAddr;
use std::time::Instant;

use cairn_net::{Family, Prefix};
use foldhash::HashMap;
use smallvec::SmallVec;

use super::slab::{SlabId, slab_id};
use super::source::SourceId;
use super::table::{NetId, Path, PathId, Table};
use crate::nexthop::{Passed, Reach, Resolution, Unresolved};

slab_id! {
    /// Names the address of a next hop.
    HopId
}

/// Sources that are remembered for each next hop. One that more of them announce is looked for everywhere.
const SOURCES: usize = 16;
/// A part of the table from which on it is walked as a whole.
const LARGE_PART: usize = 4;

/// The numbers of addresses, for as long as an attribute set names them.
#[derive(Debug, Default)]
pub(super) struct HopNumbers {
    numbers: HashMap<IpAddr, HopId>,
    /// How many sets name each; 0: the number is free.
    sets: Vec<u32>,
    free: Vec<HopId>,
}

impl HopNumbers {
    /// The number for one more set.
    pub(super) fn acquire(&mut self, address: IpAddr) -> HopId {
        let id = *self.numbers.entry(address).or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.sets.push(0);
                HopId::from_place(
                    u32::try_from(self.sets.len() - 1).expect("fewer than 2^32 sets fit in memory"),
                )
            })
        });
        self.sets[id.place()] += 1;
        id
    }

    /// One set less.
    pub(super) fn release(&mut self, id: HopId, address: IpAddr) {
        let Some(sets) = self.sets.get_mut(id.place()) else { return };
        *sets -= 1;
        if *sets == 0 {
            self.numbers.remove(&address);
            self.free.push(id);
        }
    }
}

/// What is known of a next hop.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) address: IpAddr,
    /// Accepted paths of peers that have it.
    pub(crate) paths: u32,
    /// Who may have announced these: none is missing, unless there are more than [`SOURCES`].
    sources: SmallVec<[SourceId; 2]>,
    /// `None` until it is resolved for the first time.
    pub(crate) way: Option<Result<Resolution, Unresolved>>,
    /// Next hops of learned routes that the lookup came by: see [`Hops::set_passed`].
    passed: Passed,
    /// Since when that is so; `None` until then.
    pub(crate) since: Option<Instant>,
}

impl Hop {
    /// What selection is told; `None`: unreachable.
    pub(crate) fn reach(&self) -> Option<Reach> {
        match &self.way {
            Some(Ok(resolution)) => Some(resolution.reach),
            Some(Err(_)) => None,
            None => Some(Reach::ASSUMED),
        }
    }
}

/// The next hops of the table's paths. See the module.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    tracked: bool,
    places: Vec<Option<Hop>>,
    by_address: BTreeMap<IpAddr, HopId>,
    /// The lowest and the highest address of each family: most prefixes are beyond.
    bounds: [Option<(IpAddr, IpAddr)>; 2],
    /// Next hops of learned routes that lookups came by, with those that were looked up.
    users: BTreeSet<(IpAddr, HopId)>,
    /// Those whose lookup came by more than are named.
    users_of_many: BTreeSet<HopId>,
    /// To be resolved before the next selection.
    pub(crate) fresh: Vec<HopId>,
    /// To be resolved again, because what leads to them changed.
    pub(crate) due: BTreeSet<HopId>,
    /// Perhaps used by no path any more.
    unused: Vec<HopId>,
}

impl Hops {
    /// Is anything tracked?
    pub(crate) fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// What selection needs to know of it; `None`: unreachable.
    pub(crate) fn reach(&self, id: HopId) -> Option<Reach> {
        if !self.tracked {
            return Some(Reach::ASSUMED);
        }
        self.get(id).map_or(Some(Reach::ASSUMED), Hop::reach)
    }

    pub(crate) fn get(&self, id: HopId) -> Option<&Hop> {
        self.places.get(id.place())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: HopId) -> Option<&mut Hop> {
        self.places.get_mut(id.place())?.as_mut()
    }

    /// The next hop with this address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<&Hop> {
        self.get(*self.by_address.get(&address)?)
    }

    /// All, in the order of their addresses, after one.
    pub(crate) fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = (HopId, &Hop)> {
        let from = last.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = self.by_address.range((from, std::ops::Bound::Unbounded));
        range.filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }

    /// A path with this next hop was accepted from a source.
    pub(super) fn add(&mut self, id: HopId, address: IpAddr, source: SourceId) {
        if !self.tracked || id == HopId::NONE {
            return;
        }
        if id.place() >= self.places.len() {
            self.places.resize_with(id.place() + 1, || None);
        }
        let hop = match &mut self.places[id.place()] {
            Some(hop) if hop.address == address => hop,
            // The number was another one's before, or nobody's.
            place => {
                if let Some(old) = place.take() {
                    forget(&mut self.by_address, old.address, id);
                    unlink(&mut self.users, &mut self.users_of_many, id, &old.passed);
                }
                let (paths, sources) = (0, SmallVec::new());
                self.by_address.insert(address, id);
                self.fresh.push(id);
                let bounds = &mut self.bounds[Family::of(address) as usize];
                *bounds = Some(
                    bounds.map_or((address, address), |(low, high)| (low.min(address), high.max(address))),
                );
                place.insert(Hop { address, paths, sources, way: None, passed: Passed::none(), since: None })
            }
        };
        hop.paths += 1;
        if hop.sources.last() != Some(&source)
            && hop.sources.len() <= SOURCES
            && !hop.sources.contains(&source)
        {
            hop.sources.push(source);
        }
    }

    /// A path with it is gone.
    pub(super) fn remove(&mut self, id: HopId) {
        if !self.tracked {
            return;
        }
        if let Some(Some(hop)) = self.places.get_mut(id.place()) {
            hop.paths = hop.paths.saturating_sub(1);
            if hop.paths == 0 {
                self.unused.push(id);
            }
        }
    }

    /// Forgets those that no path uses any more.
    pub(crate) fn sweep(&mut self) {
        if self.unused.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unused) {
            let Some(place) = self.places.get_mut(id.place()) else { continue };
            if let Some(gone) = place.take_if(|hop| hop.paths == 0) {
                forget(&mut self.by_address, gone.address, id);
                unlink(&mut self.users, &mut self.users_of_many, id, &gone.passed);
                self.due.remove(&id);
            }
        }
        self.fresh.retain(|id| self.places.get(id.place()).is_some_and(Option::is_some));
        // IPv4 addresses come before IPv6 ones.
        let middle = Family::Ipv6.unspecified();
        let ends = |mut range: btree_map::Range<'_, IpAddr, HopId>| {
            let (low, _) = range.next()?;
            Some((*low, *range.next_back().map_or(low, |(high, _)| high)))
        };
        self.bounds = [ends(self.by_address.range(..middle)), ends(self.by_address.range(middle..))];
    }

    /// The next hops inside of a prefix.
    fn within(&self, prefix: Prefix) -> impl Iterator<Item = HopId> {
        self.by_address.range(prefix.addr()..=prefix.last()).map(|(_, id)| *id)
    }

    /// May any next hop be inside?
    fn may_be_within(&self, prefix: Prefix) -> bool {
        self.bounds[prefix.family() as usize].is_some_and(|(low, high)| {
            prefix.addr() <= high && (prefix.addr() >= low || prefix.last() >= low)
        })
    }

    /// The route to a prefix changed: those that may go another way now are due.
    pub(crate) fn route_changed(&mut self, prefix: Prefix) {
        if !self.tracked {
            return;
        }
        self.users_due(prefix);
        if !self.may_be_within(prefix) {
            return;
        }
        let goes_on = |hop: &Hop| match &hop.way {
            // What is longer decides, and is still there.
            Some(Ok(way)) => way.prefix.len() > prefix.len(),
            Some(Err(_)) | None => false,
        };
        let inside = self.within(prefix).filter(|id| self.get(*id).is_some_and(|hop| !goes_on(hop)));
        let inside: SmallVec<[HopId; 8]> = inside.collect();
        self.due.extend(inside);
    }

    /// Whether a route that covers this next hop may lead to it changed: it is due, and so are those that came by it.
    pub(super) fn covering_changed(&mut self, id: HopId) {
        if let Some(address) = self.get(id).map(|hop| hop.address) {
            self.due.insert(id);
            self.users_due(Prefix::host(address));
        }
    }

    /// Those are due whose lookup came by a next hop inside of a prefix.
    fn users_due(&mut self, prefix: Prefix) {
        let ends = (prefix.addr(), HopId::from_place(0))..=(prefix.last(), HopId::NONE);
        self.due.extend(self.users.range(ends).map(|(_, id)| *id));
    }

    /// Those are due whose lookup came by so many next hops that nobody knows by which. They come after all others.
    pub(crate) fn users_of_many_due(&mut self) {
        self.due.extend(self.users_of_many.iter().copied());
    }

    /// Notes by which next hops of learned routes the lookup of one came, whose ways it depends on.
    pub(crate) fn set_passed(&mut self, id: HopId, passed: Passed) {
        let Some(hop) = self.places.get_mut(id.place()).and_then(Option::as_mut) else { return };
        if hop.passed == passed {
            return;
        }
        let old = std::mem::replace(&mut hop.passed, passed);
        unlink(&mut self.users, &mut self.users_of_many, id, &old);
        match self.get(id).map(|hop| hop.passed.clone()) {
            Some(Passed::These(these)) => self.users.extend(these.into_iter().map(|address| (address, id))),
            Some(Passed::Many) => {
                self.users_of_many.insert(id);
            }
            None => {}
        }
    }

    /// All are due.
    pub(crate) fn all_due(&mut self) {
        self.due = self.by_address.values().copied().collect();
    }
}

/// Another number may have the address by now.
fn forget(by_address: &mut BTreeMap<IpAddr, HopId>, address: IpAddr, id: HopId) {
    if by_address.get(&address) == Some(&id) {
        by_address.remove(&address);
    }
}

/// It does not depend on these any more.
fn unlink(users: &mut BTreeSet<(IpAddr, HopId)>, of_many: &mut BTreeSet<HopId>, id: HopId, passed: &Passed) {
    match passed {
        Passed::These(these) => {
            for address in these {
                users.remove(&(*address, id));
            }
        }
        Passed::Many => {
            of_many.remove(&id);
        }
    }
}

impl Table {
    /// Begins or ends the tracking of next hops. Whoever changes it has everything selected anew.
    pub(crate) fn track_hops(&mut self, tracked: bool) {
        self.hops = Hops { tracked, ..Hops::default() };
        if !tracked {
            return;
        }
        let Self { hops, paths, sources, .. } = self;
        for (_, path) in paths.iter() {
            if let Some(route) = path.accepted().filter(|_| sources[path.source].has_next_hops()) {
                hops.add(route.hop, route.next_hop.addr, path.source);
            }
        }
    }

    /// A peer is bound to an interface or VRF from now on, or is not any more. Whoever changes it has its paths selected anew.
    pub(crate) fn bind_source(&mut self, source: SourceId, bound: bool) {
        if self.sources[source].bound == bound {
            return;
        }
        self.sources[source].bound = bound;
        let first = self.next_of_source(source, PathId::NONE);
        let paths: Vec<PathId> =
            std::iter::successors(first, |path| self.next_of_source(source, *path)).collect();
        for route in paths.into_iter().filter_map(|path| self.paths[path].accepted()) {
            if bound {
                self.hops.remove(route.hop);
            } else {
                self.hops.add(route.hop, route.next_hop.addr, source);
            }
        }
    }

    /// The accepted paths with any of these next hops, and their prefixes. Costs what those have announced who announced such a path, or
    /// the table once if that is a large part of it.
    pub(crate) fn paths_through(&self, changed: &[HopId]) -> Vec<(PathId, NetId)> {
        let mut marks = vec![false; self.hops.places.len()];
        let mut sources = BTreeSet::new();
        let mut everywhere = false;
        for id in changed {
            let Some(hop) = self.hops.get(*id) else { continue };
            marks[id.place()] = true;
            everywhere |= hop.sources.len() > SOURCES;
            sources.extend(hop.sources.iter().copied());
        }
        let uses = |path: &Path| {
            let route = path.accepted()?;
            marks.get(route.hop.place()).is_some_and(|marked| *marked).then_some(path.net)
        };
        // A source that has gone has no paths; one with its number has others.
        sources.retain(|id| self.sources.get(*id).is_some());
        let paths_of = |id: &SourceId| {
            let count = |family| self.sources[*id].counts(family).received as usize;
            Family::ALL.into_iter().map(count).sum::<usize>()
        };
        let announced: usize = sources.iter().map(paths_of).sum();
        if everywhere || announced > self.paths.len() / LARGE_PART {
            return self.paths.iter().filter_map(|(id, path)| Some((id, uses(path)?))).collect();
        }
        let all = sources.into_iter().flat_map(|source| {
            std::iter::successors(self.next_of_source(source, PathId::NONE), move |path| {
                self.next_of_source(source, *path)
            })
        });
        all.filter_map(|id| Some((id, uses(&self.paths[id])?))).collect()
    }
}
