//! Objects that were Calico's, in a real API server.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cairn_api::core::{Namespace, Node};
use cairn_api::kinds::{BgpFilter, BgpPeer, IpPool, IpReservation, IpamConfiguration, NodeConfiguration};
use cairn_api::{Metadata, Object, load};
use cairn_datastore::{Datastore, Key, Query};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The dump that the translation is tested with: each kind, and what is refused.
const DUMP: &str = "../../ctl/tests/calico/crd.yaml";
/// How a line begins that is no object.
const FINDING: &str = r#"{"finding":"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn what_is_made_of_calicos_objects_is_accepted_once_and_again() -> Result<()> {
    let cluster = Cluster::start().await?;
    for node in ["n1", "n2"] {
        let taints = json!([{ "key": "k", "effect": "NoSchedule" }]);
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node }, "spec": { "taints": taints } });
        cluster.send(Method::POST, "/api/v1/nodes", &node).await?;
    }
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    cluster.send(Method::POST, "/api/v1/namespaces", &namespace).await?;

    let refused = migrate(&cluster, &["--apply"])?;
    ensure!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    ensure!(
        cluster.store.list::<IpPool>(&Query::all()).await?.objects.is_empty(),
        "nothing is written in part"
    );

    let first = applied(&migrate(&cluster, &["--apply", "--skip-refused"])?)?;
    ensure!(first.iter().all(|(_, done)| done == "created" || done == "updated"), "{first:?}");
    everything_is_there(&cluster).await?;
    let second = applied(&migrate(&cluster, &["--apply", "--skip-refused"])?)?;
    ensure!(second.len() == first.len() && second.iter().all(|(_, done)| done == "unchanged"), "{second:?}");

    what_others_made_stays(&cluster).await?;
    no_pool_without_the_reservation(&cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn calicos_objects_are_read_from_the_api_server_as_from_a_dump() -> Result<()> {
    let cluster = Cluster::start().await?;
    let from = format!("kubeconfig:{}", cluster.server.kubeconfig().display());
    let no_calico = run(&cluster, &["--from", &from])?;
    let said = String::from_utf8_lossy(&no_calico.stderr);
    ensure!(!no_calico.status.success() && said.contains("is Calico in this cluster?"), "{said}");

    store_the_dump(&cluster).await?;
    let read = run(&cluster, &["--from", &from])?;
    let objects = |output: &Output| -> BTreeSet<String> {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| !line.starts_with(FINDING)).map(str::to_owned).collect()
    };
    let (found, wanted) = (objects(&read), objects(&run(&cluster, &[&dump()])?));
    ensure!(found == wanted && found.len() > 10, "{found:#?} instead of {wanted:#?}");
    let findings = String::from_utf8_lossy(&read.stdout);
    ensure!(findings.contains(r#""networkpolicies.crd.projectcalico.org""#), "what is not there: {findings}");

    // More than one page of blocks, and more than one reservation.
    for number in 0..600 {
        let cidr = format!("10.{}.{}.0/26", number / 128, number % 128 * 2);
        let block = json!({
            "apiVersion": "crd.projectcalico.org/v1",
            "kind": "IPAMBlock",
            "metadata": { "name": format!("b{number}") },
            "spec": { "cidr": cidr },
        });
        cluster.send(Method::POST, &path_of("IPAMBlock"), &block).await?;
    }
    applied(&without_findings(run(&cluster, &["--from", &from, "--apply", "--skip-refused"])?))?;
    let mut counts = Vec::new();
    for name in ["calico-blocks", "calico-blocks-2"] {
        let held: Object<IpReservation> = cluster.store.get(&Key::named(name)).await?;
        counts.push(held.spec.reserved_cidrs.len());
    }
    assert_eq!(counts, [512, 90], "600, and the two of the dump");
    Ok(())
}

/// The path of one of Calico's kinds, as a cluster stores them.
fn path_of(kind: &str) -> String {
    format!("/apis/crd.projectcalico.org/v1/{}", plural_of(kind))
}

fn plural_of(kind: &str) -> String {
    let kind = kind.to_lowercase();
    kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"))
}

/// Makes Calico's kinds and its objects, and the Nodes and Namespaces, of the dump.
async fn store_the_dump(cluster: &Cluster) -> Result<()> {
    let dump: Value = load::value("dump", &std::fs::read_to_string(dump())?)?;
    let mut kinds = BTreeSet::new();
    for object in dump["items"].as_array().context("items")? {
        let (version, kind) = (&object["apiVersion"], object["kind"].as_str().context("a kind")?);
        let path = match version.as_str() {
            Some("crd.projectcalico.org/v1") => {
                if kinds.insert(kind) {
                    define(cluster, kind).await?;
                }
                path_of(kind)
            }
            Some("v1") if matches!(kind, "Node" | "Namespace") => format!("/api/v1/{}", plural_of(kind)),
            _ => continue,
        };
        let mut object = object.clone();
        // What a server gives.
        for field in ["resourceVersion", "uid", "generation", "creationTimestamp"] {
            object["metadata"].as_object_mut().context("metadata")?.remove(field);
        }
        cluster.send(Method::POST, &path, &object).await.with_context(|| object.to_string())?;
    }
    ensure!(kinds.len() >= 10, "{kinds:?}");
    Ok(())
}

/// One of Calico's kinds, with whatever fields.
async fn define(cluster: &Cluster, kind: &str) -> Result<()> {
    let plural = plural_of(kind);
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.crd.projectcalico.org") },
        "spec": {
            "group": "crd.projectcalico.org",
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": kind.to_lowercase(),
            },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
        },
    });
    cluster.send(Method::POST, crate::cluster::DEFINITIONS, &definition).await?;
    let started = Instant::now();
    while let Err(error) = cluster.send(Method::GET, &path_of(kind), &Value::Null).await {
        ensure!(started.elapsed() < Duration::from_secs(60), "{kind} is not served: {error:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn dump() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(DUMP).display().to_string()
}

/// Translates the dump.
fn migrate(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let dump = dump();
    Ok(without_findings(run(cluster, &[arguments, &[dump.as_str()]].concat())?))
}

fn run(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let programs = std::env::var("CAIRN_BIN").context("CAIRN_BIN, the directory of programs, is not set")?;
    let mut command = Command::new(Path::new(&programs).join("cairnctl"));
    command.args(["-o", "json", "migrate", "calico"]).args(arguments);
    command.arg("--store").arg(format!("kubeconfig:{}", cluster.server.kubeconfig().display()));
    command.output().context("cannot run cairnctl")
}

/// What is said of the dump is tested where it is translated.
fn without_findings(mut output: Output) -> Output {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with(FINDING));
    output.stdout = lines.flat_map(|line| [line, "\n"]).collect::<String>().into_bytes();
    output
}

