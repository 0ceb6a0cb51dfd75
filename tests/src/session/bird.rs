//! BIRD 2: the text of `show protocols all`.

use anyhow::{Context, Result};

use super::Session;

pub(super) const COMMAND: &str = "birdc -r show protocols all";

/// Reads one paragraph for each protocol; those of other kinds than BGP are passed over.
pub(super) fn parse(node: &str, text: &str) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.trim().strip_prefix(name))
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let Some(state) = field("BGP state:") else { continue };
        // A dynamic neighbour's template has no address, and is no session.
        let Some(peer) = field("Neighbor address:").and_then(|text| text.split('%').next()?.parse().ok())
        else {
            continue;
        };
        let remote_as =
            field("Neighbor AS:").and_then(|text| text.parse().ok()).context("BIRD names no neighbour AS")?;
        sessions.push(Session {
            node: node.to_owned(),
            peer,
            remote_as,
            state: state.to_owned(),
            established: state == "Established",
            last_error: field("Last error:").map(ToOwned::to_owned),
        });
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn paragraphs_of_bgp_protocols_become_sessions() {
        let text = "BIRD 2.0.12 ready.\nName       Proto\ndevice1    Device     ---        up\n\n\
            a          BGP        ---        up     10:00  Established\n  BGP state:          Established\n    \
            Neighbor address: 10.0.0.1\n    Neighbor AS:      65202\n\n\
            b          BGP        ---        start  10:00  Active\n  BGP state:          Active\n    \
            Neighbor address: fe80::1%eth1\n    Neighbor AS:      65203\n    Last error:       Socket: Connection refused\n";
        let sessions = parse("tor", text).expect("the text is right");
        assert_eq!((sessions.len(), sessions[0].established, sessions[0].remote_as), (2, true, 65202));
        assert_eq!(sessions[1].peer.to_string(), "fe80::1");
        assert_eq!(sessions[1].last_error.as_deref(), Some("Socket: Connection refused"));
    }
}
