//! Ways to forward, each once however many routes share it.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

/// A router on a link of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Gateway {
    /// Its address.
    pub(super) address: IpAddr,
    /// The number of its interface, where it is link-local or was found by looking a next hop up.
    pub(super) interface: Option<u32>,
    /// No network of the interface need cover it.
    pub(super) onlink: bool,
}

/// What is done with traffic to a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// It goes to one of these: sorted, each once, at least one.
    Hops(Box<[Gateway]>),
    /// It is dropped (RFC 7999).
    Blackhole,
}

impl Way {
    /// To these; `None` if there are none.
    pub(super) fn hops(hops: impl IntoIterator<Item = Gateway>) -> Option<Self> {
        let mut hops: Vec<Gateway> = hops.into_iter().collect();
        hops.sort_unstable();
        hops.dedup();
        (!hops.is_empty()).then(|| Self::Hops(hops.into()))
    }
}

/// Names a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WayId(u32);

/// A route's way, and whether the kernel has the route from us. In one number, since each route has one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    const OURS: u32 = 1 << 31;

    pub(super) const fn new(way: WayId, ours: bool) -> Self {
        Self(way.0 | if ours { Self::OURS } else { 0 })
    }

    pub(super) const fn way(self) -> WayId {
        WayId(self.0 & !Self::OURS)
    }

    /// The kernel has a route of ours to the prefix: it may be replaced.
    pub(super) const fn is_ours(self) -> bool {
        self.0 & Self::OURS != 0
    }
}

/// The ways that are in use.
#[derive(Debug)]
pub(super) struct Ways {
    /// With how many routes use it. A place without a way is free.
    places: Vec<(Option<Arc<Way>>, u32)>,
    free: Vec<u32>,
    numbers: HashMap<Arc<Way>, u32>,
}

impl Ways {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), numbers: HashMap::new() }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The way.
    pub(super) fn get(&self, id: WayId) -> Option<&Way> {
        self.places.get(id.0 as usize)?.0.as_deref()
    }

    /// One more route uses the way.
    pub(super) fn acquire(&mut self, way: &Way) -> WayId {
        if let Some(number) = self.numbers.get(way) {
            if let Some((_, users)) = self.places.get_mut(*number as usize) {
                *users += 1;
            }
            return WayId(*number);
        }
        let way = Arc::new(way.clone());
        let place = (Some(Arc::clone(&way)), 1);
        let number = match self.free.pop() {
            Some(number) => {
                self.places[number as usize] = place;
                number
            }
            None => {
                self.places.push(place);
                let number =
                    u32::try_from(self.places.len() - 1).ok().filter(|number| number & Entry::OURS == 0);
                number.expect("fewer than 2^31 different ways fit in memory")
            }
        };
        self.numbers.insert(way, number);
        WayId(number)
    }

    /// One route less uses the way; after the last one it is forgotten.
    pub(super) fn release(&mut self, id: WayId) {
        let Some((way, users)) = self.places.get_mut(id.0 as usize) else { return };
        *users -= 1;
        if *users == 0
            && let Some(way) = way.take()
        {
            self.numbers.remove(&way);
            self.free.push(id.0);
        }
    }
}
