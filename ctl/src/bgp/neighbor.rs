//! `cairnctl bgp neighbors`.

use std::net::IpAddr;

use bgpd_api::Client;
use bgpd_api::peer::Peer;

use crate::Error;
use crate::output::Output;
use crate::table::{Table, age, remote_as};

pub(super) async fn print(
    client: &mut Client,
    only: Option<IpAddr>,
    limit: Option<usize>,
    output: &mut Output,
) -> Result<(), Error> {
    let mut stream = client.list_peers(only).await?;
    for _ in 0..limit.unwrap_or(usize::MAX) {
        let Some(peer) = stream.next().await? else { break };
        if output.is_json() {
            output.json(&peer)?;
        } else {
            detail(&peer, output)?;
        }
    }
    Ok(())
}

fn detail(peer: &Peer, output: &mut Output) -> Result<(), Error> {
    output.line(
        format_args!("{}  AS {}  {}", peer.address, remote_as(peer.remote_as), peer.description)
            .to_string()
            .trim_end(),
    )?;
    let mut field = |name: &str, value: String| -> Result<(), Error> {
        if value.is_empty() { Ok(()) } else { output.line(format_args!("  {name:<16}{value}")) }
    };
    let disabled = if peer.enabled { "" } else { " (disabled)" };
    field("state", format!("{}{disabled}, for {}", peer.state, age(peer.state_for)))?;
    field("sessions", format!("{} established, {} lost", peer.established_count, peer.dropped_count))?;
    if !peer.last_error.is_empty() {
        field("last error", format!("{} ({} ago)", peer.last_error, age(peer.last_error_age)))?;
    }
    for (name, last) in
        [("last sent", &peer.notification_sent), ("last received", &peer.notification_received)]
    {
        if let Some(last) = last {
            let numbers = format!("{}/{}", last.code, last.subcode);
            field(name, format!("NOTIFICATION {numbers} {} ({} ago)", last.text, age(last.age)))?;
        }
    }
    for note in &peer.notes {
        field("note", note.clone())?;
    }
    field("router id", peer.router_id.map(|id| id.to_string()).unwrap_or_default())?;
    if let (Some(local), Some(port)) = (peer.local, peer.remote_port) {
        field("connection", format!("{local} to port {port}"))?;
        field(
            "timers",
            format!("hold time {}s, keepalive {}s", peer.hold_time.as_secs(), peer.keepalive_time.as_secs()),
        )?;
    }
    field("next", next(peer).join(", "))?;
    field("capabilities", peer.capabilities.join(", "))?;
    field("  sent", peer.capabilities_sent.join(", "))?;
    field("  received", peer.capabilities_received.join(", "))?;
    messages(peer, output)?;
    families(peer, output)?;
    output.line("")
}

/// What the running timers will do.
fn next(peer: &Peer) -> Vec<String> {
    let timers = [
        ("hold timer expires", peer.hold_timer),
        ("KEEPALIVE", peer.keepalive_timer),
        ("connect timer expires", peer.connect_timer),
    ];
    let running = timers.iter().filter(|(_, left)| !left.is_zero());
    running.map(|(what, left)| format!("{what} in {:.1}s", left.as_secs_f64())).collect()
}

fn messages(peer: &Peer, output: &mut Output) -> Result<(), Error> {
    let (received, sent) = (&peer.counters.received, &peer.counters.sent);
    let mut table = Table::new(&["  MESSAGES", "RECEIVED", "SENT"]);
    for (name, received, sent) in [
        ("OPEN", received.opens, sent.opens),
        ("UPDATE", received.updates, sent.updates),
        ("NOTIFICATION", received.notifications, sent.notifications),
        ("KEEPALIVE", received.keepalives, sent.keepalives),
        ("ROUTE-REFRESH", received.route_refreshes, sent.route_refreshes),
        ("total", received.total(), sent.total()),
    ] {
        table.row(vec![format!("  {name}"), received.to_string(), sent.to_string()]);
    }
    table.print(output)
}

fn families(peer: &Peer, output: &mut Output) -> Result<(), Error> {
    let mut table = Table::new(&["  FAMILY", "RECEIVED", "ACCEPTED", "STALE", "ADVERTISED", "END-OF-RIB"]);
    for part in &peer.families {
        table.row(vec![
            format!("  {}", part.family),
            part.received.to_string(),
            part.accepted.to_string(),
            part.stale.to_string(),
            part.sent.to_string(),
            if part.end_of_rib { "received" } else { "-" }.to_owned(),
        ]);
    }
    table.print(output)
}
