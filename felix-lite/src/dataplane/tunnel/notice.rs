//! What others did to tunnel devices and to what is on them.

use std::time::Instant;

use cairn_kernel::object::{Address, Change, Forwarding, IfIndex, Link, Neighbour};
use felix_core::TunnelKind;

use super::{Tunnels, device};

impl Tunnels {
    /// Somebody made, changed or deleted an interface with the name of a tunnel.
    pub(in crate::dataplane) fn link_changed(&mut self, change: &Change<Link>) {
        let link = change.object();
        let Some(kind) = TunnelKind::ALL.into_iter().find(|kind| kind.device() == link.name) else { return };
        let ours = self.devices.get(&kind).is_some_and(|device| device.index == link.index);
        if ours && matches!(change, Change::Gone(_)) {
            // What was on it went along, and it has another number when it is back.
            self.forget_objects(kind);
        }
        if let Some(tunnel) = self.wanted.get(&kind) {
            let gone = matches!(change, Change::Gone(_));
            // Whoever goes on changing it neither postpones a repair that is due, nor do changes that need none count.
            let is_right =
                device::is_as_wanted(link, tunnel) && self.offload.is_as_wanted(&link.name, tunnel);
            let needless = if gone { !ours } else { ours && is_right };
            if !needless {
                self.repair_soon(kind);
            }
        } else if ours && matches!(change, Change::Gone(_)) {
            self.devices.remove(&kind);
        }
    }

    /// Settings of an interface were changed.
    pub(in crate::dataplane) fn settings_changed(&mut self, index: IfIndex) {
        let kind = self.devices.iter().find(|(_, device)| device.index == index).map(|(kind, _)| *kind);
        let Some((kind, tunnel)) = kind.and_then(|kind| Some((kind, self.wanted.get(&kind)?))) else {
            return;
        };
        // Nobody minds a link that cannot be read now: what is wrong is found at the next repair.
        if let Ok(Some(link)) = self.rtnl.link(index)
            && !device::is_as_wanted(&link, tunnel)
        {
            self.repair_soon(kind);
        }
    }

    /// Settings of all interfaces were changed, which a device's own may depend on.
    pub(in crate::dataplane) fn settings_of_all_changed(&mut self) {
        let all: Vec<_> = self.devices.values().map(|device| device.index).collect();
        all.into_iter().for_each(|index| self.settings_changed(index));
    }

    /// Somebody changed an address on a tunnel.
    pub(in crate::dataplane) fn address_changed(&mut self, change: Change<Address>) {
        // One that nobody set is of the kernel's making, which it was told not to do.
        self.settings_changed(change.object().link);
        self.objects.address_changed(change);
    }

    /// Somebody changed a neighbour on a tunnel.
    pub(in crate::dataplane) fn neighbour_changed(&mut self, change: Change<Neighbour>) {
        self.objects.neighbour_changed(change);
    }

    /// Somebody changed a forwarding entry of a tunnel.
    pub(in crate::dataplane) fn forwarding_changed(&mut self, change: Change<Forwarding>) {
        self.objects.forwarding_changed(change);
    }

    /// Notifications were lost: everything is read again at the next [`Self::write`].
    pub(in crate::dataplane) fn resync(&mut self) {
        self.objects.resync();
        let now = Instant::now();
        self.pending.extend(self.wanted.keys().map(|kind| (*kind, now)));
        self.encryption.resync();
    }

    fn repair_soon(&mut self, kind: TunnelKind) {
        if !self.pending.contains_key(&kind) {
            let now = Instant::now();
            let at = now + self.patience.wait(kind, now).1;
            self.pending.insert(kind, at);
        }
    }
}
