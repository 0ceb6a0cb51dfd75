//! `cairnctl doctor`: what is wrong with the network around this node. One room for each question:
//!
//! * [`mtu`]: does the path to each node carry what pods send?
//! * [`pods`]: do the pods of each node answer, and if not, what of their packets does the network between the nodes drop?
//!
//! Run on a node, as root: all of it is found out by echo requests.

mod mtu;
mod pods;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use cairn_api::Object;
use cairn_api::core::Node;
use cairn_api::kinds::NodeConfiguration;
use cairn_datastore::{Datastore, Query};
use cairn_kernel::Rtnl;
use cairn_kernel::echo::{Answer, Echo};
use cairn_kernel::object::Link;
use cairn_net::Family;
use clap::{Args, Subcommand};
use felix_api::MARK;

use crate::Error;
use crate::output::{Format, Output};
use crate::place::{Store, ThisNode};

/// Requests that may get lost before nobody counts as there.
const TRIES: u32 = 3;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    node: ThisNode,
    #[command(flatten)]
    store: Store,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How large packets may be to each node; fails if a path carries less than pods send.
    Mtu(Patience),
    /// Whether pods of each node answer; fails if a network between nodes drops their packets, and says which.
    Pods(Patience),
}

#[derive(Args)]
struct Patience {
    /// How long an answer may take, in milliseconds.
    #[arg(long, default_value_t = 500)]
    patience: u64,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let store = arguments.store.open().await?;
    let own = arguments.node.name()?;
    let nodes = store.list::<Node>(&Query::all()).await?.objects;
    let configurations = store.list::<NodeConfiguration>(&Query::all()).await?.objects;
    let others = nodes.iter().filter(|node| node.name() != own);
    let others: Vec<Other> = others.map(|node| Other::of(node, &configurations)).collect();
    let output = &mut Output::new(format);
    let mut rtnl = Rtnl::open()?;
    let links: Vec<Link> = rtnl.list(None)?;
    match arguments.command {
        Command::Mtu(Patience { patience }) => {
            let patience = Duration::from_millis(patience);
            mtu::show(&mtu::look(&mut rtnl, &links, &others, patience)?, output)
        }
        Command::Pods(Patience { patience }) => {
            let patience = Duration::from_millis(patience);
            let blocks = store.list(&Query::all()).await?.objects;
            pods::show(&pods::look(&mut rtnl, &links, &others, &blocks, patience)?, output)
        }
    }
}

/// Another node.
struct Other {
    name: String,
    /// Its own: IPv4, IPv6.
    addresses: Vec<IpAddr>,
}

impl Other {
    fn of(node: &Object<Node>, configurations: &[Object<NodeConfiguration>]) -> Self {
        let configuration = NodeConfiguration::effective(configurations, &node.metadata.labels);
        let ranges = configuration.node_address_cidrs.unwrap_or_default();
        let (identity, _) = node.claims().unwrap_or_default().identity(&ranges);
        let own = Family::ALL.into_iter().filter_map(|family| identity.address(family));
        Self { name: node.name().to_owned(), addresses: own.map(|own| own.addr).collect() }
    }
}

/// A prober of an address, and how long it waits. Its packets take the way of encrypted ones, past the tunnel that those of nodes may take.
struct Prober {
    echo: Echo,
    address: IpAddr,
    patience: Duration,
}

impl Prober {
    /// `None` where no route leads to the address.
    fn towards(address: IpAddr, patience: Duration) -> Result<Option<Self>, Error> {
        let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
        match Echo::open(address, identifier, MARK) {
            Err(error) if is_unreachable(&error) => Ok(None),
            opened => opened
                .map(|echo| Some(Self { echo, address, patience }))
                .map_err(|source| failed(address, source)),
        }
    }

    /// Does anybody answer a packet of this size?
    fn answered(&mut self, size: u32) -> Result<bool, Error> {
        for _ in 0..TRIES {
            match self.echo.probe(size, self.patience).map_err(|source| failed(self.address, source))? {
                Answer::Answered => return Ok(true),
                Answer::TooLarge => return Ok(false),
                Answer::Silent | Answer::Unreachable => {}
            }
        }
        Ok(false)
    }
}

fn failed(address: IpAddr, source: io::Error) -> Error {
    Error::File { path: format!("ICMP socket to {address}"), source }
}

/// Nothing else would go better.
fn is_hopeless(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
}
