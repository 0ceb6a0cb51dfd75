//! The kernel's own work for one pod and nothing else: no checks, no record, no firewall, no addresses chosen.

use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use cairn_kernel::object::{Address, LinkChange, LinkName, Neighbour, Route, Veth, VethEnd};
use cairn_kernel::sysctl::Conf;
use cairn_kernel::{Netns, Requests, Rtnl};
use cairn_lab::cni::node;
use cairn_net::{Family, Mac, Prefix};
use nix::sys::resource::UsageWho;

use crate::measure::usage;
use crate::way::{Pod, Way, in_netns, run};

const HOST_MAC: Mac = Mac([0xee; 6]);
const POD_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Says that this process is a one-shot: verb, number and families of the pod, path of its namespace.
const ONE_SHOT: &str = "CNI_BENCH_ONE_SHOT";

/// What one pod gets.
#[derive(Clone)]
struct Plan {
    host: LinkName,
    netns: String,
    addresses: Vec<(std::net::IpAddr, std::net::IpAddr)>,
}

impl Plan {
    fn new(prefix: &str, number: usize, netns: String, families: &[Family]) -> Result<Self> {
        let address = |family: &Family| -> Result<_> {
            let (pool, gateway) = match family {
                Family::Ipv4 => ("10.98.0.0/16", "169.254.1.1"),
                Family::Ipv6 => ("fd00:98::/112", "fe80::ecee:eeff:feee:eeee"),
            };
            let pool: Prefix = pool.parse()?;
            Ok((pool.nth(number as u128 + 1).context("the pool is large enough")?, gateway.parse()?))
        };
        let addresses = families.iter().map(address).collect::<Result<_>>()?;
        Ok(Self { host: format!("{prefix}{number}").parse()?, netns, addresses })
    }

    fn add(&self, rtnl: &mut Rtnl) -> Result<()> {
        let netns = Netns::open(self.netns.as_ref())?;
        let eth0: LinkName = "eth0".parse()?;
        rtnl.create_veth(&Veth {
            host: VethEnd { name: self.host.clone(), mac: Some(HOST_MAC) },
            peer: VethEnd { name: eth0.clone(), mac: Some(POD_MAC) },
            peer_netns: Some(netns.as_fd()),
            mtu: 1500,
            up: true,
        })?;
        let index = rtnl.link(&self.host)?.context("just made")?.index;
        let conf = [(Conf::Forwarding, 1), (Conf::ProxyArp, 1)];
        let mut requests = Requests::new();
        requests.change_link(index, &LinkChange { ipv4: &conf, ..LinkChange::default() });
        for (address, _) in &self.addresses {
            requests.replace(&Neighbour::permanent(index, *address, POD_MAC));
            requests.replace(&Route::dev(Prefix::host(*address), index));
        }
        rtnl.execute_all(&mut requests)?;

        let mut inside = Rtnl::open_in(&netns)?;
        let index = inside.link(&eth0)?.context("just made")?.index;
        let mut requests = Requests::new();
        requests.change_link(index, &LinkChange { up: Some(true), ..LinkChange::default() });
        for (address, gateway) in &self.addresses {
            requests.replace(&Address::host(index, *address));
            requests.replace(&Neighbour::permanent(index, *gateway, HOST_MAC));
            if gateway.is_ipv4() {
                requests.replace(&Route::dev(Prefix::host(*gateway), index));
            }
            let everything = Prefix::containing(*address, 0).context("0 is a length")?;
            requests.replace(&Route::via(everything, *gateway, Some(index)));
        }
        Ok(inside.execute_all(&mut requests)?)
    }

    fn del(&self, rtnl: &mut Rtnl) -> Result<()> {
        rtnl.delete_link(&self.host)?;
        Ok(())
    }
}

/// In this process, with a socket that stays open.
pub(crate) struct InProcess<'a> {
    rtnl: Mutex<Rtnl>,
    families: &'a [Family],
}

impl<'a> InProcess<'a> {
    pub(crate) fn new(netns: &node::Netns, families: &'a [Family]) -> Result<Self> {
        let rtnl = Mutex::new(Rtnl::open_in(&Netns::named(&netns.name)?)?);
        Ok(Self { rtnl, families })
    }

    fn call(&self, pod: &Pod, work: impl Fn(&Plan, &mut Rtnl) -> Result<()>) -> Result<()> {
        let plan = Plan::new(&format!("f{}", pod.series), pod.number, pod.netns.path(), self.families)?;
        // The kernel lets one writer through at a time anyway.
        work(&plan, &mut self.rtnl.lock().expect("no writer panics"))
    }
}

impl Way for InProcess<'_> {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn add(&self, pod: &Pod) -> Result<()> {
        self.call(pod, Plan::add)
    }

    fn del(&self, pod: &Pod) -> Result<()> {
        self.call(pod, Plan::del)
    }

    fn cpu(&self) -> Result<Duration> {
        usage(UsageWho::RUSAGE_SELF)
    }
}

/// In a process started for each call: this program again.
pub(crate) struct OneShot<'a> {
    netns: String,
    families: &'a [Family],
}

impl<'a> OneShot<'a> {
    pub(crate) fn new(netns: &node::Netns, families: &'a [Family]) -> Result<Self> {
        Ok(Self { netns: netns.name.clone(), families })
    }

    fn call(&self, verb: &str, pod: &Pod) -> Result<()> {
        let mut command: Command = in_netns(&self.netns, std::env::current_exe()?)?;
        let dual = self.families.len() > 1;
        command.env(ONE_SHOT, format!("{verb} o{} {} {dual} {}", pod.series, pod.number, pod.netns.path()));
        run(command, &[])
    }
}

impl Way for OneShot<'_> {
    fn name(&self) -> &'static str {
        "one-shot"
    }

    fn add(&self, pod: &Pod) -> Result<()> {
        self.call("ADD", pod)
    }

    fn del(&self, pod: &Pod) -> Result<()> {
        self.call("DEL", pod)
    }
}

/// The work of a one-shot, if this process is one.
pub(crate) fn one_shot() -> Option<Result<()>> {
    std::env::var(ONE_SHOT).ok().map(|text| {
        let words: Vec<&str> = text.split(' ').collect();
        let [verb, prefix, number, dual, netns] = words[..] else { anyhow::bail!("{ONE_SHOT}={text}") };
        let families = if dual == "true" { &Family::ALL[..] } else { &Family::ALL[..1] };
        let plan = Plan::new(prefix, number.parse()?, netns.to_owned(), families)?;
        let mut rtnl = Rtnl::open()?;
        if verb == "ADD" { plan.add(&mut rtnl) } else { plan.del(&mut rtnl) }
    })
}
