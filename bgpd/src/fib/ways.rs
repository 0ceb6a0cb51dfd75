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

/// A route's way, and what is known of the route in the kernel. Four octets that lie anywhere, since each route has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry([u8; 4]);

impl Entry {
    const OURS: u32 = 1 << 31;
    const RIGHT: u32 = 1 << 30;
    const FLAGS: u32 = Self::OURS | Self::RIGHT;

    pub(super) const fn new(way: WayId, ours: bool) -> Self {
        Self::from_number(way.0 | if ours { Self::OURS } else { 0 })
    }

    pub(super) const fn way(self) -> WayId {
        WayId(self.number() & !Self::FLAGS)
    }

    /// The kernel has a route of ours to the prefix: it may be replaced.
    pub(super) const fn is_ours(self) -> bool {
        self.number() & Self::OURS != 0
    }

    /// The comparison that is under way has found it in the kernel as it should be.
    pub(super) const fn is_right(self) -> bool {
        self.number() & Self::RIGHT != 0
    }

    /// The comparison has found it so.
    pub(super) const fn right(self) -> Self {
        Self::from_number(self.number() | Self::FLAGS)
    }

    const fn number(self) -> u32 {
        u32::from_ne_bytes(self.0)
    }

    const fn from_number(number: u32) -> Self {
        Self(number.to_ne_bytes())
    }
}

/// The ways that are in use.
#[derive(Debug, Clone)]
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

    /// One more route uses the way, which this number has had, and may still have.
    pub(super) fn acquire_again(&mut self, way: &Way, id: WayId) -> WayId {
        match self.places.get_mut(id.0 as usize) {
            Some((Some(same), users)) if **same == *way => {
                *users += 1;
                id
            }
            _ => self.acquire(way),
        }
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
                    u32::try_from(self.places.len() - 1).ok().filter(|number| number & Entry::FLAGS == 0);
                number.expect("fewer than 2^30 different ways fit in memory")
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
