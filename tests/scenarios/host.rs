//! A node's host beside Cairn: its network manager and its other firewalls.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::lab::Families;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::flow::Flows;
use crate::overlay::await_device;
use crate::pools::set_modes;
use crate::wait::eventually;
use crate::world::{PodOn, SETTLES, World, play};

/// How pods' packets travel while a manager starts, and by which device: plainly by the manager's own, and by one of ours, named so or with a 6 behind it.
const WAYS: [(&str, &str); 2] = [("vxlanMode: Never", "eth1"), ("vxlanMode: Always", "cairn-vxlan")];

/// Prints what no manager may change: routes, nexthops and addresses of tunnels.
const OURS: &str = "sh -c 'ip -oneline address show group 211812354; \
    ip route show proto 202; ip -6 route show proto 202; ip nexthop show proto 202'";

/// For how long what is ours has to stay the same before a manager starts.
const STABLE: Duration = Duration::from_secs(1);

/// What operators are told to install.
const FOR_NETWORKD: [(&str, &str); 2] = [
    ("/etc/systemd/network/05-cairn.network", include_str!("../../deploy/host/networkd.network")),
    ("/etc/systemd/networkd.conf.d/cairn.conf", include_str!("../../deploy/host/networkd.conf")),
];

/// Of an operator who did not think of pods.
const FOR_ALL: &str = "[Match]\nName=*\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n";

fn put(world: &World, node: &str, path: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{}/root{path}", world.process(node)?.pid);
    let directory = std::path::Path::new(&path).parent().context("an absolute path")?;
    std::fs::create_dir_all(directory)?;
    std::fs::write(&path, text).context(path)
}

/// Is it a pod's interface or a tunnel?
fn is_ours(name: &str) -> bool {
    name.starts_with("crn") || name.starts_with("cairn-")
}

/// Has pods' packets travel in a way, and waits until nothing of ours changes on node1 any more. Returns what that is.
fn settle(world: &World, pods: &[PodOn; 2], (mode, device): (&str, &str)) -> Result<String> {
    set_modes(world, mode)?;
    pods[1].pod.addresses.iter().try_for_each(|address| await_device(world, "node1", *address, device))?;
    let mut before = world.run("node1", OURS)?;
    eventually(SETTLES, || {
        std::thread::sleep(STABLE);
        let now = world.run("node1", OURS)?;
        let same = now == before;
        before = now;
        ensure!(same, "it still changes: {before}");
        Ok(())
    })?;
    reach(world, pods)?;
    Ok(before)
}

fn links(world: &World, node: &str) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(&world.run(node, "ip -json address show")?)?)
}

/// Gives the manager a file for the uplink with the IPv6 addresses that it has. What it has of IPv4 is kept: systemd-networkd wants it with a
/// broadcast address, and tries for ever to give it one.
fn uplink(world: &World, node: &str) -> Result<()> {
    let mut file = "[Match]\nName=eth1\n\n[Network]\nIPv6AcceptRA=no\nKeepConfiguration=static\n".to_owned();
    let links = links(world, node)?;
    let eth1 = links.iter().find(|link| link["ifname"] == "eth1").context("an uplink")?;
    for address in eth1["addr_info"].as_array().into_iter().flatten() {
        if address["scope"] == "global" && address["family"] == "inet6" {
            let text = address["local"].as_str().context("an address")?;
            file.push_str(&format!("Address={text}/{}\n", address["prefixlen"]));
        }
    }
    put(world, node, "/etc/systemd/network/10-eth1.network", &file)
}

/// What the manager says about an interface: the word after `ADMIN_STATE=`.
fn state(world: &World, node: &str, link: &Value) -> Result<String> {
    let text = world.run(node, &format!("cat /run/systemd/netif/links/{}", link["ifindex"]))?;
    let state = text.lines().find_map(|line| line.strip_prefix("ADMIN_STATE="));
    Ok(state.with_context(|| format!("no state: {text}"))?.to_owned())
}

