//! What pods of different nodes send to each other, encrypted by WireGuard: behind the network of [`crate::fabric`], which knows no pod.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::fabric::{await_mtu, node_reaches, pods};
use crate::flow::Flows;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::wire::Watch;
use crate::world::{PodOn, SETTLES, World, play};

fn objects(world: &World, kind: &str) -> PathBuf {
    world.directory().join("volumes/objects").join(kind)
}

/// Writes an object as an operator would.
fn put(world: &World, plural: &str, kind: &str, name: &str, spec: &str) -> Result<()> {
    let directory = objects(world, plural);
    std::fs::create_dir_all(&directory)?;
    let text = format!(
        "apiVersion: cairn.network/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    );
    let draft = directory.join(format!("{name}.draft"));
    std::fs::write(&draft, text)?;
    Ok(std::fs::rename(&draft, directory.join(format!("{name}.yaml")))?)
}

/// Makes this the configuration of the nodes.
pub(crate) fn configure(world: &World, spec: &str) -> Result<()> {
    put(world, "nodeconfigurations", "NodeConfiguration", "default", spec)
}

/// Of both families.
pub(crate) const ON: &str = "wireguardEnabled: true, wireguardEnabledV6: true";

/// A key of a device as `wg` shows it.
pub(crate) fn public_key(world: &World, node: &str) -> Result<String> {
    Ok(world.run(node, "wg show cairn-wg public-key")?.trim().to_owned())
}

/// Waits until what a node says of itself contains some words.
fn says(world: &World, node: &str, words: &str) -> Result<()> {
    eventually(SETTLES, || {
        let text = std::fs::read_to_string(objects(world, "nodestatuses").join(format!("{node}.yaml")))?;
        ensure!(text.contains(words), "{node} does not say {words:?}: {text}");
        Ok(())
    })
    .map(drop)
}

/// Every packet from one pod to another is encrypted between the nodes, or none is.
fn is_encrypted(world: &World, from: &PodOn, to: &PodOn, wanted: bool) -> Result<()> {
    for address in &to.pod.addresses {
        is_sealed(world, (&from.node, Some(&from.pod.name)), (&to.node, *address), wanted)?;
    }
    Ok(())
}

/// Every packet from a node, or a pod of it, to an address on another node is encrypted between the nodes, or none is.
fn is_sealed(world: &World, from: (&str, Option<&str>), to: (&str, IpAddr), wanted: bool) -> Result<()> {
    let ((node, pod), (other, address)) = (from, to);
    // The router's port to the other node sees all that comes to it.
    let watch = Watch::start(world, "router", other, "udp port 51820 or udp port 4789 or icmp or icmp6")?;
    let report = world.ping(node, pod, address, 3)?;
    ensure!(report.lost() == 0, "{address}: {report:?}");
    let request = format!("> {address}: ICMP");
    let sealed =
        |line: &str| line.contains(".51820: UDP, length 1") || line.contains(".51820: UDP, length 9");
    // Neighbours solicit each other on the wire, whatever is encrypted.
    let plain = |line: &str| line.contains(&request) && line.contains("echo request");
    let seen = watch.until(world, |line| if wanted { sealed(line) } else { plain(line) })?;
    ensure!(seen.lines().any(plain) != wanted, "encrypted to {address}: {wanted}; seen:\n{seen}");
    Ok(())
}

/// Waits until that is so.
pub(crate) fn becomes_encrypted(world: &World, from: &PodOn, to: &PodOn, wanted: bool) -> Result<()> {
    eventually(SETTLES, || is_encrypted(world, from, to, wanted)).map(drop)
}

fn pods_are_encrypted_from_one_moment_to_the_next(families: Families) -> Result<()> {
    play("fabric", "wg", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        is_encrypted(world, &pods[0], &pods[2], false)?;
        let flows = Flows::start(world, &pods[0], &pods[2])?;
        configure(world, ON)?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;
        flows.end_with_at_most(1)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[2], &pods[0], true)?;
        becomes_encrypted(world, &pods[0], &pods[1], true)?;
        node_reaches(world, "node1", &pods[1])?;
        node_reaches(world, "node1", &pods[2])?;
        // VXLAN stays for nodes whose key is not known, and takes more than WireGuard over IPv4, less than over IPv6.
        let headers = match families {
            Families::Ipv4 => 60,
            Families::Ipv6 => 80,
            Families::Dual => 70,
        };
        await_mtu(world, &pods[2], 1500 - headers)?;

        // The private key is in a file for root alone, and nowhere else.
        let mode = world.run("node1", "stat -c %a /var/lib/cairn/wireguard/private-key")?;
        ensure!(mode.trim() == "600", "{mode}");
        let private = world.run("node1", "wg show cairn-wg private-key")?.trim().to_owned();
        ensure!(
            world.run("node1", "cat /var/lib/cairn/wireguard/private-key")?.trim() == private,
            "another key"
        );
        ensure!(!world.log("node1")?.contains(&private), "the private key is in the log");
        let found = std::process::Command::new("grep")
            .args(["-rF", &private])
            .arg(world.directory().join("volumes"))
            .output()?;
        ensure!(found.stdout.is_empty(), "the private key is in the datastore");
        says(world, "node1", &public_key(world, "node1")?)?;

        configure(world, "wireguardEnabled: false, wireguardEnabledV6: false")?;
        let flows = Flows::start(world, &pods[0], &pods[2])?;
        becomes_encrypted(world, &pods[0], &pods[2], false)?;
        flows.end_with_at_most(1)?;
        let keys = objects(world, "wireguardpeers");
        eventually(SETTLES, || {
            ensure!(!keys.join("node1.yaml").exists(), "the key is still told");
            Ok(())
        })?;
        world.all_reach_all(&pods)?;
        Ok(())
    })
}

