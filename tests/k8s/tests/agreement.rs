//! The API server and the daemons are of one opinion on what an object is.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, BlockSource, EgressGateway, EgressMembers, IpPool,
    IpReservation, IpamBlock, IpamConfiguration, NodeConfiguration, WireguardPeer,
};
use cairn_api::load::{self, Document};
use cairn_api::{GROUP_VERSION, Kind, Object};
use cairn_datastore::{Datastore, Key, Precondition};
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Kind, name, spec, and whether it is right; `fill` puts so many entries into a list of the spec.
const CASES: &str = include_str!("agreement.yaml");

/// Does something with the kind of a name.
macro_rules! of_kind {
    ($kind:expr, $do:ident ( $($argument:expr),* )) => {
        match $kind {
            "BGPConfiguration" => $do::<BgpConfiguration>($($argument),*).await,
            "BGPFilter" => $do::<BgpFilter>($($argument),*).await,
            "BGPPeer" => $do::<BgpPeer>($($argument),*).await,
            "BlockAffinity" => $do::<BlockAffinity>($($argument),*).await,
            "EgressGateway" => $do::<EgressGateway>($($argument),*).await,
            "EgressMembers" => $do::<EgressMembers>($($argument),*).await,
            "IPPool" => $do::<IpPool>($($argument),*).await,
            "IPReservation" => $do::<IpReservation>($($argument),*).await,
            "IPAMBlock" => $do::<IpamBlock>($($argument),*).await,
            "IPAMConfiguration" => $do::<IpamConfiguration>($($argument),*).await,
            "NodeConfiguration" => $do::<NodeConfiguration>($($argument),*).await,
            "WireguardPeer" => $do::<WireguardPeer>($($argument),*).await,
            other => anyhow::bail!("no such kind: {other}"),
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn the_server_takes_what_cairn_takes_and_refuses_what_it_refuses() -> Result<()> {
    let cluster = Cluster::start().await?;
    the_guides_objects_survive_a_round_trip(&cluster).await?;
    what_is_right_and_wrong_is_so_for_both(&cluster).await?;
    defaults_are_filled_in_and_unknown_fields_refused(&cluster).await?;
    what_never_changes_cannot_be_changed(&cluster).await
}

async fn the_guides_objects_survive_a_round_trip(cluster: &Cluster) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/objects.yaml");
    let text = std::fs::read_to_string(path)?;
    let mut seen = 0;
    for document in load::documents("objects.yaml", &text)? {
        let meta = document.type_meta()?;
        if meta.api_version == GROUP_VERSION {
            of_kind!(meta.kind.as_str(), round_trip(cluster, &document))?;
            seen += 1;
        }
    }
    ensure!(seen >= 9, "only {seen} of Cairn's objects in the guide");
    Ok(())
}

async fn round_trip<K: Kind>(cluster: &Cluster, document: &Document<'_>) -> Result<()> {
    let object: Object<K> = document.object()?;
    let created = cluster.store.create(&object).await?;
    assert_eq!(created.spec, object.spec, "{} {}", K::KIND, object.name());
    let key = Key::from(&object.metadata);
    assert_eq!(cluster.store.get::<K>(&key).await?, created);
    cluster.store.delete::<K>(&key, &Precondition::unchanged(&created.metadata)).await?;
    Ok(())
}

async fn what_is_right_and_wrong_is_so_for_both(cluster: &Cluster) -> Result<()> {
    let cases: Vec<Value> = load::value("agreement.yaml", CASES)?;
    let mut disputed = Vec::new();
    for case in &cases {
        let kind = case["kind"].as_str().context("a kind")?;
        let said = of_kind!(kind, judged(cluster, case))?;
        let right = case["right"].as_bool().context("right or wrong")?;
        if said.iter().any(|(_, takes, _)| *takes != right) {
            disputed.push(format!("{case}\n  {said:?}"));
        }
    }
    ensure!(cases.len() >= 60, "only {} cases", cases.len());
    ensure!(
        disputed.is_empty(),
        "{} of {} are disputed:\n{}",
        disputed.len(),
        cases.len(),
        disputed.join("\n")
    );
    Ok(())
}

/// Who takes an object, and what is said of it.
async fn judged<K: Kind>(cluster: &Cluster, case: &Value) -> Result<[(&'static str, bool, String); 2]> {
    let name = case["name"].as_str().unwrap_or("case");
    let manifest = json!({
        "apiVersion": K::API_VERSION,
        "kind": K::KIND,
        "metadata": { "name": name },
        "spec": filled(case)?,
    });
    let ours = match serde_json::from_value::<Object<K>>(manifest.clone()) {
        Ok(object) => object.validate().map_err(|faults| faults.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let path = format!("/apis/{}/{}", K::API_VERSION, K::PLURAL);
    // A trial: nothing is kept.
    let trial = format!("{path}?dryRun=All&fieldValidation=Strict");
    let theirs =
        cluster.send(Method::POST, &trial, &manifest).await.map(drop).map_err(|error| format!("{error:#}"));
    let said = |result: &Result<(), String>| result.as_ref().err().cloned().unwrap_or_default();
    Ok([("cairn", ours.is_ok(), said(&ours)), ("server", theirs.is_ok(), said(&theirs))])
}

/// The spec of a case. `fill` says where (`at`, a JSON pointer), with what (`with`, in which `#` becomes the entry's number) and how often (`times`).
fn filled(case: &Value) -> Result<Value> {
    let mut spec = case["spec"].clone();
    let fill = &case["fill"];
    if !fill.is_null() {
        let at = fill["at"].as_str().context("fill.at")?;
        let times = fill["times"].as_u64().context("fill.times")?;
        let with = fill["with"].to_string();
        let entries: Vec<Value> = (0..times)
            .map(|number| serde_json::from_str(&with.replace('#', &number.to_string())))
            .collect::<Result<_, _>>()?;
        *spec.pointer_mut(at).with_context(|| format!("no {at} in the spec"))? = Value::Array(entries);
    }
    Ok(spec)
}

async fn defaults_are_filled_in_and_unknown_fields_refused(cluster: &Cluster) -> Result<()> {
    let path = format!("/apis/{GROUP_VERSION}/bgpconfigurations");
    let bare =
        json!({ "apiVersion": GROUP_VERSION, "kind": "BGPConfiguration", "metadata": { "name": "default" } });
    let made = cluster.send(Method::POST, &path, &bare).await?;
    assert_eq!((&made["spec"]["asNumber"], &made["spec"]["listenPort"]), (&json!(64512), &json!(179)));
    let read: Object<BgpConfiguration> = cluster.store.get(&Key::named("default")).await?;
    assert_eq!(read.spec, BgpConfiguration::default());

    let mut odd = json!({ "apiVersion": GROUP_VERSION, "kind": "IPPool", "metadata": { "name": "odd" } });
    odd["spec"] = json!({ "cidr": "10.1.0.0/16", "blocksize": 26 });
    let path = format!("/apis/{GROUP_VERSION}/ippools");
    let refused = cluster.send(Method::POST, &format!("{path}?fieldValidation=Strict"), &odd).await;
    ensure!(refused.as_ref().is_err_and(|error| error.to_string().contains("blocksize")), "{refused:?}");
    Ok(())
}

async fn what_never_changes_cannot_be_changed(cluster: &Cluster) -> Result<()> {
    let pool = Object::new(cairn_api::Metadata::named("fixed"), IpPool::of("10.1.0.0/16".parse()?));
    let made = cluster.store.create(&pool).await?;
    for change in [
        |pool: &mut IpPool| pool.cidr = "10.2.0.0/16".parse().expect("a prefix"),
        |pool: &mut IpPool| pool.cidr = "fd00::/8".parse().expect("a prefix"),
        |pool: &mut IpPool| pool.cidr = "10.1.0.0/17".parse().expect("a prefix"),
        |pool: &mut IpPool| pool.block_size = Some(27),
        |pool: &mut IpPool| pool.block_source = BlockSource::PodCidr,
    ] {
        let mut changed = made.clone();
        change(&mut changed.spec);
        let refused = cluster.store.update(&changed).await.unwrap_err();
        ensure!(refused.to_string().contains("never changes"), "{refused}");
    }
    // A range may grow, and shrink while nothing is taken from it.
    let mut pool = made;
    let changes: [fn(&mut IpPool); 5] = [
        |pool| pool.cidr = "10.0.0.0/15".parse().expect("a prefix"),
        |pool| pool.disabled = true,
        |pool| pool.cidr = "10.1.128.0/17".parse().expect("a prefix"),
        |pool| (pool.cidr, pool.disabled) = ("10.1.192.0/18".parse().expect("a prefix"), false),
        |pool| pool.cidr = "10.0.0.0/8".parse().expect("a prefix"),
    ];
    for change in changes {
        change(&mut pool.spec);
        pool = cluster.store.update(&pool).await?;
    }
    pool.spec.disabled = true;
    let mut apart = cluster.store.update(&pool).await?;
    apart.spec.cidr = "11.0.0.0/9".parse()?;
    let refused = cluster.store.update(&apart).await.unwrap_err();
    ensure!(refused.to_string().contains("never changes"), "{refused}");
    Ok(())
}
