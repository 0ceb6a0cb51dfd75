//! `cairnctl bgp summary`.

use bgpd_api::Client;
use bgpd_api::peer::{Peer, PeerFamily, SessionState, Status};
use cairn_net::Family;
use serde::Serialize;

use super::FamilyName;
use crate::Error;
use crate::output::Output;
use crate::table::{Table, age, remote_as};

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    status: Status,
    neighbors: Vec<Peer>,
}

pub(super) async fn print(
    client: &mut Client,
    only: Option<FamilyName>,
    down: bool,
    output: &mut Output,
) -> Result<(), Error> {
    let status = client.status().await?;
    let mut neighbors = Vec::new();
    let mut stream = client.list_peers(None).await?;
    while let Some(peer) = stream.next().await? {
        if !down || peer.state != SessionState::Established {
            neighbors.push(peer);
        }
    }
    let families: Vec<Family> = match only {
        Some(family) => vec![family.into()],
        None => Family::ALL.to_vec(),
    };
    let has = |peer: &Peer, family| peer.families.iter().any(|part| part.family == family);
    if output.is_json() {
        neighbors.retain(|peer| families.iter().any(|family| has(peer, *family)));
        return output.json(&Summary { status, neighbors });
    }
    heading(&status, output)?;
    for family in families {
        if neighbors.iter().any(|peer| has(peer, family)) {
            print_family(&neighbors, family, output)?;
        }
    }
    Ok(())
}

fn print_family(neighbors: &[Peer], family: Family, output: &mut Output) -> Result<(), Error> {
    output.line(format_args!("{family} unicast"))?;
    let mut table = Table::new(&[
        "NEIGHBOR",
        "AS",
        "MSGRCVD",
        "MSGSENT",
        "UP/DOWN",
        "STATE",
        "RECEIVED",
        "ACCEPTED",
        "ADVERTISED",
        "FLAPS",
        "DESCRIPTION",
        "REMARK",
    ]);
    for peer in neighbors {
        if let Some(part) = peer.families.iter().find(|part| part.family == family) {
            table.row(row(peer, part));
        }
    }
    table.print(output)?;
    output.line("")
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

fn row(peer: &Peer, part: &PeerFamily) -> Vec<String> {
    let established = peer.state == SessionState::Established;
    let mut remarks = peer.notes.clone();
    if !established && remarks.is_empty() && !peer.last_error.is_empty() {
        remarks.push(peer.last_error.clone());
    }
    vec![
        peer.address.to_string(),
        remote_as(peer.remote_as),
        peer.counters.messages_received.to_string(),
        peer.counters.messages_sent.to_string(),
        peer.up_down.map_or_else(|| "never".to_owned(), age),
        if peer.enabled { peer.state.to_string() } else { "Disabled".to_owned() },
        part.received.to_string(),
        part.accepted.to_string(),
        part.sent.to_string(),
        peer.dropped_count.to_string(),
        if peer.description.is_empty() { "-".to_owned() } else { peer.description.clone() },
        remarks.join("; "),
    ]
}