fn a_restart_and_interference_leave_pods_encrypted(families: Families) -> Result<()> {
    play("fabric", "wg-restart", families, |world| {
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;
        let key = public_key(world, "node1")?;
        let flows = Flows::start(world, &pods[0], &pods[2])?;
        let old = world.processes("node1", "felix-lite")?;
        world.end_process("node1", "felix-lite", Signal::SIGKILL)?;
        eventually(SETTLES, || {
            let now = world.processes("node1", "felix-lite")?;
            ensure!(now.len() == 1 && now != old, "felix-lite does not run: {now:?}");
            Ok(())
        })?;
        world.pod("node1", "after")?;
        flows.end_without_loss()?;
        ensure!(public_key(world, "node1")? == key, "another key");
        is_encrypted(world, &pods[0], &pods[2], true)?;

        let peer = public_key(world, "node3")?;
        for damage in [
            "ip link delete cairn-wg".to_owned(),
            "ip link set cairn-wg down".to_owned(),
            "ip address flush dev cairn-wg".to_owned(),
            format!("wg set cairn-wg peer {peer} remove"),
            format!("wg set cairn-wg peer {peer} allowed-ips 10.1.1.1/32"),
            "wg set cairn-wg listen-port 51899".to_owned(),
            "sh -c 'wg genkey >/tmp/other && wg set cairn-wg private-key /tmp/other'".to_owned(),
        ] {
            world.run("node1", &damage)?;
            let time = world.all_reach_all(&pods).with_context(|| damage.clone())?;
            node_reaches(world, "node1", &pods[2]).with_context(|| damage.clone())?;
            eventually(SETTLES, || {
                ensure!(public_key(world, "node1")? == key, "another key");
                is_encrypted(world, &pods[0], &pods[2], true)
            })
            .with_context(|| damage.clone())?;
            println!("{}: {damage}: mended after {time:?}", world.name());
        }
        Ok(())
    })
}

fn a_key_is_replaced_without_loss(families: Families) -> Result<()> {
    play("fabric", "wg-rotate", families, |world| {
        eventually(SETTLES, || {
            let refused = world.exec("node1", &["cairnctl", "node", "rotate-wireguard-key"])?;
            ensure!(refused.text().contains("nothing is encrypted on this node"), "{}", refused.text());
            Ok(())
        })?;
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;
        // What a node sends waits until the others know its key: 128 packets for each of them (docs/adr/0031).
        let flows = Flows::start_sparse(world, &pods[0], &pods[2])?;
        let back = Flows::start_sparse(world, &pods[1], &pods[0])?;
        for _ in 0..2 {
            let old = public_key(world, "node1")?;
            world.run("node1", "cairnctl node rotate-wireguard-key")?;
            let new = public_key(world, "node1")?;
            ensure!(new != old, "the same key");
            for node in ["node2", "node3"] {
                eventually(SETTLES, || {
                    let shown = world.run(node, "wg show cairn-wg latest-handshakes")?;
                    let answered = shown.lines().any(|line| line.starts_with(&new) && !line.ends_with("\t0"));
                    ensure!(answered && !shown.contains(&old), "{node}: not with {new} alone: {shown}");
                    Ok(())
                })?;
            }
        }
        flows.end_without_loss()?;
        back.end_without_loss()?;
        is_encrypted(world, &pods[0], &pods[2], true)
    })
}

