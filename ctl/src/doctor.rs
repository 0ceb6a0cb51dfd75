//! `cairnctl doctor mtu`: does the path to each node carry what its links promise?
//!
//! Run on a node, as root. Echo requests that nobody may fragment go to each address of each other node, as large as the link that they leave by
//! allows, then smaller until one is answered. Where a smaller one is answered and a larger one is lost, packets of pods would be, too, if their MTU
//! is made of the links alone.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use cairn_api::Object;
use cairn_api::core::Node;
use cairn_datastore::{Datastore, DirectoryStore, Query};
use cairn_kernel::Rtnl;
use cairn_kernel::echo::{Answer, Echo};
use cairn_net::Family;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::Error;
use crate::output::{Format, Output};
use crate::table::Table;

/// Requests of one size that may get lost before the size counts as too large.
const TRIES: u32 = 3;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Name of this node's Node object [default: the host's name].
    #[arg(long, env = "CAIRN_NODE_NAME", global = true)]
    node_name: Option<String>,
    /// Directory of the store.
    #[arg(long, value_name = "PATH", env = "CAIRN_STORE", global = true, default_value = crate::STORE)]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How large packets may be to each node; fails if a path carries less than its link.
    Mtu {
        /// How long an answer may take, in milliseconds.
        #[arg(long, default_value_t = 500)]
        patience: u64,
    },
}

/// A path.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Path {
    node: String,
    address: IpAddr,
    /// The link that packets leave by.
    interface: String,
    /// Its MTU in bytes.
    link_mtu: u32,
    /// The largest packet in bytes that was answered; none if none was.
    carried: Option<u32>,
    verdict: &'static str,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let Command::Mtu { patience } = arguments.command;
    if !arguments.store.is_dir() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(Error::File { path: arguments.store.display().to_string(), source });
    }
    let own = crate::node::node_name(arguments.node_name)?;
    let nodes = DirectoryStore::new(arguments.store).list::<Node>(&Query::all()).await?.objects;
    let mut rtnl = Rtnl::open()?;
    let mut paths = Vec::new();
    for node in nodes.iter().filter(|node| node.name() != own) {
        for address in addresses(node) {
            paths.push(look(&mut rtnl, node.name(), address, Duration::from_millis(patience))?);
        }
    }
    show(&paths, &mut Output::new(format))
}

fn addresses(node: &Object<Node>) -> impl Iterator<Item = IpAddr> {
    let identity = node.identity().unwrap_or_default();
    Family::ALL.into_iter().filter_map(move |family| Some(identity.address(family)?.addr))
}

fn show(paths: &[Path], output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        paths.iter().try_for_each(|path| output.json(path))?;
    } else {
        let mut table = Table::new(&["NODE", "ADDRESS", "INTERFACE", "LINK MTU", "CARRIED", "VERDICT"]);
        for path in paths {
            let carried = path.carried.map_or_else(|| "-".to_owned(), |carried| carried.to_string());
            let (node, address) = (path.node.clone(), path.address.to_string());
            let (interface, link) = (path.interface.clone(), path.link_mtu.to_string());
            table.row(vec![node, address, interface, link, carried, path.verdict.to_owned()]);
        }
        table.print(output)?;
    }
    let least = paths.iter().filter(|path| path.verdict == NARROW).filter_map(|path| path.carried).min();
    match least {
        None => Ok(()),
        Some(least) => Err(Error::Answer(format!(
            "a path carries {least} bytes and its link promises more: give the route or the interface that MTU, or set `mtu` of the \
             NodeConfiguration to {least} less what encapsulation adds"
        ))),
    }
}

const FINE: &str = "ok";
const NARROW: &str = "narrower than its link";
const SILENT: &str = "no answer to echo requests";
const NO_ROUTE: &str = "no route";

fn look(rtnl: &mut Rtnl, node: &str, address: IpAddr, patience: Duration) -> Result<Path, Error> {
    let mut path = Path {
        node: node.to_owned(),
        address,
        interface: "-".to_owned(),
        link_mtu: 0,
        carried: None,
        verdict: NO_ROUTE,
    };
    let Some(index) = rtnl.resolve(address)?.and_then(|hop| hop.dev) else { return Ok(path) };
    let Some(link) = rtnl.link(index)? else { return Ok(path) };
    (path.interface, path.link_mtu) = (link.name, link.mtu);
    let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    let raw = |source| Error::File { path: format!("ICMP socket to {address}"), source };
    let mut echo = Echo::open(address, identifier).map_err(raw)?;
    let answered = |size: u32| -> Result<bool, Error> {
        for _ in 0..TRIES {
            match echo.probe(size, patience).map_err(raw)? {
                Answer::Answered => return Ok(true),
                Answer::TooLarge => return Ok(false),
                Answer::Silent | Answer::Unreachable => {}
            }
        }
        Ok(false)
    };
    let least = if address.is_ipv6() { 1280 } else { 68 };
    path.carried = largest(least, path.link_mtu, answered)?;
    path.verdict = match path.carried {
        None => SILENT,
        Some(carried) if carried < path.link_mtu => NARROW,
        Some(_) => FINE,
    };
    Ok(path)
}

/// The largest size that passes, of those from `least` to `most`; the largest is tried first, for it mostly does.
fn largest<E>(
    least: u32,
    most: u32,
    mut passes: impl FnMut(u32) -> Result<bool, E>,
) -> Result<Option<u32>, E> {
    if passes(most)? {
        return Ok(Some(most));
    }
    if most <= least || !passes(least)? {
        return Ok(None);
    }
    let (mut good, mut bad) = (least, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if passes(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(good))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_largest_size_is_found_in_a_few_steps() {
        for limit in [68, 69, 1399, 1400, 1499, 1500, 9000] {
            let mut steps = 0;
            let found = largest(68, 1500, |size| {
                steps += 1;
                Ok::<_, Infallible>(size <= limit)
            });
            assert_eq!(found, Ok(Some(limit.min(1500))));
            assert!(steps <= 13, "{steps}");
        }
        assert_eq!(largest(68, 1500, |_| Ok::<_, Infallible>(false)), Ok(None));
        assert_eq!(largest(68, 1500, Err::<bool, _>), Err(1500), "what goes wrong is told");
    }
}
