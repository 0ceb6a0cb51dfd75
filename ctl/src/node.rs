//! `cairnctl node status`: this node on one page: daemons, sessions, addresses, dataplane, and what is wrong.
//!
//! `cairnctl node drain` and `undrain`: a node leaves the network's routes, or is back.
//!
//! The daemons are asked through their sockets; addresses and what felix-lite reports are read from the store. Whatever cannot be had
//! is said to be missing, and the rest is shown all the same.

mod drain;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bgpd_api::peer::{Peer, SessionState};
use cairn_api::kinds::{NodeReport, NodeStatus};
use cairn_api::{Condition, ConditionStatus};
use cairn_datastore::{Datastore, Key, StoreError};
use cairn_ipam::check::{BlockUsage, report};
use cairn_net::{Asn, Prefix};
use clap::{Args, Subcommand};
use felix_api::{Command as Ask, Reply};
use serde::Serialize;

use crate::Error;
use crate::output::{Format, Output};
use crate::place::{Store, ThisNode};
use crate::table::{Table, age, remote_as};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: ThisNode,
    #[command(flatten)]
    store: Store,
    /// bgpd's Unix socket.
    #[arg(long, value_name = "PATH", env = "BGPD_SOCKET", global = true, default_value = bgpd_api::DEFAULT_SOCKET)]
    bgpd_socket: PathBuf,
    /// felix-lite's Unix socket for the CNI plugin.
    #[arg(long, value_name = "PATH", env = "CAIRN_CNI_SOCKET", global = true, default_value = felix_api::DEFAULT_SOCKET)]
    cni_socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Daemons, sessions, addresses, dataplane, and what is wrong; fails if something is.
    Status,
    /// Make another WireGuard key for this node: the others learn it, and packets wait meanwhile.
    RotateWireguardKey,
    /// Have a node announce its routes as leaving (RFC 8326), and withdraw after a while what nothing uses. Its pods go on.
    Drain {
        /// Name of its Node object.
        #[arg(value_name = "NAME")]
        target: String,
        /// Why, for whoever looks at the node.
        #[arg(long, value_name = "TEXT", default_value = "cairnctl node drain", value_parser = drain::reason)]
        reason: String,
    },
    /// Take that back.
    Undrain {
        /// Name of its Node object.
        #[arg(value_name = "NAME")]
        target: String,
    },
}