/// `wg` on a host that knows nothing of Cairn, and is described by one object.
fn a_foreign_host_with_wg_speaks_with_pods(families: Families) -> Result<()> {
    play("fabric", "wg-foreign", families, |world| {
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[1], true)?;
        let (four, six) = (families != Families::Ipv6, families != Families::Ipv4);
        let key =
            world.run("router", "sh -c 'umask 077; wg genkey >/tmp/wg0.key; wg pubkey </tmp/wg0.key'")?;
        world.run("router", "ip link add wg0 type wireguard")?;
        world.run("router", "wg set wg0 listen-port 51999 private-key /tmp/wg0.key")?;
        let own: Vec<&str> =
            [four.then_some("10.99.0.1/32"), six.then_some("fd99::1/128")].into_iter().flatten().collect();
        for address in &own {
            world.run("router", &format!("ip address add {address} dev wg0"))?;
        }
        world.run("router", "ip link set wg0 up mtu 1420")?;
        for pod in &pods {
            let node = if families == Families::Ipv6 {
                match pod.node.as_str() {
                    "node1" => "[fd10:0:1::1]",
                    "node2" => "[fd10:0:1::2]",
                    _ => "[fd10:0:2::3]",
                }
            } else {
                match pod.node.as_str() {
                    "node1" => "10.0.1.1",
                    "node2" => "10.0.1.2",
                    _ => "10.0.2.3",
                }
            };
            let behind: Vec<String> = pod
                .pod
                .addresses
                .iter()
                .map(|address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
                .collect();
            let theirs = public_key(world, &pod.node)?;
            world.run(
                "router",
                &format!("wg set wg0 peer {theirs} endpoint {node}:51820 allowed-ips {}", behind.join(",")),
            )?;
            for address in &behind {
                world.run("router", &format!("ip route add {address} dev wg0"))?;
            }
        }
        let endpoint = if families == Families::Ipv6 { "[fd10:0:1::fe]:51999" } else { "10.0.1.254:51999" };
        let spec = format!(
            "publicKey: \"{}\", endpoint: \"{endpoint}\", allowedIPs: [{}]",
            key.trim(),
            own.iter().map(|own| format!("\"{own}\"")).collect::<Vec<_>>().join(", ")
        );
        put(world, "wireguardpeers", "WireguardPeer", "outside", &spec)?;
        eventually(SETTLES, || {
            for pod in &pods {
                for own in &own {
                    let address: IpAddr = own.split('/').next().context("an address")?.parse()?;
                    let report = world.ping(&pod.node, Some(&pod.pod.name), address, 3)?;
                    ensure!(report.lost() == 0, "{} does not reach {address}: {report:?}", pod.pod.name);
                }
                for address in &pod.pod.addresses {
                    let report = world.ping("router", None, *address, 3)?;
                    ensure!(report.lost() == 0, "the host outside does not reach {address}: {report:?}");
                }
            }
            Ok(())
        })?;
        let shown = world.run("router", "wg show wg0 latest-handshakes")?;
        ensure!(shown.lines().count() == 3 && !shown.lines().any(|line| line.ends_with("\t0")), "{shown}");
        is_encrypted(world, &pods[0], &pods[1], true)
    })
}

