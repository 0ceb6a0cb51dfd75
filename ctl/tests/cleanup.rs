//! `cairnctl cleanup` in a network namespace with the leftovers of three pod networks, and things of others that look like them.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

const LEFT: &str = "
set -e
ip link set lo up
ip link add eth0 type veth peer name uplink
ip link set eth0 up && ip link set uplink up
ip address add 192.0.2.1/24 dev eth0

# Calico
ip link add cali0a1b2c3 type veth peer name podA
ip link set cali0a1b2c3 up
ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev eth0
ip route add 10.244.1.5/32 dev cali0a1b2c3 proto 80
ip route add blackhole 10.244.1.0/26 proto bird
ip route add 10.244.2.0/26 via 192.0.2.2 proto bird
ip rule add priority 99 fwmark 0x0/0x100000 table 1
nft add table ip calico
nft add table ip6 calico
for back_end in iptables-nft iptables-legacy; do
	$back_end -w -N cali-FORWARD
	$back_end -w -N cali-from-wl
	$back_end -w -A cali-FORWARD -i cali+ -m comment --comment cali:8ZoYfO5HKXWbB3pk -j cali-from-wl
	$back_end -w -A FORWARD -m comment --comment cali:wUHhoiAYhphO9Mso -j cali-FORWARD
done

# flannel
ip link add cni0 type bridge
ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0
ip link add veth7 type veth peer name podB
ip link set veth7 master cni0
nft add table ip flannel-ipv4
iptables-nft -w -t nat -N FLANNEL-POSTRTG
iptables-nft -w -t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG

# Cairn
ip link add crn0 type veth peer name podC
ip link set crn0 up
ip nexthop add id 0xca000001 dev eth0 protocol 202
ip route add 10.245.1.7/32 dev crn0 proto 202
nft add table inet cairn
nft add table netdev cairn

# Others
ip link add docker0 type bridge
ip link add cairn-vxlan type bridge
ip link add calibration type dummy 2>/dev/null || ip link add calibration type bridge
ip route add 198.51.100.0/24 via 192.0.2.9 proto static
ip rule add priority 98 fwmark 0x7 table 7
nft add table inet foreign
iptables-nft -w -A FORWARD -o docker0 -m comment --comment 'mine, not cali:s' -j ACCEPT
";

/// Everything in the kernel that is looked at, as the kernel's own tools show it.
const STATE: &str = "
ip -o link | cut -d: -f2 | tr -d ' ' | cut -d@ -f1 | sort
ip route show table all type unicast proto static; ip route show proto 80; ip route show proto bird; ip route show proto 202
ip rule show priority 98; ip rule show priority 99; ip nexthop show proto 202
nft list tables | grep -v -e 'ip filter' -e 'ip nat' -e ip6
iptables-nft-save 2>/dev/null | grep -e '^-A' -e '^:[cF][aL]' || true
iptables-legacy-save 2>/dev/null | grep -e '^-A' -e '^:[cF][aL]' || true
";

fn sh(script: &str) -> Result<String> {
    let output = Command::new("sh").args(["-c", script]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs it with processes of its own: others on this machine may run routers.
fn cleanup(root: &Path, arguments: &[&str], beside: &str) -> Result<Output> {
    let program = env!("CARGO_BIN_EXE_cairnctl");
    let line =
        format!("{beside} {program} -o json cleanup --root {} {}", root.display(), arguments.join(" "));
    let mut command = Command::new("unshare");
    Ok(command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &line]).output()?)
}

fn listed(output: &Output) -> Result<Vec<(String, String)>> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout)?;
    let word = |object: &Value, key: &str| Some(object[key].as_str()?.to_owned());
    text.lines()
        .map(|line| {
            let object: Value = serde_json::from_str(line)?;
            word(&object, "product").zip(word(&object, "name")).with_context(|| line.to_owned())
        })
        .collect()
}

fn in_namespace(test: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let work = move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        test()
    };
    std::thread::spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