/// Starts it and waits until it has dealt with every interface, and with ours by leaving them alone.
fn start_networkd(world: &World, node: &str) -> Result<()> {
    // It makes its own directory, before it gives up being root.
    world.run(node, "sh -c 'rm -rf /run/systemd/netif; mkdir -p /run/systemd'")?;
    // Where it finds /sys read-only, it is in a container and waits for no udev.
    let start = "mount --bind /sys /sys && mount -o remount,bind,ro /sys && exec /lib/systemd/systemd-networkd >/run/lab/networkd.log 2>&1";
    put(world, node, "/run/lab/networkd.sh", start)?;
    world.run(node, "sh -c 'unshare --mount sh /run/lab/networkd.sh &'")?;
    eventually(SETTLES, || {
        for link in links(world, node)? {
            let name = link["ifname"].as_str().context("a name")?;
            let wanted = match name {
                "lo" => continue,
                "eth1" => "configured",
                name if is_ours(name) => "unmanaged",
                name => anyhow::bail!("what is {name}?"),
            };
            let state = state(world, node, &link)?;
            ensure!(state == wanted, "{name} is {state}");
        }
        Ok(())
    })
    .map(drop)
}

/// Starts and ends a manager of networks on node1, twice for each way in which packets travel: nothing of ours changes, and no packet is lost.
fn is_left_alone(
    world: &World,
    pods: &[PodOn; 2],
    manager: &str,
    start: fn(&World, &str) -> Result<()>,
) -> Result<()> {
    for way in WAYS {
        let before = settle(world, pods, way)?;
        let flows = Flows::start(world, &pods[0], &pods[1])?;
        for _ in 0..2 {
            start(world, "node1")?;
            let now = world.run("node1", OURS)?;
            ensure!(now == before, "what is ours was:\n{before}\nand is:\n{now}");
            world.end_process("node1", manager, Signal::SIGTERM)?;
            eventually(SETTLES, || {
                ensure!(world.processes("node1", manager)?.is_empty(), "it still runs");
                Ok(())
            })?;
        }
        flows.end_without_loss()?;
    }
    Ok(())
}

fn systemd_networkd_leaves_alone_what_is_ours(families: Families) -> Result<()> {
    play("mesh", "networkd", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        reach(world, &pods)?;
        for (path, text) in FOR_NETWORKD {
            put(world, "node1", path, text)?;
        }
        put(world, "node1", "/etc/systemd/network/99-all.network", FOR_ALL)?;
        uplink(world, "node1")?;
        is_left_alone(world, &pods, "systemd-networkd", start_networkd)
    })
}

/// What NetworkManager and firewalld need to be spoken with.
const BUS: &str = "mkdir -p /run/dbus && dbus-daemon --system --fork --nopidfile";

/// What operators are told to install.
const FOR_NETWORK_MANAGER: (&str, &str) =
    ("/etc/NetworkManager/conf.d/cairn.conf", include_str!("../../deploy/host/NetworkManager.conf"));

/// Starts it and waits until it has dealt with every interface, and with ours by leaving them alone.
fn start_network_manager(world: &World, node: &str) -> Result<()> {
    // Where it finds /sys read-only, it is in a container and waits for no udev.
    let start = "mount --bind /sys /sys && mount -o remount,bind,ro /sys && exec NetworkManager --no-daemon >/run/lab/manager.log 2>&1";
    put(world, node, "/run/lab/manager.sh", start)?;
    world.run(node, "sh -c 'unshare --mount sh /run/lab/manager.sh &'")?;
    eventually(SETTLES, || {
        let shown = world.run(node, "nmcli --terse --fields DEVICE,STATE device status")?;
        let states: Vec<(&str, &str)> = shown.lines().filter_map(|line| line.split_once(':')).collect();
        for link in links(world, node)? {
            let name = link["ifname"].as_str().context("a name")?;
            let wanted = match name {
                "lo" => continue,
                "eth1" => "connected (externally)",
                name if is_ours(name) => "unmanaged",
                name => anyhow::bail!("what is {name}?"),
            };
            let state = states.iter().find(|(device, _)| *device == name).map(|(_, state)| *state);
            ensure!(state == Some(wanted), "{name} is {state:?}: {shown}");
        }
        Ok(())
    })
    .map(drop)
}

