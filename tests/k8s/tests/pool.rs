//! Pools that get another range by the command line, in a real API server.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use cairn_api::kinds::{AffinityState, Allocation, AllocationState, BlockAffinity, IpPool, IpamBlock};
use cairn_api::{Metadata, Object, Timestamp, name};
use cairn_datastore::{Datastore, Key};
use serde_json::Value;

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes API server"]
async fn a_pool_grows_shrinks_and_moves_as_its_plan_says() -> Result<()> {
    let cluster = Cluster::start().await?;
    let directory = tempfile::tempdir()?;
    let plans = directory.path();
    let pool = Object::new(Metadata::named("p"), IpPool::of("10.1.0.0/16".parse()?));
    cluster.store.create(&pool).await?;

    planned(&cluster, &plans.join("grow"), &["p", "--cidr", "10.0.0.0/15"])?;
    ensure!(read(&cluster, "p").await?.cidr == pool.spec.cidr, "a plan changes nothing");
    applied(&cluster, &plans.join("grow"))?;
    ensure!(read(&cluster, "p").await?.cidr == "10.0.0.0/15".parse()?);
    applied(&cluster, &plans.join("grow")).context("once more does nothing")?;

    planned(&cluster, &plans.join("shrink"), &["p", "--cidr", "10.0.128.0/17"])?;
    applied(&cluster, &plans.join("shrink"))?;
    let small = read(&cluster, "p").await?;
    ensure!(small.cidr == "10.0.128.0/17".parse()? && !small.disabled, "{small:?}");

    block(&cluster, "10.0.128.0/26").await?;
    in_use(&cluster, plans).await?;
    moved(&cluster, plans).await
}

/// A pod's address is not left out of its pool.
async fn in_use(cluster: &Cluster, plans: &Path) -> Result<()> {
    let file = plans.join("refused");
    let refused = run(cluster, &["plan", "p", "--cidr", "10.0.192.0/18", "--save"], &file)?;
    let text = String::from_utf8_lossy(&refused.stdout);
    ensure!(!refused.status.success() && text.contains("10.0.128.1 is not in 10.0.192.0/18"), "{refused:?}");
    ensure!(!file.exists(), "there is no plan to apply");
    ensure!(read(cluster, "p").await?.cidr == "10.0.128.0/17".parse()?);
    Ok(())
}

async fn moved(cluster: &Cluster, plans: &Path) -> Result<()> {
    let file = plans.join("move");
    planned(cluster, &file, &["p", "--cidr", "10.9.0.0/16", "--block-size", "28", "--to", "q"])?;
    let waits = run(cluster, &["apply", "--wait", "0"], &file)?;
    let why = String::from_utf8_lossy(&waits.stderr).into_owned();
    ensure!(!waits.status.success() && why.contains("not all is given back yet"), "{waits:?}");
    ensure!(read(cluster, "p").await?.disabled && read(cluster, "q").await?.block_len() == 28);

    let key = Key::named(name::of_prefix("10.0.128.0/26".parse()?));
    cluster.store.delete::<IpamBlock>(&key, &Default::default()).await?;
    cluster.store.delete::<BlockAffinity>(&key, &Default::default()).await?;
    applied(cluster, &file)?;
    ensure!(read(cluster, "p").await.is_err(), "the old pool is deleted");
    ensure!(!read(cluster, "q").await?.disabled);
    Ok(())
}

/// A block with a pod's address.
async fn block(cluster: &Cluster, range: &str) -> Result<()> {
    let (pool, node) = ("p".to_owned(), "n1".to_owned());
    let cidr = IpPool::of(range.parse()?).cidr;
    let metadata = || Metadata::named(name::of_prefix(cidr));
    let state = AffinityState::Confirmed;
    let affinity = BlockAffinity { cidr, node: node.clone(), pool: pool.clone(), state };
    cluster.store.create(&Object::new(metadata(), affinity)).await?;
    let entry = Allocation {
        address: cidr.nth(1).context("a block has two addresses")?,
        node,
        state: AllocationState::Assigned,
        handle: "net.c.eth0".to_owned(),
        pod: "shop/web".to_owned(),
        since: Timestamp::from_unix(1),
    };
    cluster
        .store
        .create(&Object::new(metadata(), IpamBlock { cidr, pool, allocations: vec![entry] }))
        .await?;
    Ok(())
}

async fn read(cluster: &Cluster, pool: &str) -> Result<IpPool> {
    Ok(cluster.store.get::<IpPool>(&Key::named(pool)).await?.spec)
}

fn planned(cluster: &Cluster, file: &Path, arguments: &[&str]) -> Result<()> {
    let output = run(cluster, &[&["plan"], arguments, &["--save"]].concat(), file)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(plan["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{plan}");
    Ok(())
}

fn applied(cluster: &Cluster, file: &Path) -> Result<()> {
    let output = run(cluster, &["apply", "--wait", "0"], file)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn run(cluster: &Cluster, arguments: &[&str], file: &Path) -> Result<Output> {
    let programs = std::env::var("CAIRN_BIN").context("CAIRN_BIN, the directory of programs, is not set")?;
    let mut command = Command::new(Path::new(&programs).join("cairnctl"));
    command.args(["-o", "json", "pool"]).args(arguments).arg(file);
    command.arg("--store").arg(format!("kubeconfig:{}", cluster.server.kubeconfig().display()));
    command.args(["--bgpd-socket", "/nonexistent"]);
    command.output().context("cannot run cairnctl")
}
