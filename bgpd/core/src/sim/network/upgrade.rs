//! A node's process is replaced by another one that takes its sessions over.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Event, LinkId, Sim};
use crate::speaker::{ConnId, HandOverError, Input, Speaker};

impl Sim {
    /// A new process takes a node's Established sessions over; its other connections are closed.
    ///
    /// # Errors
    /// If the old one cannot hand over now; it goes on.
    ///
    /// # Panics
    /// If the new one does not understand it.
    pub fn take_over(&mut self, address: IpAddr) -> Result<(), HandOverError> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&address) else { return Ok(()) };
        let Some(old) = node.speaker.as_mut() else { return Ok(()) };
        let handed = old.hand_over()?;
        let (speaker, taken) =
            Speaker::take_over(now, &node.config, node.surroundings.clone(), &handed.state)
                .expect("a speaker understands its own state");
        node.speaker = Some(speaker);
        let mut before = std::mem::take(&mut node.ends);
        let mut after: BTreeMap<ConnId, LinkId> = BTreeMap::new();
        let mut names: BTreeMap<ConnId, ConnId> = BTreeMap::new();
        for (old, new) in handed.connections.into_iter().zip(taken) {
            if let Some(link) = before.remove(&old) {
                after.insert(new.conn, link);
                names.insert(old, new.conn);
            }
        }
        for conn in before.into_keys() {
            self.hang_up(address, conn);
        }
        // A socket that was handed over has a new name, for what is on its way to it, too.
        let ends = self.links.values_mut().flat_map(|link| &mut link.ends);
        let ends = ends.filter(|(node, _)| *node == address).map(|(_, conn)| conn);
        let closing = self.events.values_mut().filter_map(|event| match event {
            Event::Closed { node, conn } if *node == address => Some(conn),
            _ => None,
        });
        for conn in ends.chain(closing) {
            if let Some(name) = names.get(conn) {
                *conn = *name;
            }
        }
        if let Some(waiting) = self.stalled.get_mut(&address) {
            waiting.clear();
        }
        if let Some(node) = self.nodes.get_mut(&address) {
            node.ends = after;
        }
        self.input(address, Input::WatchRoutes(true));
        if let Some(routes) = self.nodes.get(&address).and_then(|node| node.kernel.clone()) {
            self.tell_kernel(address, routes);
        }
        Ok(())
    }
}
