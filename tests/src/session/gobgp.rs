//! GoBGP: the JSON of `gobgp neighbor`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Session;

pub(super) const COMMAND: &str = "gobgp neighbor -j";

/// GoBGP's numbers for the states of RFC 4271.
const STATES: [&str; 7] = ["Unknown", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"];

/// Reads the list of neighbours; a field that is zero is left out by GoBGP.
pub(super) fn parse(node: &str, text: &str) -> Result<Vec<Session>> {
    let neighbours: Vec<Value> = serde_json::from_str(text).context("GoBGP did not print JSON")?;
    let session = |neighbour: &Value| {
        let conf = &neighbour["conf"];
        let peer = conf["neighbor_address"].as_str().and_then(|text| text.parse().ok());
        let number =
            neighbour["state"]["session_state"].as_u64().and_then(|number| usize::try_from(number).ok());
        let state = STATES.get(number.unwrap_or(0)).copied().unwrap_or("Unknown");
        Ok(Session {
            node: node.to_owned(),
            peer: peer.context("GoBGP names no neighbor_address")?,
            remote_as: conf["peer_asn"].as_u64().and_then(|asn| u32::try_from(asn).ok()).unwrap_or(0),
            state: state.to_owned(),
            established: state == "Established",
            last_error: None,
        })
    };
    neighbours.iter().map(session).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_state_is_a_number() {
        let text =
            r#"[{"conf":{"neighbor_address":"10.0.0.1","peer_asn":65202},"state":{"session_state":6}}]"#;
        assert!(parse("tor", text).expect("the text is right")[0].established);
    }
}
