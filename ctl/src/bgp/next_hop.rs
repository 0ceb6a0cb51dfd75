//! `cairnctl bgp nexthops`.

use std::net::IpAddr;

use bgpd_api::Client;
use bgpd_api::next_hop::{NextHop, NextHopGateway};

use crate::Error;
use crate::output::Output;
use crate::table::{Table, age};

pub(super) async fn print(
    client: &mut Client,
    address: Option<IpAddr>,
    output: &mut Output,
) -> Result<(), Error> {
    let mut pages = client.list_next_hops(address).await?;
    let mut table = Table::new(&["NEXT HOP", "PATHS", "METRIC", "RESOLVED BY", "VIA", "SINCE"]);
    let mut tracked = true;
    while let Some(page) = pages.next().await? {
        tracked &= page.tracked;
        for hop in &page.next_hops {
            if output.is_json() {
                output.json(hop)?;
            } else {
                table.row(row(hop));
            }
        }
    }
    if output.is_json() {
        return Ok(());
    }
    if !tracked {
        return output.line("next hops are not tracked (nextHopTracking)");
    }
    table.print(output)
}

fn row(hop: &NextHop) -> Vec<String> {
    let by = match (&hop.via, hop.unreachable.is_empty()) {
        (Some(via), _) => format!("{via} ({})", hop.protocol),
        (None, false) => format!("unreachable: {}", hop.unreachable),
        (None, true) => "not known yet".to_owned(),
    };
    let gateways: Vec<String> = hop.gateways.iter().map(gateway).collect();
    let via = if hop.discarded {
        "blackhole".to_owned()
    } else if hop.connected {
        hop.gateways.first().map(|gateway| format!("connected, {}", interface(gateway))).unwrap_or_default()
    } else {
        gateways.join(", ")
    };
    vec![
        hop.address.to_string(),
        hop.paths.to_string(),
        hop.metric.map_or_else(|| "-".to_owned(), |metric| metric.to_string()),
        by,
        if via.is_empty() { "-".to_owned() } else { via },
        age(hop.since),
    ]
}

fn interface(gateway: &NextHopGateway) -> String {
    if gateway.interface_name.is_empty() {
        format!("interface {}", gateway.interface)
    } else {
        gateway.interface_name.clone()
    }
}

fn gateway(gateway: &NextHopGateway) -> String {
    let address = gateway.address.map(|address| address.to_string()).unwrap_or_default();
    format!("{address} {}", interface(gateway))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_says_by_what_and_over_which_links() {
        let gateway = |address: &str, name: &str| NextHopGateway {
            address: address.parse().ok(),
            interface: 3,
            interface_name: name.to_owned(),
        };
        let reachable = NextHop {
            address: "10.9.0.1".parse().unwrap(),
            paths: 2,
            metric: Some(20),
            connected: false,
            unreachable: String::new(),
            via: "10.9.0.0/16".parse().ok(),
            protocol: "static".to_owned(),
            gateways: vec![gateway("192.0.2.1", "eth0"), gateway("192.0.2.2", "")],
            discarded: false,
            since: Duration::from_secs(61),
        };
        let cells = row(&reachable);
        assert_eq!(
            cells[..5],
            ["10.9.0.1", "2", "20", "10.9.0.0/16 (static)", "192.0.2.1 eth0, 192.0.2.2 interface 3"]
        );
        let connected = NextHop { connected: true, metric: Some(0), ..reachable.clone() };
        assert_eq!(row(&connected)[4], "connected, eth0");
        let discarded = NextHop { discarded: true, gateways: Vec::new(), ..reachable.clone() };
        assert_eq!(row(&discarded)[4], "blackhole");
        let unreachable = NextHop {
            metric: None,
            unreachable: "no route leads there".to_owned(),
            via: None,
            gateways: Vec::new(),
            ..reachable
        };
        assert_eq!(row(&unreachable)[2..5], ["-", "unreachable: no route leads there", "-"]);
    }
}
