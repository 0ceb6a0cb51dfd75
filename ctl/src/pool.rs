//! `cairnctl pool`: another range or other blocks for a pool, planned first and then done.
//!
//! * [`cairn_ipam::resize`]: what is to be done, and each step of it.
//! * [`show`]: a plan for people.
//! * [`apply`]: the steps of a plan, one after the other.

mod apply;
mod show;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bgpd_api::Client;
use bgpd_api::client::{PrefixScope, RouteQuery};
use bgpd_api::route::{RouteSource, Table as Rib};
use cairn_datastore::Datastore;
use cairn_ipam::resize::{Change, Plan, Seen, Wish, plan};
use cairn_net::Prefix;
use clap::{Args, Subcommand};

use crate::Error;
use crate::output::{Format, Output};
use crate::place::Store;

/// How long bgpd may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most learned prefixes inside a range that are read: one is enough to object.
const LEARNED: usize = 16;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: Store,
    /// bgpd's Unix socket, to ask what peers announce; without a bgpd there that is not looked at.
    #[arg(long, value_name = "PATH", env = "BGPD_SOCKET", global = true, default_value = bgpd_api::DEFAULT_SOCKET)]
    bgpd_socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What it takes to give a pool another range or other blocks, what speaks against it, and who has addresses that it loses. Changes nothing;
    /// fails if something speaks against it. See docs/guide/pools.md.
    Plan {
        /// The pool.
        pool: String,
        /// Its range afterwards: around the present one, inside of it, or apart from it [default: as it is].
        #[arg(long, value_name = "PREFIX")]
        cidr: Option<Prefix>,
        /// Prefix length of its blocks afterwards; another one needs a range apart [default: as it is].
        #[arg(long, value_name = "LENGTH")]
        block_size: Option<u8>,
        /// With a range apart: the name of the pool that takes its place.
        #[arg(long, value_name = "POOL")]
        to: Option<String>,
        /// Where to write the plan, for `apply`: a new file.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
    /// Does what a plan says that was saved, and nothing else. May be interrupted, and done again with the same file.
    Apply {
        /// The file.
        plan: PathBuf,
        /// How long to wait for pods and nodes to give addresses back. Unit: seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        wait: u64,
    },
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let store = arguments.store.open().await?;
    let mut output = Output::new(format);
    match arguments.command {
        Command::Plan { pool, cidr, block_size, to, save } => {
            let wish = Wish { pool, cidr, block_size, to };
            let mut seen = Seen::read(&store).await?;
            let change = Change::of(&wish, &seen.pools).map_err(Error::Answer)?;
            seen.learned = learned(&arguments.bgpd_socket, &change).await;
            let plan = plan(&change, &seen, SystemTime::now().into());
            show::plan(&plan, &mut output)?;
            refuse(&plan)?;
            save.map_or(Ok(()), |path| write(&path, &plan))
        }
        Command::Apply { plan, wait } => {
            let shown = read(&plan)?;
            let look = async || look(&store, &arguments.bgpd_socket, &shown.change).await;
            apply::all(&store, &shown, look, Duration::from_secs(wait), &mut output).await
        }
    }
}

/// What is still to be done.
async fn look(store: &impl Datastore, socket: &Path, change: &Change) -> Result<Plan, Error> {
    let mut seen = Seen::read(store).await?;
    seen.learned = learned(socket, change).await;
    Ok(plan(change, &seen, SystemTime::now().into()))
}

/// Prefixes inside of what the pool gains that peers announce to this node; `None` if there is no bgpd to be asked.
async fn learned(socket: &Path, change: &Change) -> Option<Vec<Prefix>> {
    let range = change.to();
    // Of its present range the cluster's own blocks are learned, any number of them.
    let counts = |prefix: Prefix| change.gains(prefix) && !prefix.covers(range);
    let ask = async {
        let mut client = Client::connect(socket).await?;
        let query = RouteQuery {
            table: Rib::AllPaths,
            family: None,
            prefix: Some(range),
            scope: PrefixScope::Longer,
            from: None,
            communities: Vec::new(),
            as_path: None,
            best_only: false,
        };
        let mut stream = client.list_routes(query).await?;
        let mut found = Vec::new();
        while found.len() < LEARNED
            && let Some(page) = stream.next().await?
        {
            let from_peer = |path: &bgpd_api::route::Path| matches!(path.source, RouteSource::Peer(_));
            let routes =
                page.0.into_iter().filter(|route| counts(route.prefix) && route.paths.iter().any(from_peer));
            found.extend(routes.map(|route| route.prefix));
        }
        Ok::<_, bgpd_api::ClientError>(found)
    };
    tokio::time::timeout(PATIENCE, ask).await.ok()?.ok()
}

fn refuse(plan: &Plan) -> Result<(), Error> {
    match plan.objections.len() {
        0 => Ok(()),
        count => Err(Error::Answer(format!("objections: {count}; nothing is done"))),
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.display().to_string(), source }
}

/// A plan that was shown is not replaced by another.
fn write(path: &Path, plan: &Plan) -> Result<(), Error> {
    let file = std::fs::File::create_new(path).map_err(|source| failed(path, source))?;
    serde_json::to_writer_pretty(&file, plan)?;
    file.sync_all().map_err(|source| failed(path, source))
}

fn read(path: &Path) -> Result<Plan, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| failed(path, source))?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| Error::Answer(format!("{}: {}: {}", path.display(), error.path(), error.inner())))
}
