//! A namespace with a link and one nexthop object for each family's routes.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use cairn_kernel::object::{
    Address, LinkChange, LinkName, Nexthop, NexthopId, NexthopTarget, PROTOCOL, TableId, Veth, VethEnd,
};
use cairn_kernel::{Netns, Requests, Rtnl};
use cairn_net::{Family, Prefix};

/// The namespace; deleted when dropped.
pub(crate) struct Namespace {
    name: String,
    pub(crate) netns: Netns,
    rtnl: Rtnl,
}

impl Namespace {
    /// A new one, whose nexthop object leads to an IPv6 neighbour: routes of both families may use it.
    pub(crate) fn new(kind: &str) -> Result<Self> {
        let name = format!("kern-bench-{kind}-{}", std::process::id());
        let netns = Netns::create(&name)?;
        let rtnl = Rtnl::open_in(&netns);
        let mut this = Self { name, netns, rtnl: rtnl? };
        let (near, far): (LinkName, LinkName) = ("a0".parse()?, "b0".parse()?);
        let end = |name: &LinkName| VethEnd { name: name.clone(), mac: None };
        let veth = Veth { host: end(&near), peer: end(&far), peer_netns: None, mtu: 1500, up: true };
        let up = LinkChange { up: Some(true), ..LinkChange::default() };
        this.rtnl.execute_all(Requests::new().create_veth(&veth).change_link(&far, &up))?;
        let dev = this.rtnl.link(&near)?.context("the link is gone")?.index;
        let addr: IpAddr = "2001:db8::1".parse()?;
        let gateway: IpAddr = "2001:db8::2".parse()?;
        this.rtnl.create(&Address { prefix_len: 64, ..Address::host(dev, addr) })?;
        let target = NexthopTarget::Gateway { gateway, dev, onlink: false };
        this.rtnl.create(&Nexthop::new(NexthopId::FIRST, target))?;
        Ok(this)
    }

    /// Fails unless exactly so many routes of ours are there.
    pub(crate) fn expect(&mut self, prefixes: &[Prefix]) -> Result<()> {
        let found = self.rtnl.routes(TableId::MAIN, PROTOCOL, Family::ALL)?.len();
        ensure!(found == prefixes.len(), "{found} routes in the kernel, {} expected", prefixes.len());
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = Netns::delete(&self.name) {
            eprintln!("{error}");
        }
    }
}
