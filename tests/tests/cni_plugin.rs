//! The CNI plugin and felix-lite's CNI server on one node, called as a runtime calls them.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use cairn_lab::cni::node::{Netns, Node, Pod, addresses, eventually, run};
use cairn_net::Family;
use serde_json::{Value, json};

const DUAL: [Family; 2] = Family::ALL;

fn code(answer: &Result<Value, Value>) -> Option<u64> {
    answer.as_ref().err()?["code"].as_u64()
}

/// Are the pod's ends, routes and firewall elements gone?
fn gone(node: &Node, addresses: &[String]) -> Result<bool> {
    let rules = node.netns.command("nft").args(["list", "table", "inet", "cairn"]).output()?;
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    let routes = node.netns.ip("route show")? + &node.netns.ip("-6 route show")?;
    let mentioned = |text: &str, address: &str| {
        text.split(|c: char| !(c.is_ascii_hexdigit() || ".:/".contains(c))).any(|word| word == address)
    };
    let left = addresses.iter().any(|address| mentioned(&rules, address) || mentioned(&routes, address));
    Ok(!left && node.workload_interfaces()?.is_empty())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn pods_of_one_node_reach_each_other_at_once() -> Result<()> {
    for families in [&DUAL[..1], &DUAL[1..], &DUAL[..]] {
        let node = Node::start("reach", families)?;
        let (one, two) = (node.pod()?, node.pod()?);
        let (from, to) = (node.add(&one)?, node.add(&two)?);
        ensure!(to.len() == families.len(), "{to:?} for {families:?}");
        for (there, back) in to.iter().zip(&from) {
            ensure!(one.netns.pings(there), "{from:?} to {there}");
            ensure!(two.netns.pings(back), "{to:?} to {back}");
            ensure!(node.netns.pings(back), "the node to {back}");
        }
        for pod in [&one, &two] {
            node.del(pod)?;
            node.del(pod)?;
        }
        ensure!(eventually(|| gone(&node, &[from.clone(), to.clone()].concat()).unwrap_or(false)));
    }
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn two_hundred_pods_come_and_go() -> Result<()> {
    const PODS: usize = 200;
    let node = Node::start("many", &DUAL)?;
    let pods = (0..PODS).map(|_| node.pod()).collect::<Result<Vec<_>>>()?;
    let mut all = in_parallel(&pods, |pod| node.add(pod))?.concat();
    all.sort();
    all.dedup();
    ensure!(all.len() == 2 * PODS, "{} different addresses for {PODS} pods", all.len());
    ensure!(node.workload_interfaces()?.len() == PODS);
    let last = node.add(&pods[PODS - 1])?;
    ensure!(last.iter().all(|address| pods[0].netns.pings(address)), "first to last");
    in_parallel(&pods, |pod| node.del(pod))?;
    ensure!(
        eventually(|| gone(&node, &all).unwrap_or(false)),
        "something stayed: {:?}",
        node.workload_interfaces()
    );
    Ok(())
}

/// Calls for each pod, eight at a time.
fn in_parallel<T: Send>(pods: &[Pod], call: impl Fn(&Pod) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push(call(pod));
        }
        results
    };
    let results: Vec<Result<T>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });
    results.into_iter().collect()
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn add_twice_is_add_once_and_a_new_namespace_gets_the_same_addresses() -> Result<()> {
    let node = Node::start("again", &DUAL)?;
    let mut pod = node.pod()?;
    let configuration = node.configuration("1.1.0", &json!({}));
    let first = node.plugin("ADD", Some(&pod), &configuration)?;
    ensure!(first.is_ok() && first == node.plugin("ADD", Some(&pod), &configuration)?, "{first:?}");

    // The runtime made the sandbox anew under the same id.
    let fresh = Netns::new(format!("{}-fresh", pod.container))?;
    pod.netns = fresh;
    let again = node.add(&pod)?;
    ensure!(again == addresses(first.as_ref().ok().context("ADD")?), "{again:?}");
    ensure!(again.iter().all(|address| node.netns.pings(address)), "unreachable in the new namespace");
    ensure!(node.workload_interfaces()?.len() == 1);

    // Its wiring was damaged: ADD mends it.
    pod.netns.ip("link del eth0")?;
    ensure!(node.add(&pod)? == again);
    ensure!(again.iter().all(|address| node.netns.pings(address)), "unreachable after the damage");
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_failed_add_leaves_nothing() -> Result<()> {
    let node = Node::start("rollback", &DUAL)?;
    let pod = node.pod()?;
    // The name is taken by somebody else's interface.
    pod.netns.ip("link add eth0 type veth peer name other")?;
    let answer = node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &json!({})))?;
    ensure!(code(&answer) == Some(103), "{answer:?}");
    ensure!(gone(&node, &[])?, "{:?}", node.workload_interfaces());
    ensure!(pod.netns.ip("link show eth0").is_ok(), "somebody else's interface must stay");

    // Half-way, inside the container: the gateway's route is there already, so that ours cannot be made.
    let pod = node.pod()?;
    let holder = node.pod()?;
    let held = node.add(&holder)?;
    let wanted = json!({ "runtimeConfig": { "ips": [held[0]] } });
    let answer = node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &wanted))?;
    ensure!(code(&answer) == Some(100), "an address in use: {answer:?}");
    ensure!(node.workload_interfaces()?.len() == 1, "only the holder's");
    ensure!(pod.netns.ip("link show eth0").is_err(), "nothing in the container");

    // The daemon's disk is full: no journal can grow.
    let size = std::fs::metadata(node.path("data/attachments"))?.len();
    limit_files(&node, &size.to_string())?;
    let answer = node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &json!({})))?;
    ensure!(code(&answer) == Some(5), "{answer:?}");
    ensure!(node.workload_interfaces()?.len() == 1, "only the holder's");
    limit_files(&node, "unlimited")?;
    ensure!(node.add(&pod)?.len() == 2);
    Ok(())
}

