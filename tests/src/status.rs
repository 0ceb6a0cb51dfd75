//! What a lab looks like, as text for people.

use std::fmt::Write as _;

use crate::image::Software;
use crate::lab::Lab;

/// Nodes with their processes and interfaces, pods, and BGP sessions.
pub fn text(lab: &Lab) -> String {
    let mut text = format!("lab {}, state in {}\n", lab.name(), lab.directory().display());
    for (name, node) in &lab.topology().nodes {
        let software = Software::of(&node.image).name();
        let Ok(process) = lab.process(name) else {
            let _ = writeln!(text, "\n{name:<12} {software:<6} down");
            continue;
        };
        let _ = writeln!(text, "\n{name:<12} {software:<6} pid {}", process.pid);
        for interface in lab.interfaces(name).unwrap_or_default() {
            if interface.name != "lo" || !interface.prefixes.is_empty() {
                let _ = writeln!(
                    text,
                    "  {:<15} {:<8} {}",
                    interface.name,
                    interface.state,
                    interface.prefixes.join("  ")
                );
            }
        }
        for pod in lab.pods(name).unwrap_or_default() {
            let addresses: Vec<String> = pod.addresses.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "  pod {:<11} {}", pod.name, addresses.join("  "));
        }
        match lab.sessions(name) {
            Ok(sessions) => {
                for session in sessions {
                    let error = session.last_error.filter(|_| !session.established).unwrap_or_default();
                    let line = format!(
                        "  bgp {:<24} AS {:<10} {:<12} {error}",
                        session.peer, session.remote_as, session.state
                    );
                    let _ = writeln!(text, "{}", line.trim_end());
                }
            }
            Err(error) => {
                let _ = writeln!(text, "  bgp: {error:#}");
            }
        }
    }
    text
}
