//! A host outside of the cluster, which knows nothing of BGP, reaches a pod through the ToR, and is reached.

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use cairn_lab::probe::Report;

use crate::flow::{Server, words};
use crate::wait::eventually;
use crate::world::{SETTLES, play};

fn a_pod_is_reached_from_outside(families: Families) -> Result<()> {
    play("two-racks", "outside", families, |world| {
        let pod = world.pod("node3", "web")?;
        let _server = Server::start(world, &pod, 8080)?;
        for address in &pod.pod.addresses {
            eventually(SETTLES, || {
                let report = world.ping("outside", None, *address, 5)?;
                ensure!(report.lost() == 0, "{report:?}");
                Ok(())
            })
            .with_context(|| format!("outside does not reach {address}"))?;
            let stream = words(&format!("cairn-lab probe stream {address} 8080 --count 20 --interval 1"));
            let report = Report::parse(&world.exec("outside", &stream)?.stdout)?;
            ensure!(report.received == 20, "{report:?}");
            let outside = if address.is_ipv6() { "2001:db8:100::1" } else { "198.51.100.1" };
            let report = world.ping("node3", Some("web"), outside.parse()?, 5)?;
            ensure!(report.lost() == 0, "the pod does not reach {outside}: {report:?}");
        }
        Ok(())
    })
}

crate::scenario!(a_pod_is_reached_from_outside);
