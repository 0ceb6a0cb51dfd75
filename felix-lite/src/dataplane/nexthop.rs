//! Numbers of nexthop objects.
//!
//! A gateway has one object, a set of several gateways one group; both are shared by all routes that use them. An object
//! never changes what it stands for, so a route moves by naming another. The numbers are what a restart finds in
//! the kernel again: whoever wants the same thing gets the same number.

use std::collections::BTreeSet;

use cairn_kernel::object::{IfIndex, Nexthop, NexthopId, NexthopTarget};
use felix_core::Gateway;
use foldhash::HashMap;

/// Who uses which number, and what for.
#[derive(Debug, Default)]
pub(super) struct Nexthops {
    by_target: HashMap<NexthopTarget, NexthopId>,
    targets: HashMap<NexthopId, NexthopTarget>,
    users: HashMap<NexthopId, usize>,
    /// Numbers whose last user went.
    unused: BTreeSet<NexthopId>,
    next: u32,
}

impl Nexthops {
    /// Takes up an object that is in the kernel already.
    pub(super) fn adopt(&mut self, nexthop: &Nexthop) {
        if nexthop.id.is_ours() && !self.targets.contains_key(&nexthop.id) {
            self.next = self.next.max(nexthop.id.0 - NexthopId::FIRST.0 + 1);
            self.remember(nexthop.id, nexthop.target.clone());
            self.unused.insert(nexthop.id);
        }
    }

    /// One more route uses these gateways, at least one; gives the number for the route, and the objects that come
    /// into use with it, members before their group. `None` if all numbers are taken.
    pub(super) fn acquire(&mut self, gateways: &[Gateway]) -> Option<(NexthopId, Vec<Nexthop>)> {
        let mut members = Vec::with_capacity(gateways.len());
        for gateway in gateways {
            let target = NexthopTarget::Gateway {
                gateway: gateway.address,
                dev: IfIndex(gateway.index),
                onlink: gateway.onlink,
            };
            members.push((self.number(target)?, 1));
        }
        members.sort_unstable();
        let mut begun = Vec::new();
        let id = match members.as_slice() {
            [] => return None,
            [(only, _)] => *only,
            _ => {
                let group = self.number(NexthopTarget::Group { members: members.clone(), buckets: None })?;
                if !self.users.contains_key(&group) {
                    // The group itself is a user of its members.
                    members.iter().for_each(|(member, _)| self.hold(*member, &mut begun));
                }
                group
            }
        };
        self.hold(id, &mut begun);
        Some((id, begun))
    }

    /// One route fewer uses the number.
    pub(super) fn release(&mut self, id: NexthopId) {
        let Some(users) = self.users.get_mut(&id) else { return };
        *users -= 1;
        if *users > 0 {
            return;
        }
        self.users.remove(&id);
        self.unused.insert(id);
        if let Some(NexthopTarget::Group { members, .. }) = self.targets.get(&id).cloned() {
            members.iter().for_each(|(member, _)| self.release(*member));
        }
    }

    /// Forgets the numbers that nobody uses: groups first, then gateways, to be deleted in this order.
    pub(super) fn take_unused(&mut self) -> Vec<NexthopId> {
        let mut unused: Vec<_> = std::mem::take(&mut self.unused).into_iter().collect();
        let is_gateway = |id: &NexthopId| !matches!(self.targets.get(id), Some(NexthopTarget::Group { .. }));
        unused.sort_by_key(|id| (is_gateway(id), *id));
        for id in &unused {
            if let Some(target) = self.targets.remove(id) {
                self.by_target.remove(&target);
            }
        }
        unused
    }

    fn hold(&mut self, id: NexthopId, begun: &mut Vec<Nexthop>) {
        let users = self.users.entry(id).or_insert(0);
        *users += 1;
        if *users == 1 {
            self.unused.remove(&id);
            begun.extend(self.targets.get(&id).map(|target| Nexthop::new(id, target.clone())));
        }
    }

    fn number(&mut self, target: NexthopTarget) -> Option<NexthopId> {
        if let Some(id) = self.by_target.get(&target) {
            return Some(*id);
        }
        let span = NexthopId::LAST.0 - NexthopId::FIRST.0 + 1;
        let free = (0..span).map(|offset| NexthopId(NexthopId::FIRST.0 + (self.next + offset) % span));
        let id = free.into_iter().find(|id| !self.targets.contains_key(id))?;
        self.next = (id.0 - NexthopId::FIRST.0 + 1) % span;
        self.remember(id, target);
        Some(id)
    }

    fn remember(&mut self, id: NexthopId, target: NexthopTarget) {
        self.by_target.insert(target.clone(), id);
        self.targets.insert(id, target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(last: &[u8]) -> Vec<Gateway> {
        last.iter().map(|last| Gateway::on([192, 0, 2, *last].into(), 2)).collect()
    }

    #[test]
    fn equal_gateways_share_an_object_and_several_a_group() {
        let mut nexthops = Nexthops::default();
        let (one, begun) = nexthops.acquire(&gateways(&[1])).unwrap();
        assert_eq!(begun.len(), 1);
        let (group, begun) = nexthops.acquire(&gateways(&[1, 2])).unwrap();
        assert_eq!(begun.len(), 2, "the other gateway, and the group");
        assert_eq!(begun[1].id, group, "after its members");
        assert_eq!(nexthops.acquire(&gateways(&[1, 2])), Some((group, Vec::new())));

        nexthops.release(one);
        assert!(nexthops.take_unused().is_empty(), "the group uses it");
        nexthops.release(group);
        nexthops.release(group);
        assert_eq!(nexthops.take_unused().first(), Some(&group), "before its members");
    }

    #[test]
    fn what_a_restart_finds_is_used_again_under_its_number() {
        let mut before = Nexthops::default();
        let (group, objects) = before.acquire(&gateways(&[1, 2])).unwrap();
        let (_, other) = before.acquire(&gateways(&[3])).unwrap();
        let mut after = Nexthops::default();
        objects.iter().chain(&other).for_each(|object| after.adopt(object));
        assert_eq!(after.acquire(&gateways(&[2, 1])), Some((group, objects)));
        assert_eq!(after.take_unused(), [other[0].id], "nobody wanted it");
        let (new, _) = after.acquire(&gateways(&[9])).unwrap();
        assert!(new.0 > other[0].id.0);
    }
}