/// What becomes of a node without a key: by choice it is spoken with in clear text, or not at all.
fn a_node_without_a_key_is_reached_in_clear_text_or_refused(families: Families) -> Result<()> {
    play("fabric", "wg-closed", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        // Of node3 alone a later object says otherwise.
        let file = objects(world, "nodes").join("node3.yaml");
        let text = std::fs::read_to_string(&file)?.replacen(
            "  name: node3",
            "  name: node3\n  labels: {plain: \"yes\"}",
            1,
        );
        std::fs::write(&file, text)?;
        let plain = "nodeSelector: has(plain), wireguardEnabled: false, wireguardEnabledV6: false";
        put(world, "nodeconfigurations", "NodeConfiguration", "plain", plain)?;
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[1], true)?;
        is_encrypted(world, &pods[0], &pods[2], false)?;
        says(world, "node1", "it is sent unencrypted")?;

        configure(world, &format!("{ON}, wireguardUnencryptedPeers: Refuse"))?;
        says(world, "node1", "nothing is sent to their pods or taken from them")?;
        eventually(SETTLES, || {
            for address in &pods[2].pod.addresses {
                let report = world.ping("node1", Some(&pods[0].pod.name), *address, 2)?;
                ensure!(report.received == 0, "node1 still sends in clear text to {address}: {report:?}");
            }
            Ok(())
        })?;
        world.all_reach_all(&pods[..2])?;
        is_encrypted(world, &pods[0], &pods[1], true)?;
        let dropped = || -> Result<u64> {
            let rules: Value =
                serde_json::from_str(&world.run("node1", "nft -j list chain inet cairn cleartext")?)?;
            let items = rules["nftables"].as_array().context("no rules")?;
            let packets = items.iter().filter_map(|item| item["rule"]["expr"].as_array()).flatten();
            Ok(packets.filter_map(|part| part["counter"]["packets"].as_u64()).sum())
        };
        for address in &pods[0].pod.addresses {
            let before = dropped()?;
            let report = world.ping("node3", Some(&pods[2].pod.name), *address, 3)?;
            ensure!(report.received == 0, "clear text reached {address}: {report:?}");
            ensure!(dropped()? >= before + 3, "the packets were lost elsewhere");
        }
        // The node gets a key after all.
        put(world, "nodeconfigurations", "NodeConfiguration", "plain", "nodeSelector: has(plain)")?;
        world.all_reach_all(&pods)?;
        is_encrypted(world, &pods[0], &pods[2], true)
    })
}

fn what_is_in_the_way_is_told_and_the_old_state_stays(families: Families) -> Result<()> {
    play("fabric", "wg-bad", families, |world| {
        set_modes(world, "vxlanMode: Always")?;
        world.run("node1", "ip link add theirs type wireguard")?;
        world.run("node1", "wg set theirs listen-port 51820")?;
        world.run("node1", "ip link set theirs up")?;
        configure(world, ON)?;
        let pods = pods(world)?;
        says(world, "node1", "UDP port 51820 is in use by another program of this node")?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[1], &pods[2], true)?;
        is_encrypted(world, &pods[0], &pods[2], false)?;
        world.run("node1", "ip link delete theirs")?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;

        // A port that is taken, once the device is there.
        world.run("node1", "ip link add theirs type wireguard")?;
        world.run("node1", "wg set theirs listen-port 51900")?;
        world.run("node1", "ip link set theirs up")?;
        put(world, "nodeconfigurations", "NodeConfiguration", "other", "wireguardListeningPort: 51900")?;
        says(world, "node1", "UDP port 51900 is in use by another program of this node")?;
        let port = world.run("node1", "wg show cairn-wg listen-port")?;
        ensure!(port.trim() == "51820", "{port}");
        world.run("node1", "ip link delete theirs")?;
        std::fs::remove_file(objects(world, "nodeconfigurations").join("other.yaml"))?;
        world.all_reach_all(&pods)?;

        let key = public_key(world, "node1")?;
        world.run("node1", "sh -c 'echo no-key >/var/lib/cairn/wireguard/private-key'")?;
        says(world, "node1", "is no WireGuard key")?;
        world.end_process("node1", "felix-lite", Signal::SIGKILL)?;
        world.pod("node1", "after")?;
        says(world, "node1", "is no WireGuard key")?;
        ensure!(public_key(world, "node1")? == key, "another key");
        world.all_reach_all(&pods)?;
        is_encrypted(world, &pods[0], &pods[2], true)
    })
}

/// The addresses of node3 itself, behind the router.
const NODE3: [&str; 2] = ["10.0.2.3", "fd10:0:2::3"];

/// Waits until what node1 itself sends to node3's own addresses is encrypted, or not, by family.
fn nodes_become_encrypted(world: &World, wanted: [bool; 2]) -> Result<()> {
    eventually(SETTLES, || {
        for (address, wanted) in NODE3.iter().zip(wanted) {
            is_sealed(world, ("node1", None), ("node3", address.parse()?), wanted)?;
        }
        Ok(())
    })
    .map(drop)
}

/// Has a node's daemon stand still, or go on.
fn signal(world: &World, node: &str, signal: Signal) -> Result<()> {
    for pid in world.processes(node, "felix-lite")? {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?;
    }
    Ok(())
}

