//! Packets on a wire, as tcpdump reads them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::flow::Kept;
use crate::wait::eventually;
use crate::world::World;

/// How long a capture may take to start, or a packet to be in it.
const PATIENCE: Duration = Duration::from_secs(30);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A capture of one interface of a node, until it is dropped.
pub(crate) struct Watch {
    node: String,
    file: String,
    _tcpdump: Kept,
}

impl Watch {
    /// Starts it and waits until it runs.
    pub(crate) fn start(world: &World, node: &str, interface: &str, filter: &str) -> Result<Self> {
        let file = format!("/run/lab/watch-{}.pcap", COUNT.fetch_add(1, Ordering::Relaxed));
        let command = world.command(node, None)?;
        // A place in the buffer has room for what a device may join to one packet: the usual 2 MiB are 26 places.
        let line =
            format!("tcpdump -i {interface} -Z root -U -B 16384 --immediate-mode -w {file} '{filter}'");
        let watch = Self { node: node.to_owned(), file, _tcpdump: Kept::start(command, &line)? };
        // The file's header is written once packets are taken.
        eventually(PATIENCE, || {
            let size = world.exec(node, &["stat", "-c", "%s", &watch.file])?;
            ensure!(size.stdout.trim().parse::<u64>().is_ok_and(|size| size >= 24), "{}", size.text());
            Ok(())
        })?;
        Ok(watch)
    }

    /// What was captured so far, a line or more for each packet.
    pub(crate) fn now(&self, world: &World) -> Result<String> {
        self.read(world, "-nn")
    }

    /// What was captured, a line or more for each packet, once there is a line that is waited for.
    pub(crate) fn until(&self, world: &World, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.read_until(world, "-nn", wanted)
    }

    /// As [`Self::until`], with the Ethernet header on each line.
    pub(crate) fn frames_until(&self, world: &World, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.read_until(world, "-nne", wanted)
    }

    /// As [`Self::until`], with what is inside of each header.
    pub(crate) fn details_until(&self, world: &World, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.read_until(world, "-nnvv", wanted)
    }

    /// What was captured until now, and no more: where instructions are translated, packets come as fast as they are read, and there would be no end.
    fn read(&self, world: &World, how: &str) -> Result<String> {
        let file = &self.file;
        let script = format!("head -c $(stat -c %s {file}) {file} | tcpdump {how} -r -");
        Ok(world.exec(&self.node, &["sh", "-c", &script])?.stdout)
    }

    fn read_until(&self, world: &World, how: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut text = String::new();
        eventually(PATIENCE, || {
            text = self.read(world, how)?;
            ensure!(text.lines().any(&wanted), "not in the capture:\n{text}");
            Ok(())
        })?;
        Ok(text)
    }
}