/// Lets the daemon's files grow to so many bytes (`RLIMIT_FSIZE`).
fn limit_files(node: &Node, size: &str) -> Result<()> {
    let pid = node.daemon_pid().context("felix-lite runs")?;
    let limit = format!("--fsize={size}:");
    run(std::process::Command::new("prlimit").args(["--pid", &pid.to_string(), &limit])).map(drop)
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn del_works_without_the_namespace() -> Result<()> {
    let node = Node::start("nons", &DUAL)?;
    let pod = node.pod()?;
    let had = node.add(&pod)?;
    run(std::process::Command::new("ip").args(["netns", "del", &pod.netns.name]))?;
    node.del(&pod)?;
    node.del(&pod)?;
    ensure!(eventually(|| gone(&node, &had).unwrap_or(false)));
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn pods_live_and_die_while_the_daemon_is_dead() -> Result<()> {
    let mut node = Node::start("kill", &DUAL)?;
    let (stays, goes) = (node.pod()?, node.pod()?);
    let (kept, had) = (node.add(&stays)?, node.add(&goes)?);
    node.kill_daemon()?;
    ensure!(kept.iter().all(|address| goes.netns.pings(address)), "forwarding needs no daemon");
    let answer = node.plugin("ADD", Some(&node.pod()?), &node.configuration("1.1.0", &json!({})))?;
    ensure!(code(&answer) == Some(11), "{answer:?}");
    let answer = node.status()?;
    ensure!(code(&answer) == Some(50), "{answer:?}");
    node.del(&goes)?;

    node.start_daemon()?;
    ensure!(
        eventually(|| node.workload_interfaces().is_ok_and(|links| links.len() == 1)),
        "the DEL was kept and done"
    );
    ensure!(had.iter().all(|address| !stays.netns.pings(address)));
    ensure!(kept.iter().all(|address| node.netns.pings(address)), "adopted");
    ensure!(node.add(&stays)? == kept, "the same attachment after a restart");
    let check = node.configuration("1.1.0", &json!({ "prevResult": node.plugin("ADD", Some(&stays), &node.configuration("1.1.0", &json!({})))?.ok() }));
    let answer = node.plugin("CHECK", Some(&stays), &check)?;
    ensure!(answer.is_ok(), "{answer:?}");
    node.del(&stays)?;
    ensure!(eventually(|| gone(&node, &[kept.clone(), had.clone()].concat()).unwrap_or(false)));
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn check_names_what_is_missing() -> Result<()> {
    let node = Node::start("check", &DUAL)?;
    let pod = node.pod()?;
    let result = node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &json!({})))?;
    let result = result.ok().context("ADD")?;
    let had = addresses(&result);
    let configuration = node.configuration("1.1.0", &json!({ "prevResult": result }));
    let check = || node.plugin("CHECK", Some(&pod), &configuration);
    ensure!(check()?.is_ok(), "{:?}", check()?);
    let interface = node.workload_interfaces()?.pop().context("one")?;
    let damages = [
        (&pod.netns, format!("addr del {}/32 dev eth0", had[0]), had[0].as_str()),
        (&pod.netns, format!("addr del {}/128 dev eth0", had[1]), had[1].as_str()),
        (&pod.netns, "route del default".to_owned(), "0.0.0.0/0"),
        (&pod.netns, "-6 route del default".to_owned(), "::/0"),
        (&pod.netns, "link set eth0 mtu 1300".to_owned(), "MTU"),
        (&pod.netns, "link set eth0 down".to_owned(), "down"),
        (&node.netns, format!("link set {interface} mtu 1300"), "MTU"),
        (&node.netns, format!("link del {interface}"), interface.as_str()),
    ];
    for (netns, damage, named) in damages {
        netns.ip(&damage)?;
        let answer = check()?;
        ensure!(code(&answer) == Some(102), "{damage}: {answer:?}");
        let message = answer.unwrap_err()["msg"].to_string();
        ensure!(message.contains(named), "{damage}: {message}");
        ensure!(node.add(&pod)? == had, "ADD mends what CHECK found");
        ensure!(check()?.is_ok(), "after {damage}");
    }
    node.del(&pod)?;
    ensure!(code(&check()?) == Some(3), "{:?}", check()?);
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn gc_removes_what_the_runtime_no_longer_knows() -> Result<()> {
    let node = Node::start("gc", &DUAL)?;
    let (known, stale) = (node.pod()?, node.pod()?);
    let (kept, had) = (node.add(&known)?, node.add(&stale)?);
    let gc = |keys: Value| node.plugin("GC", None, &node.configuration("1.1.0", &keys));
    ensure!(gc(json!({}))?.is_ok() && node.workload_interfaces()?.len() == 2, "no list: nothing living goes");
    let valid =
        json!({ "cni.dev/valid-attachments": [{ "containerID": known.container, "ifname": "eth0" }] });
    ensure!(gc(valid)?.is_ok());
    ensure!(eventually(|| node.workload_interfaces().is_ok_and(|links| links.len() == 1)));
    ensure!(had.iter().all(|address| !known.netns.pings(address)));
    ensure!(kept.iter().all(|address| node.netns.pings(address)));
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn wishes_for_addresses_mtu_and_mac_are_kept_or_refused() -> Result<()> {
    let node = Node::start("wish", &DUAL)?;
    let pod = node.pod()?;
    let add = |keys: Value| node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &keys));
    let wish = json!({ "mtu": 1400, "runtimeConfig": { "ips": ["10.244.7.9/16", "fd00:244::79"], "mac": "02:00:00:00:00:09" } });
    let result = add(wish)?;
    let result = result.ok().context("ADD")?;
    ensure!(addresses(&result) == ["10.244.7.9", "fd00:244::79"], "{result}");
    let link = pod.netns.ip("link show eth0")?;
    ensure!(link.contains("mtu 1400") && link.contains("02:00:00:00:00:09"), "{link}");
    ensure!(node.netns.pings("10.244.7.9") && node.netns.pings("fd00:244::79"));
    node.del(&pod)?;

    let pod = node.pod()?;
    let own =
        json!({ "io.kubernetes.cri.pod-annotations": { "cairn.network/mac-address": "02:00:00:00:00:0a" } });
    let keys = node.configuration("1.1.0", &json!({ "runtimeConfig": own }));
    let address = addresses(&node.plugin("ADD", Some(&pod), &keys)?.ok().context("ADD")?).remove(0);
    let link = pod.netns.ip("link show eth0")?;
    ensure!(link.contains("02:00:00:00:00:0a") && node.netns.pings(&address), "{link}");
    node.del(&pod)?;

    let pod = node.pod()?;
    let add = |keys: Value| node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", &keys));
    ensure!(addresses(&add(json!({ "ipam": { "assign_ipv6": false } }))?.ok().context("ADD")?).len() == 1);
    node.del(&pod)?;
    let refused = [
        (json!({ "runtimeConfig": { "ips": ["192.0.2.77"] } }), 100),
        (json!({ "ipam": { "ipv4_pools": ["nowhere"] } }), 100),
        (json!({ "ipam": { "type": "host-local" } }), 2),
        (json!({ "mtu": "1500" }), 6),
        (json!({ "mtu": 12 }), 7),
    ];
    for (keys, wanted) in refused {
        let answer = add(keys.clone())?;
        ensure!(code(&answer) == Some(wanted), "{keys}: {answer:?}");
    }
    ensure!(eventually(|| gone(&node, &[]).unwrap_or(false)));
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn a_namespace_names_the_pools_of_pods_that_name_none() -> Result<()> {
    let node = Node::start("ns", &DUAL)?;
    node.put(
        "ippools/shop.yaml",
        &json!({
            "apiVersion": "cairn.network/v1alpha1", "kind": "IPPool", "metadata": { "name": "shop" },
            "spec": { "cidr": "10.99.0.0/24", "assignmentMode": "Manual" }
        }),
    )?;
    let say = |pools: &str| {
        let annotations = json!({ "cairn.network/ipv4-pools": pools });
        let metadata = json!({ "name": "shop", "annotations": annotations });
        node.put(
            "namespaces/shop.yaml",
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }),
        )
    };
    let add = |keys: &Value| -> Result<Result<Value, Value>> {
        let mut pod = node.pod()?;
        pod.namespace = "shop".to_owned();
        let answer = node.plugin("ADD", Some(&pod), &node.configuration("1.1.0", keys))?;
        node.del(&pod)?;
        Ok(answer)
    };
    let first = |keys: &Value| addresses(&add(keys).ok()?.ok()?).into_iter().next();
    let is_of = |keys: &Value, start: &str| first(keys).is_some_and(|address| address.starts_with(start));
    let plain = json!({});

    ensure!(is_of(&plain, "10.244."), "no namespace is there yet: {:?}", add(&plain));
    say(r#"["shop"]"#)?;
    ensure!(eventually(|| is_of(&plain, "10.99.0.")), "{:?}", add(&plain));
    let both = addresses(&add(&plain)?.ok().context("ADD")?);
    ensure!(both.len() == 2 && both[1].starts_with("fd00:244:"), "of the other family any: {both:?}");
    ensure!(is_of(&json!({ "ipam": { "ipv4_pools": ["pods-v4"] } }), "10.99.0."), "before the configuration");
    let own = json!({ "io.kubernetes.cri.pod-annotations": { "cairn.network/ipv4-pools": "[\"pods-v4\"]" } });
    ensure!(is_of(&json!({ "runtimeConfig": own }), "10.244."), "the pod's own comes first");
    ensure!(node.add(&node.pod()?)?[0].starts_with("10.244."), "who is of no namespace has any pool");

    for (wrong, wanted, rule) in
        [(r#"["rack a"]"#, 7, "a pool's name or CIDR"), (r#"["nowhere"]"#, 100, "there is no pool")]
    {
        say(wrong)?;
        ensure!(eventually(|| add(&plain).is_ok_and(|answer| code(&answer) == Some(wanted))), "{wrong}");
        let error = add(&plain)?.err().context("ADD is refused")?.to_string();
        ensure!(error.contains("cairn.network/ipv4-pools of the namespace shop"), "{error}");
        ensure!(error.contains(rule), "{error}");
    }
    Ok(())
}
