//! FRRouting: the JSON of `show bgp neighbors`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Session;

pub(super) const COMMAND: &str = "vtysh -c 'show bgp neighbors json'";

/// Reads the map from neighbour to details.
pub(super) fn parse(node: &str, text: &str) -> Result<Vec<Session>> {
    let neighbours: serde_json::Map<String, Value> =
        serde_json::from_str(text).context("FRR did not print JSON")?;
    let details = neighbours.iter().filter_map(|(address, detail)| Some((address.parse().ok()?, detail)));
    let session = |(peer, detail): (_, &Value)| {
        let text = |name: &str| detail[name].as_str().map(ToOwned::to_owned);
        let state = text("bgpState").context("FRR names no bgpState")?;
        let remote_as = detail["remoteAs"].as_u64().and_then(|asn| u32::try_from(asn).ok());
        Ok(Session {
            node: node.to_owned(),
            peer,
            remote_as: remote_as.context("FRR names no remoteAs")?,
            established: state == "Established",
            state,
            last_error: text("lastResetDueTo").or_else(|| text("lastNotificationReason")),
        })
    };
    details.map(session).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_that_are_no_addresses_are_passed_over() {
        let text =
            r#"{"10.0.0.1":{"remoteAs":65201,"bgpState":"Active","lastResetDueTo":"No AFI/SAFI"},"vrfId":0}"#;
        let sessions = parse("tor", text).expect("the text is right");
        assert_eq!((sessions.len(), sessions[0].established), (1, false));
        assert_eq!(sessions[0].last_error.as_deref(), Some("No AFI/SAFI"));
    }
}