/// The page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    node: String,
    daemons: Vec<Daemon>,
    sessions: Vec<Session>,
    blocks: Vec<Block>,
    /// Addresses that pods could have without another block.
    free_addresses: u128,
    dataplane: Option<Dataplane>,
    /// Why the node is being emptied and how far that is, one sentence each.
    draining: Vec<String>,
    /// What is wrong, one sentence each.
    problems: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Daemon {
    name: &'static str,
    up: bool,
    ready: bool,
    detail: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    address: std::net::IpAddr,
    remote_as: Asn,
    state: String,
    for_seconds: u64,
    accepted: u64,
    sent: u64,
    last_error: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    cidr: Prefix,
    pool: String,
    size: u128,
    assigned: u64,
    resting: u64,
    free: u128,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dataplane {
    in_sync: bool,
    routes: u64,
    attachments: u64,
    /// The key by which other nodes know this one.
    wireguard_public_key: Option<cairn_api::WireguardKey>,
    reported: Option<cairn_api::Timestamp>,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let mark = match &arguments.command {
        Command::RotateWireguardKey => return rotate(&arguments.cni_socket, format),
        Command::Drain { target, reason } => Some((target, Some(reason.as_str()))),
        Command::Undrain { target } => Some((target, None)),
        Command::Status => None,
    };
    if let Some((target, reason)) = mark {
        let store = arguments.store.open().await?;
        return drain::mark(&store, target, reason, &mut Output::new(format)).await;
    }
    let status = gather(&arguments).await?;
    let mut output = Output::new(format);
    if output.is_json() {
        output.json(&status)?;
    } else {
        print(&status, &mut output)?;
    }
    match status.problems.len() {
        0 => Ok(()),
        count => Err(Error::Answer(format!("{} has {count} problems", status.node))),
    }
}

fn rotate(socket: &std::path::Path, format: Format) -> Result<(), Error> {
    let reply = felix_api::Client::new(socket).call(Ask::RotateWireguardKey, None, PATIENCE);
    match reply {
        Ok(Reply::Refused(refusal)) => return Err(Error::Answer(refusal.to_string())),
        Ok(_) => {}
        Err(error) => return Err(Error::Answer(error.to_string())),
    }
    let mut output = Output::new(format);
    if output.is_json() {
        return output.json(&serde_json::json!({"rotated": true}));
    }
    output.line("the node has another WireGuard key: cairnctl node status shows it")
}

/// The node's blocks, and what its felix-lite reported.
async fn stored(arguments: &Arguments, node: &str) -> Result<(Vec<Block>, Option<NodeReport>), Error> {
    let store = arguments.store.open().await?;
    let found = report(&crate::ipam::read(&store).await?, SystemTime::now().into());
    let blocks = found.blocks.iter().filter(|block| block.node == node).map(Block::of).collect();
    match store.get::<NodeStatus>(&Key::named(node)).await {
        Ok(object) => Ok((blocks, object.status)),
        Err(StoreError::NotFound { .. }) => Ok((blocks, None)),
        Err(error) => Err(error.into()),
    }
}

async fn gather(arguments: &Arguments) -> Result<Status, Error> {
    let node = arguments.node.name()?;
    let (bgpd, sessions) = bgpd(&arguments.bgpd_socket).await;
    let daemons = vec![bgpd, felix(&arguments.cni_socket)];
    let mut problems: Vec<String> = daemons
        .iter()
        .filter(|daemon| !daemon.ready)
        .map(|daemon| format!("{}: {}", daemon.name, daemon.detail))
        .collect();
    let (blocks, reported) = match stored(arguments, &node).await {
        Ok((blocks, Some(report))) => (blocks, Some(report)),
        Ok((blocks, None)) => {
            problems.push(format!("there is no NodeStatus {node}: felix-lite has never run here"));
            (blocks, None)
        }
        Err(error) => {
            problems.push(format!("the store cannot be read: {error}"));
            (Vec::new(), None)
        }
    };
    let down = sessions.iter().filter(|session| session.state != SessionState::Established.to_string());
    problems.extend(down.map(|session| {
        let why = if session.last_error.is_empty() { "no connection yet" } else { &session.last_error };
        format!("session with {} is {}: {why}", session.address, session.state)
    }));
    problems.extend(reported.iter().flat_map(|report| &report.conditions).flat_map(faults));
    let conditions = reported.iter().flat_map(|report| &report.conditions);
    let draining = conditions.filter(|found| matches!(found.kind.as_str(), "Draining" | "Drained"));
    let sentence = |found: &Condition| format!("{} ({}): {}", found.kind, found.reason, found.message);
    Ok(Status {
        draining: draining.map(sentence).collect(),
        free_addresses: blocks.iter().map(|block| block.free).sum(),
        dataplane: reported.as_ref().map(Dataplane::of),
        node,
        daemons,
        sessions,
        blocks,
        problems,
    })
}

/// What a condition says that is not as it should be, one sentence each.
fn faults(condition: &Condition) -> Vec<String> {
    if !NodeReport::is_fault(condition) {
        return Vec::new();
    }
    let Condition { kind, reason, .. } = condition;
    let head = if kind == reason { kind.clone() } else { format!("{kind} ({reason})") };
    condition.message.split('\n').map(|thing| format!("{head}: {thing}")).collect()
}

async fn bgpd(socket: &std::path::Path) -> (Daemon, Vec<Session>) {
    let ask = async {
        let mut client = bgpd_api::Client::connect(socket).await?;
        let status = client.status().await?;
        let mut sessions = Vec::new();
        let mut stream = client.list_peers(None).await?;
        while let Some(peer) = stream.next().await? {
            sessions.push(Session::of(&peer));
        }
        Ok::<_, bgpd_api::ClientError>((status, sessions))
    };
    let name = "bgpd";
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok((status, sessions))) => {
            let converging = status.families.iter().any(|family| !family.complete);
            let detail = match (&status.speaker, converging) {
                (None, _) => "no configuration yet".to_owned(),
                (Some(_), true) => format!("{}, still converging", status.version),
                (Some(_), false) => format!("{}, up {}", status.version, age(status.uptime)),
            };
            let ready = status.speaker.is_some() && !converging;
            (Daemon { name, up: true, ready, detail }, sessions)
        }
        Ok(Err(error)) => (Daemon { name, up: false, ready: false, detail: error.to_string() }, Vec::new()),
        Err(_) => {
            let detail = format!("no answer within {} s", PATIENCE.as_secs());
            (Daemon { name, up: false, ready: false, detail }, Vec::new())
        }
    }
}

fn felix(socket: &std::path::Path) -> Daemon {
    let name = "felix-lite";
    match felix_api::Client::new(socket).call(Ask::Status, None, PATIENCE) {
        Ok(Reply::Refused(refusal)) => Daemon { name, up: true, ready: false, detail: refusal.to_string() },
        Ok(_) => Daemon { name, up: true, ready: true, detail: "ready for pods".to_owned() },
        Err(error) => Daemon { name, up: false, ready: false, detail: error.to_string() },
    }
}

impl Session {
    fn of(peer: &Peer) -> Self {
        Self {
            address: peer.address,
            remote_as: peer.remote_as,
            state: if peer.enabled { peer.state.to_string() } else { "Disabled".to_owned() },
            for_seconds: peer.state_for.as_secs(),
            accepted: peer.families.iter().map(|family| family.accepted).sum(),
            sent: peer.families.iter().map(|family| family.sent).sum(),
            last_error: peer.last_error.clone(),
        }
    }
}

impl Block {
    fn of(block: &BlockUsage) -> Self {
        let (size, usage) = (block.cidr.size(), &block.usage);
        let free = size.saturating_sub(u128::from(usage.assigned) + u128::from(usage.resting));
        let pool = usage.name.clone();
        Self { cidr: block.cidr, pool, size, assigned: usage.assigned, resting: usage.resting, free }
    }
}