/// What nodes send to each other, by option: other packets of theirs than WireGuard's own enter the tunnel, and leave it whenever the other node
/// does not answer there, so that it is reached to be told, or asked, a new key.
fn nodes_encrypt_what_they_send_to_each_other(families: Families) -> Result<()> {
    play("fabric", "wg-nodes", families, |world| {
        configure(world, ON)?;
        let pods = pods(world)?;
        world.all_reach_all(&pods)?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;
        nodes_become_encrypted(world, [false, false])?;
        let hosts = format!("{ON}, wireguardHostEncryptionEnabled: true");
        configure(world, &hosts)?;
        nodes_become_encrypted(world, [true, true])?;
        world.all_reach_all(&pods)?;

        // Another key: the old path serves until the other node has it, and the tunnel again from then on.
        let old = public_key(world, "node3")?;
        world.run("node3", "cairnctl node rotate-wireguard-key")?;
        for address in NODE3 {
            let report = world.ping("node1", None, address.parse()?, 20)?;
            ensure!(report.lost() == 0, "{address} while its key is replaced: {report:?}");
        }
        nodes_become_encrypted(world, [true, true])?;
        ensure!(public_key(world, "node3")? != old, "the same key");

        // A node that has lost its key and cannot tell another one: its daemon stands still, and what it would do first is done by hand.
        signal(world, "node3", Signal::SIGSTOP)?;
        world.run("node3", "sh -c 'wg genkey >/tmp/other && wg set cairn-wg private-key /tmp/other'")?;
        world.run("node3", "sh -c 'ip rule delete pref 10200 && ip -6 rule delete pref 10200'")?;
        nodes_become_encrypted(world, [false, false])?;
        signal(world, "node3", Signal::SIGCONT)?;
        nodes_become_encrypted(world, [true, true])?;
        becomes_encrypted(world, &pods[0], &pods[2], true)?;

        // Where plain packets of other nodes would be dropped nothing changes its way over IPv4.
        world.run("node1", "sysctl -w net.ipv4.conf.eth1.rp_filter=1")?;
        nodes_become_encrypted(world, [false, true])?;
        says(world, "node1", "rp_filter of eth1 is strict")?;
        says(world, "node1", "the reverse path filter of eth1 is strict")?;
        world.run("node1", "sysctl -w net.ipv4.conf.eth1.rp_filter=2")?;
        nodes_become_encrypted(world, [true, true])?;

        configure(world, ON)?;
        nodes_become_encrypted(world, [false, false])?;
        eventually(SETTLES, || {
            let rules = world.run("node1", "sh -c 'ip rule; ip -6 rule'")?;
            ensure!(!rules.contains("10200:"), "{rules}");
            Ok(())
        })?;
        becomes_encrypted(world, &pods[0], &pods[2], true)
    })
}

/// A kernel without the module: each node says so, nobody is told a key, and pods go on as their pools' modes say.
mod lacks_wireguard {
    use super::*;

    #[test]
    #[ignore = "needs root: run by cargo xtask test --tier lab"]
    fn a_kernel_without_it_is_told_of_and_pods_go_on_as_before() -> Result<()> {
        cairn_lab::feature::require(module_path!())?;
        play("fabric", "wg-missing", Families::Dual, |world| {
            set_modes(world, "vxlanMode: Always")?;
            let pods = pods(world)?;
            world.all_reach_all(&pods)?;
            let flows = Flows::start(world, &pods[0], &pods[2])?;
            configure(world, ON)?;
            for node in ["node1", "node2", "node3"] {
                says(world, node, "the kernel has no WireGuard (module wireguard)")?;
            }
            let rotated = world.exec("node1", &["cairnctl", "node", "rotate-wireguard-key"])?;
            ensure!(!rotated.success && rotated.text().contains("no WireGuard device"), "{}", rotated.text());
            flows.end_without_loss()?;
            is_encrypted(world, &pods[0], &pods[2], false)?;
            ensure!(!objects(world, "wireguardpeers").join("node1.yaml").exists(), "a key is told");
            world.all_reach_all(&pods)?;
            Ok(())
        })
    }
}

// One device carries both families to peers behind addresses of either: with both there are all paths but those of nodes that have one family alone.
crate::scenario!(needs_wireguard, pods_are_encrypted_from_one_moment_to_the_next: ipv4 ipv6 dual);
crate::scenario!(needs_wireguard, a_restart_and_interference_leave_pods_encrypted: dual);
crate::scenario!(needs_wireguard, a_key_is_replaced_without_loss: dual);
crate::scenario!(needs_wireguard, nodes_encrypt_what_they_send_to_each_other: dual);
crate::scenario!(needs_wireguard, a_foreign_host_with_wg_speaks_with_pods: dual);
crate::scenario!(needs_wireguard, a_node_without_a_key_is_reached_in_clear_text_or_refused: dual);
crate::scenario!(needs_wireguard, what_is_in_the_way_is_told_and_the_old_state_stays: dual);
