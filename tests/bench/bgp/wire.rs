//! Two network namespaces joined by a link: the speaker's and the generator's. Made for each run, gone after it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cairn_kernel::Netns;

/// The speaker's address.
pub(crate) const SPEAKER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The speaker's AS.
pub(crate) const SPEAKER_AS: u32 = 65000;
/// Peers that have an address.
const PEERS: usize = 600;
const PREFIX: &str = "cairn-bgp-bench-";
/// Socket buffers as a router with many peers has them, the same for everybody.
const BUFFERS: [(&str, &str); 2] =
    [("tcp_rmem", "4096 262144 16777216"), ("tcp_wmem", "4096 262144 16777216")];

/// The address of a peer.
pub(crate) fn peer_address(index: usize) -> Ipv4Addr {
    let (subnet, host) = (index / 200, index % 200);
    Ipv4Addr::new(10, 0, subnet as u8 + 1, host as u8 + 1)
}

/// The namespaces.
pub(crate) struct Wire {
    pub(crate) speaker: Netns,
    pub(crate) generator: Netns,
}

impl Wire {
    /// Makes both.
    pub(crate) fn new() -> Result<Self> {
        remove_own();
        let (near, far) = (name("speaker"), name("generator"));
        let wire = Self { speaker: Netns::create(&near)?, generator: Netns::create(&far)? };
        ip(
            &near,
            &format!("link add s0 type veth peer name g0 netns {far}\naddr add {SPEAKER}/16 dev s0\n"),
        )?;
        let mut addresses = String::new();
        for peer in 0..PEERS {
            addresses += &format!("addr add {}/16 dev g0\n", peer_address(peer));
        }
        ip(&far, &addresses)?;
        for (namespace, link) in [(&near, "s0"), (&far, "g0")] {
            ip(namespace, &format!("link set lo up\nlink set {link} txqueuelen 10000 up\n"))?;
        }
        for netns in [&wire.speaker, &wire.generator] {
            netns.run(|| {
                BUFFERS
                    .iter()
                    .try_for_each(|(name, value)| std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value))
            })??;
        }
        Ok(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        remove_own();
    }
}

/// Removes the namespaces of this process, and those that a killed run has left.
pub(crate) fn remove_own() {
    let names = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        let Some(owner) = owner else { continue };
        let own = owner == std::process::id().to_string();
        if (own || !Path::new("/proc").join(owner).exists())
            && let Err(error) = Netns::delete(&name)
        {
            eprintln!("{error}");
        }
    }
}

fn name(end: &str) -> String {
    format!("{PREFIX}{}-{end}", std::process::id())
}

/// Runs commands of `ip` in a namespace.
fn ip(namespace: &str, commands: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run ip")?;
    child.stdin.take().context("no pipe to ip")?.write_all(commands.as_bytes())?;
    ensure!(child.wait()?.success(), "ip does not take this:\n{commands}");
    Ok(())
}
