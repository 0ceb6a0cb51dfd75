//! Tracked flows of real packets.

mod namespace;

use std::net::{SocketAddr, UdpSocket};

use cairn_kernel::conntrack::{Conntrack, Endpoint, Flow};
use cairn_net::Family;
use namespace::Namespace;

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn the_flows_that_are_picked_are_ended_and_no_others() {
    let host = Namespace::new();
    // Flows are tracked where some rule looks at their state.
    host.run("nft add table inet track");
    host.run("nft add chain inet track out { type filter hook output priority 0 ; }");
    host.run("nft add rule inet track out ct state new accept");
    let mut conntrack = Conntrack::open_in(&host.netns).unwrap();
    for (family, local) in [(Family::Ipv4, "127.0.0.1"), (Family::Ipv6, "::1")] {
        let send = |port: u16| {
            let addr: SocketAddr = (local.parse::<std::net::IpAddr>().unwrap(), 0).into();
            let socket = UdpSocket::bind(addr).unwrap();
            socket.send_to(b"x", (addr.ip(), port)).unwrap();
        };
        host.netns.run(|| [5001, 5002, 5003].map(send)).unwrap();
        let to = |flow: &Flow, wanted: u16| {
            flow.original.protocol == 17
                && matches!(flow.original.endpoint, Endpoint::Ports(_, p) if p == wanted)
        };
        let flows = conntrack.list(family, |flow| flow.original.protocol == 17).unwrap();
        assert_eq!(flows.len(), 3, "{flows:?}");
        assert!(flows.iter().all(|flow| !flow.is_translated() && flow.zone == 0));
        assert_eq!(conntrack.delete(family, |flow| to(flow, 5002)).unwrap(), 1);
        assert_eq!(conntrack.delete(family, |flow| to(flow, 5002)).unwrap(), 0);
        assert_eq!(conntrack.list(family, |flow| flow.original.protocol == 17).unwrap().len(), 2);
    }
}