#[ignore = "needs root"]
fn what_was_left_is_listed_and_goes_and_the_rest_stays() -> Result<()> {
    in_namespace(|| {
        sh(LEFT)?;
        let root = tempfile::tempdir()?;
        for file in
            ["etc/cni/net.d/10-calico.conflist", "etc/cni/net.d/99-mine.conflist", "opt/cni/bin/flannel"]
        {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().context("it has one")?)?;
            std::fs::write(path, "{}")?;
        }
        let before = sh(STATE)?;
        let all = listed(&cleanup(root.path(), &[], "")?)?;
        assert_eq!(sh(STATE)?, before, "listing changes nothing");
        let names = |product: &str| -> Vec<String> {
            all.iter().filter(|(of, _)| of == product).map(|(_, name)| name.clone()).collect()
        };
        let conflist = root.path().join("etc/cni/net.d/10-calico.conflist").display().to_string();
        let calico = [
            "iptables-nft, table filter: 2 chains, and 1 rules in those of others",
            "iptables-legacy, table filter: 2 chains, and 1 rules in those of others",
            "ip calico",
            "ip6 calico",
            "ipv4, priority 99",
            "10.244.1.0/26 proto bird",
            "10.244.1.5/32 proto calico",
            "10.244.2.0/26 proto bird",
            "cali0a1b2c3",
            "vxlan.calico",
            &conflist,
        ];
        let found = names("calico");
        for name in calico {
            assert!(found.iter().any(|found| found.starts_with(name)), "{name} in {found:#?}");
        }
        assert_eq!(found.len(), calico.len(), "{found:#?}");
        assert_eq!(names("flannel").len(), 6, "{:#?}", names("flannel"));
        assert_eq!(names("cairn").len(), 5, "{:#?}", names("cairn"));

        listed(&cleanup(root.path(), &["calico", "flannel", "--remove"], "")?)?;
        let left = listed(&cleanup(root.path(), &[], "")?)?;
        assert!(left.iter().all(|(product, _)| product == "cairn") && left.len() == 5, "{left:#?}");
        listed(&cleanup(root.path(), &["cairn", "--remove"], "")?)?;
        assert_eq!(listed(&cleanup(root.path(), &[], "")?)?, []);

        let after = sh(STATE)?;
        let foreign: Vec<&str> = before
            .lines()
            .filter(|line| {
                let ours = [
                    "cali0",
                    "calico",
                    "cali-F",
                    "cali-f",
                    "comment cali:",
                    "comment \"cali:",
                    "podA",
                    "podB",
                    "podC",
                    "cni0",
                    "flannel",
                    "FLANNEL",
                    "veth7",
                ];
                let more = [
                    "crn0",
                    "inet cairn",
                    "netdev cairn",
                    "10.244.",
                    "10.245.",
                    "0x100000",
                    "0xca000001",
                    "id 3388997633",
                ];
                !ours.iter().chain(&more).any(|word| line.contains(word))
            })
            .collect();
        assert_eq!(after.lines().collect::<Vec<_>>(), foreign);
        assert!(root.path().join("etc/cni/net.d/99-mine.conflist").exists());
        Ok(())
    })
}

#[test]
#[ignore = "needs root"]
fn nothing_goes_while_its_daemon_runs_or_nobody_is_named() -> Result<()> {
    in_namespace(|| {
        sh(LEFT)?;
        let root = tempfile::tempdir()?;
        let daemon = root.path().join("calico-node");
        std::fs::copy("/bin/sleep", &daemon)?;
        let beside = format!("{} 60 &", daemon.display());
        let before = sh(STATE)?;
        let output = cleanup(root.path(), &["calico", "--remove"], &beside)?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("calico-node (process "), "{error}");
        let output = cleanup(root.path(), &["--remove"], "")?;
        assert!(!output.status.success(), "whose is to be said");
        assert_eq!(sh(STATE)?, before);
        Ok(())
    })
}

#[test]
#[ignore = "needs root"]
fn a_directory_that_is_a_mount_point_is_left_empty() -> Result<()> {
    in_namespace(|| {
        let root = tempfile::tempdir()?;
        let state = root.path().join("var/lib/cairn");
        std::fs::create_dir_all(&state)?;
        let path = state.display();
        // Mounted where the program runs, and gone with it.
        let beside = format!("mount -t tmpfs none {path} && mkdir {path}/cni-del && touch {path}/ipam &&");
        let found = listed(&cleanup(root.path(), &["cairn"], &beside)?)?;
        assert_eq!(found, [("cairn".to_owned(), path.to_string())]);
        let left =
            cleanup(root.path(), &["cairn", "--remove", ">&2", "&&", "ls -A", &path.to_string()], &beside)?;
        assert!(left.status.success(), "{}", String::from_utf8_lossy(&left.stderr));
        assert_eq!(String::from_utf8_lossy(&left.stdout), "");
        Ok(())
    })
}
