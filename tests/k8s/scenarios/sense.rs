//! Objects that pass the schema and make no sense, in a cluster that works.

use anyhow::{Context, Result, ensure};
use cairn_api::GROUP_VERSION;
use serde_json::{Value, json};

use crate::told::{await_condition, await_event};
use crate::traffic::goes_on_while;
use crate::world::World;

/// Neither of these lengths is one of a block of IPv4.
const SIZES: [u8; 2] = [16, 33];
/// The pool that has one of them.
const UNFIT: &str = "wrong-size";

/// An object, and what is said of it.
struct Wrong {
    plural: &'static str,
    kind: &'static str,
    name: &'static str,
    spec: Value,
    /// Type and reason of its condition.
    told: (&'static str, &'static str),
}

impl Wrong {
    fn path(&self) -> String {
        format!("{}/{}", self.plural, self.name)
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": GROUP_VERSION, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn wrong(world: &World) -> Result<Vec<Wrong>> {
    let own = world.cluster.addresses("node1")?;
    let own = own.first().context("the node has an address")?.to_string();
    let pool = |name, spec, told| Wrong { plural: "ippools", kind: "IPPool", name, spec, told };
    let peer = |name, spec, told| Wrong { plural: "bgppeers", kind: "BGPPeer", name, spec, told };
    Ok(vec![
        // A part of the pool that pods have addresses of, and behind that by name: so it is this one that gives none.
        pool("wrong-overlap", json!({ "cidr": "10.244.128.0/17" }), ("Allocatable", "CIDROverlap")),
        pool(
            "wrong-selector",
            json!({ "cidr": "10.248.0.0/16", "nodeSelector": "rack = 'a'" }),
            ("Accepted", "Invalid"),
        ),
        peer(
            "wrong-itself",
            json!({ "node": "node1", "peerIP": own, "asNumber": 64512 }),
            ("Accepted", "OwnAddress"),
        ),
        peer(
            "wrong-filter",
            json!({ "peerIP": "10.1.0.99", "asNumber": 65099, "filters": ["nobody-wrote-it"] }),
            ("Accepted", "FilterMissing"),
        ),
    ])
}

/// What shows whether anything is different.
struct State {
    /// Cairn's routes of all nodes.
    routes: Vec<String>,
    /// What nodes report of objects and of each other.
    problems: Vec<String>,
}

impl State {
    fn read(world: &World) -> Result<Self> {
        let mut routes = Vec::new();
        for node in world.cluster.nodes() {
            for family in ["-4", "-6"] {
                let list =
                    world.cluster.lab().exec(node, &["ip", family, "route", "show", "proto", "202"])?;
                routes.extend(list.stdout.lines().map(|route| format!("{node}: {}", route.trim())));
            }
        }
        ensure!(!routes.is_empty(), "no node has a route of Cairn's");
        routes.sort();
        let reports = world.cluster.json(&["get", "nodestatuses"])?;
        let reports = reports["items"].as_array().context("a list of reports")?;
        let conditions =
            reports.iter().filter_map(|report| report["status"]["conditions"].as_array()).flatten();
        // Of a condition that says how something is, the reason is another word than the type.
        let problems = conditions.filter(|condition| condition["type"] == condition["reason"]);
        let problems = problems.map(|condition| condition["message"].to_string()).collect();
        Ok(Self { routes, problems })
    }
}

/// What the server's own rules see is not let in, whatever else is applied.
fn refused(world: &World) -> Result<()> {
    for size in SIZES {
        let pool = object("IPPool", UNFIT, &json!({ "cidr": "10.249.0.0/16", "blockSize": size }));
        let refusal = world.cluster.apply(&pool.to_string()).err();
        let refusal = format!("{:#}", refusal.with_context(|| format!("blockSize {size} is let in"))?);
        ensure!(refusal.contains("blockSize"), "blockSize {size}: {refusal}");
    }
    Ok(())
}

fn told(world: &World, wrong: &[Wrong]) -> Result<()> {
    refused(world)?;
    let items: Vec<Value> = wrong.iter().map(|wrong| object(wrong.kind, wrong.name, &wrong.spec)).collect();
    world.cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())?;
    for wrong in wrong {
        let (kind, reason) = wrong.told;
        await_condition(world, &wrong.path(), kind, reason)?;
        await_event(world, &wrong.path(), reason)?;
    }
    world.new_pods_work()
}

fn remove(world: &World, wrong: &[Wrong]) -> Result<()> {
    let unfit = format!("ippools/{UNFIT}");
    let paths: Vec<String> = wrong.iter().map(Wrong::path).chain([unfit]).collect();
    let mut words = vec!["delete", "--ignore-not-found"];
    words.extend(paths.iter().map(String::as_str));
    world.cluster.kubectl(&words).map(drop)
}

/// A condition and an event say what is wrong with each, established flows lose nothing, pods start and are reached; without these objects all is as
/// it was before.
pub(crate) fn what_makes_no_sense_is_told_and_costs_flows_nothing(world: &World) -> Result<()> {
    let [one, two, three] = world.a_pod_on_each()?;
    let (before, wrong) = (State::read(world)?, wrong(world)?);
    goes_on_while(world, &[(&one, &three), (&two, &one)], || {
        let told = told(world, &wrong);
        let removed = remove(world, &wrong);
        told.and(removed)?;
        world.cluster.await_that("all is as it was", || {
            let now = State::read(world)?;
            ensure!(now.routes == before.routes, "routes: {:?}, before: {:?}", now.routes, before.routes);
            let mut news = now.problems.iter().filter(|problem| !before.problems.contains(problem));
            ensure!(news.next().is_none(), "{:?}, before: {:?}", now.problems, before.problems);
            Ok(())
        })
    })
}