fn network_manager_leaves_alone_what_is_ours(families: Families) -> Result<()> {
    play("mesh", "manager", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        reach(world, &pods)?;
        let (path, text) = FOR_NETWORK_MANAGER;
        put(world, "node1", path, text)?;
        world.run("node1", &format!("sh -c '{BUS}'"))?;
        is_left_alone(world, &pods, "NetworkManager", start_network_manager)
    })
}

/// As docs/guide/host.md has it: what comes from pools and from nodes passes.
fn trust(world: &World) -> Result<()> {
    for source in ["10.244.0.0/16", "fd00:244::/48", "10.0.0.0/24", "fd10::/64"] {
        world.run("node1", &format!("firewall-cmd --permanent --zone=trusted --add-source={source}"))?;
    }
    world.run("node1", "firewall-cmd --reload").map(drop)
}

fn pods_pass_firewalld_once_they_are_trusted(families: Families) -> Result<()> {
    play("mesh", "firewalld", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        reach(world, &pods)?;
        world.run("node1", &format!("sh -c '{BUS}'"))?;
        world.run("node1", "sh -c 'firewalld --nofork --nopid >/run/lab/firewalld.log 2>&1 &'")?;
        eventually(SETTLES, || world.run("node1", "firewall-cmd --state").map(drop))?;
        for address in &pods[1].pod.addresses {
            let report = world.ping("node1", Some("a"), *address, 3)?;
            ensure!(report.received == 0, "its zones do not know pods, and a packet passed: {report:?}");
        }
        trust(world)?;
        reach(world, &pods)?;
        // Neither takes anything from the other, whoever writes anew.
        let rules = "sh -c 'nft -s list table inet firewalld'";
        let before = world.run("node1", rules)?;
        world.end_process("node1", "felix-lite", Signal::SIGKILL)?;
        let added = world.pod("node1", "c")?;
        ensure!(world.run("node1", rules)? == before, "firewalld's rules have changed");
        world.run("node1", "firewall-cmd --reload")?;
        world.reaches(&added, &pods[1])?;
        reach(world, &pods)
    })
}

fn reach(world: &World, pods: &[PodOn; 2]) -> Result<()> {
    eventually(SETTLES, || {
        for address in &pods[1].pod.addresses {
            let report = world.ping("node1", Some("a"), *address, 3)?;
            ensure!(report.lost() == 0, "{address}: {report:?}");
        }
        Ok(())
    })
    .map(drop)
}

/// Docker's rules, an operator's own with either back end, and a table beside ours.
const OTHERS: &str = "set -e
for family in iptables ip6tables; do
    $family-nft -w -N DOCKER-USER
    $family-nft -w -P FORWARD DROP
    $family-nft -w -A FORWARD -j DOCKER-USER
    $family-nft -w -t nat -A POSTROUTING -o docker0 -j MASQUERADE
    $family-legacy -w -A INPUT -p tcp --dport 9 -j DROP
done
nft add table inet mine
nft add chain inet mine through '{ type filter hook forward priority 10; policy accept; }'
nft add rule inet mine through tcp dport 9 drop
";

/// As docs/guide/host.md has it.
const LET_PODS_THROUGH: &str = "set -e
for family in iptables-nft ip6tables-nft; do
    $family -w -I DOCKER-USER -i crn+ -j ACCEPT
    $family -w -I DOCKER-USER -o crn+ -j ACCEPT
done
";

/// All rules but ours, without counters.
fn rules_of_others(world: &World) -> Result<String> {
    let shown = world.run(
        "node1",
        "sh -c 'for f in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do $f-save; done; nft list table inet mine'",
    )?;
    let kept = shown.lines().filter(|line| !line.starts_with('#'));
    Ok(kept.map(|line| line.split(" [").next().unwrap_or_default()).collect::<Vec<_>>().join("\n"))
}

