//! `cairnctl bgp watch`.

use bgpd_api::Client;
use bgpd_api::peer::PeerEvent;
use bgpd_api::route::{RouteChange, RouteSource};
use cairn_net::Families;
use serde_json::json;

use super::FamilyName;
use crate::Error;
use crate::output::Output;
use crate::table::remote_as;

pub(super) async fn routes(
    client: &mut Client,
    family: Option<FamilyName>,
    output: &mut Output,
) -> Result<(), Error> {
    let families = family.map_or(Families::ALL, |family| Families::NONE.with(family.into()));
    let mut stream = client.watch_routes(families).await?;
    while let Some(update) = stream.next().await? {
        for change in &update.changes {
            if output.is_json() { output.json(change)? } else { output.line(line(change))? }
        }
        for family in update.end_of_rib.iter() {
            if output.is_json() {
                output.json(&json!({ "endOfRib": family }))?;
            } else {
                output.line(format_args!("= end of RIB {family}"))?;
            }
        }
    }
    Ok(())
}

fn line(change: &RouteChange) -> String {
    let Some(best) = &change.best else { return format!("- {}", change.prefix) };
    let hops: Vec<String> = best.next_hops.iter().map(ToString::to_string).collect();
    let via = if hops.is_empty() { "self".to_owned() } else { hops.join(", ") };
    match &best.source {
        RouteSource::Peer(peer) => format!("+ {} via {via} from {peer}", change.prefix),
        RouteSource::Local(owner) => format!("+ {} via {via}, originated by {owner}", change.prefix),
    }
}

pub(super) async fn peers(client: &mut Client, output: &mut Output) -> Result<(), Error> {
    let mut stream = client.watch_peers().await?;
    while let Some(event) = stream.next().await? {
        match (event, output.is_json()) {
            (PeerEvent::Changed(peer), true) => output.json(&peer)?,
            (PeerEvent::Removed(address), true) => output.json(&json!({ "removed": address }))?,
            (PeerEvent::InSync, true) => output.json(&json!({ "inSync": true }))?,
            (PeerEvent::Changed(peer), false) => {
                let reason =
                    if peer.last_error.is_empty() { String::new() } else { format!("  {}", peer.last_error) };
                output.line(format_args!(
                    "{} AS {} {}{reason}",
                    peer.address,
                    remote_as(peer.remote_as),
                    peer.state
                ))?;
            }
            (PeerEvent::Removed(address), false) => output.line(format_args!("{address} removed"))?,
            (PeerEvent::InSync, false) => {}
        }
    }
    Ok(())
}
