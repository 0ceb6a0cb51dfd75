//! Which links routes of several ways lead over.

use std::collections::BTreeMap;

use super::Route;

/// How many routes that lead over several links there are, by each of these links.
#[derive(Debug, Default)]
pub(super) struct Spread {
    links: BTreeMap<u32, usize>,
    changed: bool,
}

impl Spread {
    /// A route takes the place of another.
    pub(super) fn put(&mut self, old: Option<&Route>, new: Option<&Route>) {
        if old == new {
            return;
        }
        for link in links(new) {
            let count = self.links.entry(link).or_insert(0);
            self.changed |= *count == 0;
            *count += 1;
        }
        for link in links(old) {
            let Some(count) = self.links.get_mut(&link) else { continue };
            *count -= 1;
            if *count == 0 {
                self.links.remove(&link);
                self.changed = true;
            }
        }
    }

    /// The links.
    pub(super) fn links(&self) -> impl Iterator<Item = u32> {
        self.links.keys().copied()
    }

    /// Did [`Self::links`] change since the last time?
    pub(super) fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// The links of a route, if they are several.
fn links(route: Option<&Route>) -> Vec<u32> {
    let gateways = match route {
        Some(Route::Gateways(gateways)) if gateways.len() > 1 => gateways,
        _ => return Vec::new(),
    };
    let mut links: Vec<u32> = gateways.iter().map(|gateway| gateway.index).collect();
    links.sort_unstable();
    links.dedup();
    if links.len() < 2 {
        links.clear();
    }
    links
}
