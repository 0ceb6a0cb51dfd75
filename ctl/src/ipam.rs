//! `cairnctl ipam`: addresses in a store: what is used, by whom, and whether it is consistent.

use std::time::SystemTime;

use cairn_api::Kind;
use cairn_api::core::Node;
use cairn_api::kinds::IpamConfiguration;
use cairn_datastore::{Datastore, Query, StoreError};
use cairn_ipam::check::{Holdings, Report, Usage, report};
use clap::{Args, Subcommand};

use crate::Error;
use crate::output::{Format, Output};
use crate::place::Store;
use crate::table::Table;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: Store,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Use of pools and nodes, one line each.
    Show {
        /// Blocks too.
        #[arg(long)]
        blocks: bool,
    },
    /// What should not be; fails if there is something.
    Check,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let holdings = read(&arguments.store.open().await?).await?;
    let found = report(&holdings, SystemTime::now().into());
    let mut output = Output::new(format);
    match arguments.command {
        Command::Show { blocks } => show(&found, blocks, &mut output),
        Command::Check => check(&found, &mut output),
    }
}

pub(crate) async fn read(store: &impl Datastore) -> Result<Holdings, StoreError> {
    let ipam = all::<IpamConfiguration>(store).await?;
    let nodes = all::<Node>(store).await?;
    // The order matters: an affinity is made before its block and goes after it.
    let blocks = all(store).await?;
    Ok(Holdings {
        pools: all(store).await?,
        blocks,
        affinities: all(store).await?,
        ipam: ipam
            .into_iter()
            .find(|object| object.name() == "default")
            .map(|object| object.spec)
            .unwrap_or_default(),
        nodes: nodes.into_iter().map(|node| node.metadata.name).collect(),
    })
}

async fn all<K: Kind>(store: &impl Datastore) -> Result<Vec<cairn_api::Object<K>>, StoreError> {
    store.list(&Query::all()).await.map(|list| list.objects)
}

fn show(found: &Report, blocks: bool, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.json(found);
    }
    usage("POOL", &found.pools).print(output)?;
    output.line("")?;
    usage("NODE", &found.nodes).print(output)?;
    if blocks {
        output.line("")?;
        let mut table =
            Table::new(&["BLOCK", "POOL", "NODE", "STATE", "ASSIGNED", "READY", "RESTING", "BORROWED"]);
        for block in &found.blocks {
            let state = block.state.map_or_else(|| "-".to_owned(), |state| format!("{state:?}"));
            let node = if block.node.is_empty() { "-" } else { &block.node };
            let mut row = vec![block.cidr.to_string(), block.usage.name.clone(), node.to_owned(), state];
            row.extend(counts(&block.usage));
            table.row(row);
        }
        table.print(output)?;
    }
    Ok(())
}

fn usage(heading: &str, usages: &[Usage]) -> Table {
    let mut table =
        Table::new(&[heading, "SIZE", "BLOCKS", "ASSIGNED", "READY", "RESTING", "BORROWED", "USE"]);
    for usage in usages {
        let (size, share) = match usage.size {
            0 => ("-".to_owned(), "-".to_owned()),
            u64::MAX => ("2^64 or more".to_owned(), "0%".to_owned()),
            size => (size.to_string(), format!("{}%", u128::from(usage.assigned) * 100 / u128::from(size))),
        };
        let mut row = vec![usage.name.clone(), size, usage.blocks.to_string()];
        row.extend(counts(usage));
        row.push(share);
        table.row(row);
    }
    table
}

fn counts(usage: &Usage) -> [String; 4] {
    [usage.assigned, usage.reserved, usage.resting, usage.borrowed].map(|count| count.to_string())
}

fn check(found: &Report, output: &mut Output) -> Result<(), Error> {
    for problem in &found.problems {
        if output.is_json() {
            output.json(problem)?;
        } else {
            output.line(format_args!("{}: {}", problem.object, problem.what))?;
        }
    }
    match found.problems.len() {
        0 if output.is_json() => Ok(()),
        0 => output.line(format_args!("{} blocks: no inconsistency", found.blocks.len())),
        count => Err(Error::Answer(format!("{count} inconsistencies"))),
    }
}