/// Each object, and what was done to it.
fn applied(output: &Output) -> Result<Vec<(String, String)>> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout)?;
    let found = text.lines().map(|line| {
        let value: Value = serde_json::from_str(line)?;
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let (kind, name) = text("kind").zip(text("name")).with_context(|| line.to_owned())?;
        Ok((format!("{kind} {name}"), text("done").with_context(|| line.to_owned())?))
    });
    found.collect()
}

async fn everything_is_there(cluster: &Cluster) -> Result<()> {
    let store = &cluster.store;
    let names = |objects: Vec<String>| objects.join(" ");
    let pools = store.list::<IpPool>(&Query::all()).await?.objects;
    assert_eq!(names(pools.iter().map(Object::full_name).collect()), "default-ipv4-ippool rack-b");
    let peers = store.list::<BgpPeer>(&Query::all()).await?.objects;
    assert_eq!(names(peers.iter().map(Object::full_name).collect()), "reflectors tor");
    store.get::<BgpFilter>(&Key::named("to-tor")).await?;
    store.get::<NodeConfiguration>(&Key::named("node.n1")).await?;
    let ipam: Object<IpamConfiguration> = store.get(&Key::named("default")).await?;
    assert!(ipam.spec.strict_affinity && ipam.spec.auto_allocate_blocks);
    let held: Object<IpReservation> = store.get(&Key::named("calico-blocks")).await?;
    assert_eq!(held.spec.reserved_cidrs, ["10.244.1.0/25".parse()?, "10.244.9.0/26".parse()?]);

    let node: Object<Node> = store.get(&Key::named("n1")).await?;
    let (identity, _) = node.claims()?.identity(&[]);
    assert_eq!(identity.asn.map(|asn| asn.0), Some(64601));
    let whole = cluster.send(Method::GET, "/api/v1/nodes/n1", &Value::Null).await?;
    assert_eq!(whole["spec"]["taints"][0]["key"], "k", "the rest of a Node stays");
    let namespace: Object<Namespace> = store.get(&Key::named("shop")).await?;
    assert_eq!(namespace.metadata.annotations["cairn.network/ipv4-pools"], r#"["default-ipv4-ippool"]"#);
    Ok(())
}

async fn what_others_made_stays(cluster: &Cluster) -> Result<()> {
    let store = &cluster.store;
    let mut held: Object<IpReservation> = store.get(&Key::named("calico-blocks")).await?;
    held.spec.reserved_cidrs.clear();
    store.update(&held).await?;
    let mine: Object<IpReservation> = store.get(&Key::named("printers")).await?;
    store.delete::<IpReservation>(&Key::named("printers"), &Default::default()).await?;
    let spec = IpReservation { reserved_cidrs: vec!["198.51.100.0/24".parse()?] };
    store.create(&Object::new(Metadata::named("printers"), spec.clone())).await?;

    let output = migrate(cluster, &["--apply", "--skip-refused"])?;
    ensure!(!output.status.success(), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("say something else: 1"), "{output:?}");
    let held: Object<IpReservation> = store.get(&Key::named("calico-blocks")).await?;
    assert_eq!(held.spec.reserved_cidrs.len(), 2, "what was made here is brought up to date");
    let printers: Object<IpReservation> = store.get(&Key::named("printers")).await?;
    assert!(printers.spec == spec && printers.spec != mine.spec);
    Ok(())
}

/// Somebody else's `calico-blocks` is left as it is, and then no pool is written.
async fn no_pool_without_the_reservation(cluster: &Cluster) -> Result<()> {
    let store = &cluster.store;
    for pool in store.list::<IpPool>(&Query::all()).await?.objects {
        store.delete::<IpPool>(&Key::named(pool.name()), &Default::default()).await?;
    }
    store.delete::<IpReservation>(&Key::named("calico-blocks"), &Default::default()).await?;
    let spec = IpReservation { reserved_cidrs: vec!["198.51.100.0/24".parse()?] };
    store.create(&Object::new(Metadata::named("calico-blocks"), spec)).await?;

    let output = migrate(cluster, &["--apply", "--skip-refused"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("IPReservation calico-blocks is there already"),
        "{said}"
    );
    ensure!(store.list::<IpPool>(&Query::all()).await?.objects.is_empty(), "pools without the reservation");
    Ok(())
}
