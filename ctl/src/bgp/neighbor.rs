//! `cairnctl bgp neighbors`.

use std::net::IpAddr;

use bgpd_api::Client;
use bgpd_api::peer::Peer;

use crate::Error;
use crate::output::Output;
use crate::table::{Table, age};

pub(super) async fn print(
    client: &mut Client,
    only: Option<IpAddr>,
    output: &mut Output,
) -> Result<(), Error> {
    let mut stream = client.list_peers(only).await?;
    while let Some(peer) = stream.next().await? {
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
        format_args!("{}  AS {}  {}", peer.address, peer.remote_as, peer.description).to_string().trim_end(),
    )?;
    let mut field = |name: &str, value: String| -> Result<(), Error> {
        if value.is_empty() { Ok(()) } else { output.line(format_args!("  {name:<16}{value}")) }
    };
    let disabled = if peer.enabled { "" } else { " (disabled)" };
    field("state", format!("{}{disabled}, for {}", peer.state, age(peer.state_for)))?;
    field("established", format!("{} times", peer.established_count))?;
    if !peer.last_error.is_empty() {
        field("last error", format!("{} ({} ago)", peer.last_error, age(peer.last_error_age)))?;
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
    field("capabilities", peer.capabilities.join(", "))?;
    field(
        "messages",
        format!(
            "{} received ({} updates), {} sent ({} updates)",
            peer.counters.messages_received,
            peer.counters.updates_received,
            peer.counters.messages_sent,
            peer.counters.updates_sent
        ),
    )?;
    families(peer, output)?;
    output.line("")
}

fn families(peer: &Peer, output: &mut Output) -> Result<(), Error> {
    let mut table = Table::new(&["  FAMILY", "RECEIVED", "ACCEPTED", "STALE", "SENT", "END-OF-RIB"]);
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