fn rules_of_others_stay_and_are_obeyed(families: Families) -> Result<()> {
    play("mesh", "other-rules", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        reach(world, &pods)?;
        put(world, "node1", "/run/lab/others.sh", OTHERS)?;
        put(world, "node1", "/run/lab/through.sh", LET_PODS_THROUGH)?;
        world.run("node1", "sh /run/lab/others.sh")?;
        for address in &pods[1].pod.addresses {
            let report = world.ping("node1", Some("a"), *address, 3)?;
            ensure!(report.received == 0, "another table's policy drops, and a packet passed: {report:?}");
        }
        // The node says so, with what helps; and no longer once it is done.
        let blocked = |wanted: usize| {
            eventually(SETTLES, || {
                let path = world.directory().join("volumes/objects/nodestatuses/node1.yaml");
                let status: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
                let conditions = status["status"]["conditions"].as_array().context("no conditions")?;
                let said = conditions.iter().filter(|condition| condition["type"] == "ForwardingBlocked");
                let said = said.filter_map(|condition| condition["message"].as_str());
                let said: Vec<_> = said.flat_map(str::lines).collect();
                let told = said.iter().all(|message| message.contains("filter: FORWARD drops"));
                ensure!(said.len() == wanted && told, "not {wanted}: {conditions:?}");
                Ok(())
            })
        };
        blocked(2)?;
        world.run("node1", "sh /run/lab/through.sh")?;
        reach(world, &pods)?;
        blocked(0)?;
        let before = rules_of_others(world)?;
        ensure!(before.contains("-i crn+ -j ACCEPT") && before.contains("dport 9 drop"), "{before}");
        // The firewall is adopted, added to, and written anew after somebody has deleted it.
        world.end_process("node1", "felix-lite", Signal::SIGKILL)?;
        world.pod("node1", "c")?;
        for table in ["inet cairn", "netdev cairn"] {
            world.run("node1", &format!("nft delete table {table}"))?;
        }
        eventually(SETTLES, || {
            world.run("node1", "nft list set inet cairn pools-v4")?;
            world.run("node1", "nft list chain netdev cairn own-link").map(drop)
        })?;
        world.delete_pod("node1", "c")?;
        reach(world, &pods)?;
        let after = rules_of_others(world)?;
        ensure!(after == before, "rules of others were:\n{before}\nand are:\n{after}");
        Ok(())
    })
}

/// What `sysctl --system` does where a file of the host says that it is no router.
const NO_ROUTER: &str = "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0";

/// Of all echo requests of a flow that lasts for seconds, how many may be lost while a setting is put back: percent.
const LOST: u64 = 10;

fn forwarding_that_somebody_switches_off_is_switched_on_again(families: Families) -> Result<()> {
    play("mesh", "forwarding", families, |world| {
        let pods = [world.pod("node1", "a")?, world.pod("node2", "b")?];
        reach(world, &pods)?;
        let flows = Flows::start(world, &pods[0], &pods[1])?;
        world.run("node1", NO_ROUTER)?;
        forwards(world, "node1")?;
        for address in &pods[1].pod.addresses {
            let report = world.ping("node1", Some("a"), *address, 100)?;
            ensure!(report.lost() == 0, "{address}: {report:?}");
        }
        flows.end_with_at_most(LOST)?;
        // Whoever goes on is told of, and it is put back all the same.
        eventually(SETTLES, || {
            world.run("node1", NO_ROUTER)?;
            let path = world.directory().join("volumes/objects/nodestatuses/node1.yaml");
            let status: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
            let conditions = status["status"]["conditions"].as_array().context("no conditions")?;
            let said = conditions.iter().filter(|condition| condition["type"] == "KernelContested");
            let said: Vec<_> = said.filter_map(|condition| condition["message"].as_str()).collect();
            for setting in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
                let told = format!("{setting}: somebody set it to 0");
                ensure!(
                    said.iter().flat_map(|message| message.lines()).any(|line| line.starts_with(&told)),
                    "{setting}: {conditions:?}"
                );
            }
            Ok(())
        })?;
        forwards(world, "node1")?;
        reach(world, &pods)
    })
}

/// Waits until a node forwards packets of both families.
fn forwards(world: &World, node: &str) -> Result<()> {
    eventually(SETTLES, || {
        let shown = world.run(node, "sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding")?;
        ensure!(shown.split_whitespace().all(|value| value == "1"), "{shown}");
        Ok(())
    })
    .map(drop)
}

scenario!(systemd_networkd_leaves_alone_what_is_ours);
scenario!(forwarding_that_somebody_switches_off_is_switched_on_again);
scenario!(rules_of_others_stay_and_are_obeyed);
scenario!(network_manager_leaves_alone_what_is_ours);
scenario!(pods_pass_firewalld_once_they_are_trusted);