impl Dataplane {
    fn of(report: &NodeReport) -> Self {
        let in_sync = |condition: &&Condition| condition.kind == "DataplaneInSync";
        let found = report.conditions.iter().find(in_sync);
        Self {
            in_sync: found.is_some_and(|condition| condition.status == ConditionStatus::True),
            routes: report.installed_routes,
            attachments: report.attachments,
            wireguard_public_key: report.wireguard_public_key,
            reported: report.last_updated,
        }
    }
}

fn print(status: &Status, output: &mut Output) -> Result<(), Error> {
    output.line(format_args!("node {}", status.node))?;
    let mut table = Table::new(&["DAEMON", "STATE", "DETAIL"]);
    for daemon in &status.daemons {
        let state = match (daemon.up, daemon.ready) {
            (false, _) => "down",
            (true, false) => "up, not ready",
            (true, true) => "up",
        };
        table.row(vec![daemon.name.to_owned(), state.to_owned(), daemon.detail.clone()]);
    }
    table.print(output)?;
    output.line("")?;
    let mut table = Table::new(&["SESSION", "AS", "STATE", "FOR", "ACCEPTED", "SENT", "LAST ERROR"]);
    for session in &status.sessions {
        let since = age(Duration::from_secs(session.for_seconds));
        table.row(vec![
            session.address.to_string(),
            remote_as(session.remote_as),
            session.state.clone(),
            since,
            session.accepted.to_string(),
            session.sent.to_string(),
            if session.last_error.is_empty() { "-".to_owned() } else { session.last_error.clone() },
        ]);
    }
    table.print(output)?;
    output.line("")?;
    let mut table = Table::new(&["BLOCK", "POOL", "SIZE", "ASSIGNED", "RESTING", "FREE"]);
    for block in &status.blocks {
        let counts = [block.size, block.assigned.into(), block.resting.into(), block.free];
        let mut row = vec![block.cidr.to_string(), block.pool.clone()];
        row.extend(counts.map(|count| count.to_string()));
        table.row(row);
    }
    table.print(output)?;
    output.line("")?;
    match &status.dataplane {
        Some(dataplane) => output.line(format_args!(
            "dataplane: {}, {} routes, {} pods",
            if dataplane.in_sync { "in sync" } else { "not in sync" },
            dataplane.routes,
            dataplane.attachments
        ))?,
        None => output.line("dataplane: no report")?,
    }
    if let Some(key) = status.dataplane.as_ref().and_then(|dataplane| dataplane.wireguard_public_key) {
        output.line(format_args!("WireGuard public key: {key}"))?;
    }
    for sentence in &status.draining {
        output.line(sentence)?;
    }
    for problem in &status.problems {
        output.line(format_args!("! {problem}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn_datastore::StoreUrl;

    use super::*;

    fn condition(kind: &str, status: ConditionStatus) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status,
            reason: "R".to_owned(),
            message: "why".to_owned(),
            last_transition_time: cairn_api::Timestamp::from_unix(1),
            observed_generation: None,
        }
    }

    #[test]
    fn what_should_hold_and_what_should_not_are_told_apart() {
        let none: [&str; 0] = [];
        assert_eq!(faults(&condition("Ready", ConditionStatus::True)), none);
        assert_eq!(faults(&condition("Ready", ConditionStatus::False)), ["Ready (R): why"]);
        assert_eq!(faults(&condition("KernelRefused", ConditionStatus::True)), ["KernelRefused (R): why"]);
        assert_eq!(faults(&condition("KernelRefused", ConditionStatus::False)), none);
        assert_eq!(faults(&condition("Draining", ConditionStatus::True)), none);
        assert_eq!(faults(&condition("Drained", ConditionStatus::False)), none);
        let mut several = condition("R", ConditionStatus::True);
        several.message = "IPPool/a: why\nIPPool/b: why\nand 3 more".to_owned();
        assert_eq!(faults(&several), ["R: IPPool/a: why", "R: IPPool/b: why", "R: and 3 more"]);
    }

    #[tokio::test]
    async fn a_node_without_daemons_is_shown_with_what_is_missing() {
        let arguments = Arguments {
            node: ThisNode { name: Some("n1".to_owned()) },
            store: Store { url: StoreUrl::Directory("/nonexistent/store".into()) },
            bgpd_socket: "/nonexistent/bgpd.sock".into(),
            cni_socket: "/nonexistent/cni.sock".into(),
            command: Command::Status,
        };
        let status = gather(&arguments).await.unwrap();
        assert!(status.daemons.iter().all(|daemon| !daemon.up && !daemon.ready));
        assert_eq!(status.problems.len(), 3, "{:?}", status.problems);
        assert!(status.problems[2].contains("/nonexistent/store"), "{:?}", status.problems);
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!((json["node"].as_str(), json["freeAddresses"].as_u64()), (Some("n1"), Some(0)));
    }
}
