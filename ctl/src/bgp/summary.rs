//! `cairnctl bgp summary`.

use bgpd_api::Client;
use bgpd_api::peer::{Peer, SessionState, Status};
use serde::Serialize;

use crate::Error;
use crate::output::Output;
use crate::table::{Table, age};

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    status: Status,
    neighbors: Vec<Peer>,
}

pub(super) async fn print(client: &mut Client, output: &mut Output) -> Result<(), Error> {
    let status = client.status().await?;
    let mut neighbors = Vec::new();
    let mut stream = client.list_peers(None).await?;
    while let Some(peer) = stream.next().await? {
        neighbors.push(peer);
    }
    if output.is_json() {
        return output.json(&Summary { status, neighbors });
    }
    heading(&status, output)?;
    let mut table = Table::new(&[
        "NEIGHBOR",
        "AS",
        "STATE",
        "FOR",
        "RECEIVED",
        "ACCEPTED",
        "SENT",
        "DESCRIPTION",
        "REMARK",
    ]);
    for peer in neighbors {
        table.row(row(&peer));
    }
    table.print(output)
}

fn heading(status: &Status, output: &mut Output) -> Result<(), Error> {
    let Some(speaker) = status.speaker else {
        return output.line("bgpd has no configuration yet");
    };
    output.line(format_args!(
        "AS {}, router id {}, bgpd {}, up {}",
        speaker.local_as,
        speaker.router_id,
        status.version,
        age(status.uptime)
    ))?;
    let complete: Vec<String> = status
        .families
        .iter()
        .map(|part| {
            format!("{} {}", part.family, if part.complete { "complete" } else { "still converging" })
        })
        .collect();
    output.line(format_args!(
        "{} prefixes, {} attribute sets; {}; {} of {} sessions established",
        status.prefixes,
        status.attribute_sets,
        complete.join(", "),
        status.peers_established,
        status.peers
    ))?;
    output.line("")
}

fn row(peer: &Peer) -> Vec<String> {
    let count =
        |of: fn(&bgpd_api::peer::PeerFamily) -> u64| peer.families.iter().map(of).sum::<u64>().to_string();
    let established = peer.state == SessionState::Established;
    let mut remarks = peer.notes.clone();
    if !established && remarks.is_empty() && !peer.last_error.is_empty() {
        remarks.push(peer.last_error.clone());
    }
    vec![
        peer.address.to_string(),
        peer.remote_as.to_string(),
        if peer.enabled { peer.state.to_string() } else { "Disabled".to_owned() },
        age(peer.state_for),
        count(|part| part.received),
        count(|part| part.accepted),
        count(|part| part.sent),
        if peer.description.is_empty() { "-".to_owned() } else { peer.description.clone() },
        remarks.join("; "),
    ]
}
