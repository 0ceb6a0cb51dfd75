//! The speakers' configurations and command lines.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::{Kind, PLACE};
use crate::wire::{SPEAKER, SPEAKER_AS};

/// A peer of the speaker.
pub(crate) struct Neighbour {
    pub(crate) address: Ipv4Addr,
    pub(crate) asn: u32,
    /// The speaker reflects for it.
    pub(crate) client: bool,
}

/// Files to be written, by their names.
pub(super) fn files(kind: Kind, neighbours: &[Neighbour], install: bool) -> Vec<(&'static str, String)> {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = match kind {
        Kind::Cairn => cairn(&mut text, neighbours),
        Kind::Bird2 | Kind::Bird3 => bird(&mut text, neighbours, install, kind == Kind::Bird3),
        Kind::Frr => frr(&mut text, neighbours),
        Kind::GoBgp => gobgp(&mut text, neighbours),
        Kind::RustyBgp => gobgp(&mut text, neighbours).and_then(|()| rustybgp(&mut text, install)),
        Kind::OpenBgpd => openbgpd(&mut text, neighbours),
    };
    let mut files = vec![("config", text)];
    if kind == Kind::Frr {
        files.push(("zebra", "frr defaults datacenter\nhostname zebra\n".to_owned()));
    }
    files
}

/// Programs and their arguments, in the order of starting; the BGP daemon is the last.
pub(super) fn commands(kind: Kind, program: &Path, install: bool) -> Vec<(PathBuf, Vec<String>)> {
    let at = |name: &str| format!("/{PLACE}/{name}");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let config = at("config");
    let arguments = match kind {
        Kind::Cairn => {
            let install = if install { " --install-routes" } else { "" };
            words(&format!("--config {config} --socket {} --log warn{install}", at("socket")))
        }
        Kind::Bird2 | Kind::Bird3 => words(&format!("-f -c {config} -s {} -P {}", at("socket"), at("pid"))),
        Kind::Frr => {
            let common = format!("--vty_socket /{PLACE} -z {} -u frr -g frr --log stdout", at("zserv.api"));
            let zebra = words(&format!("-f {} -i {} {common}", at("zebra"), at("zebra.pid")));
            let quiet = if install { "" } else { "-n " };
            let bgpd = words(&format!("-f {config} -i {} {quiet}{common}", at("bgpd.pid")));
            return vec![(program.with_file_name("zebra"), zebra), (program.to_owned(), bgpd)];
        }
        Kind::GoBgp => words(&format!("-f {config} --log-level warn --api-hosts 127.0.0.1:50051")),
        Kind::RustyBgp => words(&format!("-f {config}")),
        Kind::OpenBgpd => words(&format!("-d -f {config}")),
    };
    vec![(program.to_owned(), arguments)]
}

fn cairn(out: &mut String, neighbours: &[Neighbour]) -> std::fmt::Result {
    writeln!(
        out,
        "routerId: {SPEAKER}\nclusterId: {SPEAKER}\nlocalAs: {SPEAKER_AS}\nlisten: {{addresses: [{SPEAKER}]}}\n\
         timers: {{holdTime: 240, keepaliveTime: 80}}\nebgpRequiresPolicy: false\npeerGroups:\n  all:\n    passive: true\n    \
         families: [ipv4]\nneighbors:"
    )?;
    for Neighbour { address, asn, client } in neighbours {
        let client = if *client { ", routeReflectorClient: true" } else { "" };
        writeln!(out, "  - {{address: {address}, remoteAs: {asn}, peerGroup: all{client}}}")?;
    }
    Ok(())
}

fn bird(out: &mut String, neighbours: &[Neighbour], install: bool, threads: bool) -> std::fmt::Result {
    writeln!(out, "router id {SPEAKER};")?;
    if threads {
        writeln!(out, "threads 2;")?;
    }
    writeln!(out, "protocol device {{}}")?;
    if install {
        writeln!(out, "protocol kernel {{ scan time 300; ipv4 {{ import none; export all; }}; }}")?;
    }
    for (number, Neighbour { address, asn, client }) in neighbours.iter().enumerate() {
        let client = if *client { format!("rr client; rr cluster id {SPEAKER};") } else { String::new() };
        writeln!(
            out,
            "protocol bgp n{number} {{\n  local {SPEAKER} as {SPEAKER_AS}; neighbor {address} as {asn}; direct; passive; {client}\n  \
             connect delay time 1; error wait time 1, 1; hold time 240;\n  \
             ipv4 {{ import all; export where source = RTS_BGP; gateway direct; }};\n}}"
        )?;
    }
    Ok(())
}

fn frr(out: &mut String, neighbours: &[Neighbour]) -> std::fmt::Result {
    writeln!(
        out,
        "frr defaults datacenter\nhostname bgpd\nrouter bgp {SPEAKER_AS}\n bgp router-id {SPEAKER}\n bgp cluster-id {SPEAKER}\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n timers bgp 60 240\n coalesce-time 0"
    )?;
    for Neighbour { address, asn, .. } in neighbours {
        writeln!(out, " neighbor {address} remote-as {asn}\n neighbor {address} passive")?;
        writeln!(out, " neighbor {address} timers connect 1")?;
    }
    writeln!(out, " address-family ipv4 unicast")?;
    for Neighbour { address, client, .. } in neighbours {
        writeln!(out, "  neighbor {address} activate")?;
        if *client {
            writeln!(out, "  neighbor {address} route-reflector-client")?;
        }
    }
    writeln!(out, " exit-address-family")
}

fn gobgp(out: &mut String, neighbours: &[Neighbour]) -> std::fmt::Result {
    writeln!(out, "[global.config]\nas = {SPEAKER_AS}\nrouter-id = \"{SPEAKER}\"")?;
    writeln!(out, "local-address-list = [\"{SPEAKER}\"]")?;
    for Neighbour { address, asn, client } in neighbours {
        writeln!(
            out,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = {asn}"
        )?;
        writeln!(out, "[neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{SPEAKER}\"")?;
        writeln!(out, "[neighbors.timers.config]\nhold-time = 240\nkeepalive-interval = 80")?;
        writeln!(out, "idle-hold-time-after-reset = 1\nconnect-retry = 1")?;
        if *client {
            writeln!(out, "[neighbors.route-reflector.config]\nroute-reflector-client = true")?;
            writeln!(out, "route-reflector-cluster-id = \"{SPEAKER}\"")?;
        }
        writeln!(
            out,
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\""
        )?;
    }
    Ok(())
}

/// RustyBGP writes routes by itself once it is told of a zebra, wherever that may be.
fn rustybgp(out: &mut String, install: bool) -> std::fmt::Result {
    if install {
        writeln!(out, "[zebra.config]\nenabled = true\nurl = \"unix:/nowhere\"\nversion = 6")?;
    }
    Ok(())
}

fn openbgpd(out: &mut String, neighbours: &[Neighbour]) -> std::fmt::Result {
    writeln!(out, "AS {SPEAKER_AS}\nrouter-id {SPEAKER}\nlisten on {SPEAKER}\nfib-update no\nholdtime 240")?;
    writeln!(out, "socket \"/{PLACE}/socket\"")?;
    for (number, Neighbour { address, asn, client }) in neighbours.iter().enumerate() {
        let client = if *client { format!("route-reflector {SPEAKER}") } else { String::new() };
        writeln!(
            out,
            "neighbor {address} {{\n  remote-as {asn}\n  descr \"n{number}\"\n  passive\n  {client}"
        )?;
        writeln!(out, "  announce IPv4 unicast\n}}")?;
    }
    writeln!(out, "allow from any\nallow to any")
}
