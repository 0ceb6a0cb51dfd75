//! The plugin under libcni: `cnitool` of the reference implementation, and its plugins in a chain behind Cairn's.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cairn_lab::cni::node::{Node, Pod, addresses, eventually, run};
use cairn_net::Family;
use serde_json::{Value, json};

const NOTHING: Value = Value::Null;

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn every_version_of_the_specification_works() -> Result<()> {
    let node = Node::start("versions", &Family::ALL)?;
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        node.conflist("pods", version, &json!({}), &[])?;
        let pod = node.pod()?;
        let result: Value = serde_json::from_str(&node.cnitool("add", "pods", &pod, &NOTHING)?)?;
        ensure!(result["cniVersion"] == version, "{result}");
        ensure!(result["ips"][0].get("version").is_some() == (version < "1.0.0"), "{result}");
        ensure!(result["interfaces"][1]["sandbox"] == pod.netns.path(), "{result}");
        ensure!(addresses(&result).iter().all(|address| node.netns.pings(address)), "{version}");
        if version != "0.3.1" {
            node.cnitool("check", "pods", &pod, &NOTHING).context(version)?;
            pod.netns.ip("route del default")?;
            let error =
                node.cnitool("check", "pods", &pod, &NOTHING).expect_err("the default route is missing");
            ensure!(error.to_string().contains("0.0.0.0/0"), "{error:#}");
        }
        if version == "1.1.0" {
            node.cnitool("status", "pods", &pod, &NOTHING)?;
            // libcni deletes every attachment that it has in its cache, and tells the plugin of none.
            node.cnitool("gc", "pods", &pod, &NOTHING)?;
        } else {
            node.cnitool("del", "pods", &pod, &NOTHING)?;
        }
        node.cnitool("del", "pods", &pod, &NOTHING)?;
        ensure!(eventually(|| node.workload_interfaces().is_ok_and(|links| links.is_empty())), "{version}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn portmap_and_bandwidth_work_behind_it() -> Result<()> {
    chain("nftables", &["nft", "list", "ruleset"])
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn portmap_with_iptables_works_behind_it() -> Result<()> {
    chain("iptables", &["iptables-save", "-t", "nat"])
}

#[test]
#[ignore = "needs root: run by cargo xtask test --tier lab"]
fn host_ports_and_bandwidth_need_no_other_plugin() -> Result<()> {
    let node = Node::start("alone", &Family::ALL)?;
    let capabilities = json!({ "capabilities": { "portMappings": true, "bandwidth": true } });
    node.conflist("alone", "1.0.0", &capabilities, &[])?;
    let (server, client) = (node.pod()?, node.pod()?);
    node.cnitool("add", "alone", &server, &wishes())?;
    node.add(&client)?;
    let table = || run(node.netns.command("nft").args(["list", "table", "inet", "cairn"]));
    let limit = "limit rate over 1000000 bytes/second";
    ensure!(table()?.contains(limit), "{}", table()?);
    port_leads_to(&server, &client)?;
    node.cnitool("check", "alone", &server, &wishes())?;
    run(node.netns.command("nft").args(["flush", "set", "inet", "cairn", "ingress-limits"]))?;
    ensure!(eventually(|| table().is_ok_and(|text| text.contains(limit))), "{}", table()?);
    node.cnitool("del", "alone", &server, &wishes())?;
    node.del(&client)?;
    let left = table()?;
    ensure!(!left.contains("8080") && !left.contains(limit), "{left}");
    Ok(())
}

/// What a runtime passes on.
fn wishes() -> Value {
    json!({
        "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }],
        "bandwidth": { "ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 0, "egressBurst": 0 },
    })
}

/// Port 8080 of the node leads one pod to another's port 80.
fn port_leads_to(server: &Pod, client: &Pod) -> Result<()> {
    let listener = server.netns.run(|| TcpListener::bind("0.0.0.0:80"))??;
    listener.set_nonblocking(true)?;
    let target: SocketAddr = "192.0.2.1:8080".parse()?;
    let reached = eventually(|| {
        let connected = client.netns.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(1)));
        connected.is_ok_and(|stream| stream.is_ok()) && listener.accept().is_ok()
    });
    ensure!(reached, "port 8080 of the node does not lead to the pod");
    Ok(())
}

/// A chain with portmap in one of its back ends, and the command that shows what it has written.
fn chain(backend: &str, rules: &[&str]) -> Result<()> {
    let node = Node::start(backend, &Family::ALL)?;
    let portmap = json!({ "type": "portmap", "backend": backend, "snat": true, "capabilities": { "portMappings": true } });
    let bandwidth = json!({ "type": "bandwidth", "capabilities": { "bandwidth": true } });
    node.conflist("chain", "1.0.0", &json!({}), &[portmap, bandwidth])?;
    let (server, client) = (node.pod()?, node.pod()?);
    let wishes = wishes();
    let result: Value = serde_json::from_str(&node.cnitool("add", "chain", &server, &wishes)?)?;
    ensure!(addresses(&result).len() == 2, "prevResult is handed on: {result}");
    node.add(&client)?;
    let interface = result["interfaces"][0]["name"].as_str().context("the host's end")?;
    let shaped = run(node.netns.command("tc").args(["qdisc", "show", "dev", interface]))?;
    ensure!(shaped.contains("tbf"), "{shaped}");

    let written = run(node.netns.command(rules[0]).args(&rules[1..]))?;
    ensure!(written.contains("8080"), "{backend} has no rule for the port: {written}");

    port_leads_to(&server, &client)?;
    node.cnitool("check", "chain", &server, &wishes).context("CHECK of the chain")?;
    node.cnitool("del", "chain", &server, &wishes)?;
    node.del(&client)?;
    ensure!(eventually(|| node.workload_interfaces().is_ok_and(|links| links.is_empty())));
    let left = run(node.netns.command(rules[0]).args(&rules[1..]))?;
    ensure!(!left.contains("8080"), "{left}");
    Ok(())
}
