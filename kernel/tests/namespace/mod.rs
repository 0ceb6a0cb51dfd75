//! Namespaces for tests: each test has its own, deleted also when it panics.
#![allow(dead_code, unreachable_pub)] // each test program uses a part of it

use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use cairn_kernel::object::{IfIndex, LinkChange, LinkName};
use cairn_kernel::{Netns, Rtnl};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A named namespace with its loopback up.
pub struct Namespace {
    pub name: String,
    pub netns: Netns,
    pub rtnl: Rtnl,
}

impl Namespace {
    pub fn new() -> Self {
        let name = format!("kern-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let netns = Netns::create(&name).unwrap();
        let mut rtnl = Rtnl::open_in(&netns).unwrap();
        rtnl.change_link(&link("lo"), &up()).unwrap();
        Self { name, netns, rtnl }
    }

    /// The output of a program that runs inside.
    pub fn run(&self, command: &str) -> String {
        let output = self.command(command).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Does a program that runs inside succeed?
    pub fn succeeds(&self, command: &str) -> bool {
        self.command(command).output().unwrap().status.success()
    }

    fn command(&self, command: &str) -> Command {
        let mut run = Command::new("ip");
        run.args(["netns", "exec", &self.name]).args(command.split(' '));
        run
    }

    pub fn index(&mut self, name: &str) -> IfIndex {
        self.rtnl.link(&link(name)).unwrap().unwrap().index
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Netns::delete(&self.name);
    }
}

pub fn link(name: &str) -> LinkName {
    name.parse().unwrap()
}

pub fn up() -> LinkChange<'static> {
    LinkChange { up: Some(true), ..LinkChange::default() }
}
