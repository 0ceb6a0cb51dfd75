//! `cairnctl bgp`: sessions and routes of the bgpd on this machine.

mod change;
mod dump;
mod history;
mod neighbor;
mod next_hop;
mod policy;
mod route;
mod summary;
mod watch;

use std::net::IpAddr;
use std::path::PathBuf;

use bgpd_api::config::{AsPathPattern, Community};
use bgpd_api::route::Table;
use bgpd_api::{Client, DEFAULT_SOCKET};
use cairn_net::{Family, Prefix};
use clap::{Args, Subcommand, ValueEnum};

use crate::Error;
use crate::output::{Format, Output};

#[derive(Args)]
pub(crate) struct Arguments {
    /// bgpd's Unix socket.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "BGPD_SOCKET", global = true)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The daemon and its sessions by family, one line each.
    Summary {
        /// Only this family.
        #[arg(long, value_enum)]
        family: Option<FamilyName>,
        /// Only neighbors without a session.
        #[arg(long)]
        down: bool,
    },
    /// Neighbors in detail.
    Neighbors {
        /// Only this one.
        address: Option<IpAddr>,
        /// So many at most, in the order of their addresses.
        #[arg(long, value_name = "NUMBER", conflicts_with = "address")]
        limit: Option<usize>,
    },
    /// What happened to a neighbor: changes of state, failures, resets, the oldest first.
    History {
        /// The neighbor.
        address: IpAddr,
    },
    /// Next hops of learned routes: whether they can be reached, by what, and at which metric.
    #[command(name = "nexthops")]
    NextHops {
        /// Only this one.
        address: Option<IpAddr>,
    },
    /// Routes of a table.
    Routes(Routes),
    /// What a neighbor has sent, before the import filter, and why it is not used. As `routes --table in --peer`.
    Received(OfPeer),
    /// What a neighbor is told, after the export filter. As `routes --table out --peer`.
    Advertised(OfPeer),
    /// What policies matched, why a route is where it is, what other filters would change.
    #[command(subcommand)]
    Policy(policy::Command),
    /// The table as an MRT file (RFC 6396), for bgpdump and the like.
    MrtDump {
        /// The file; it is replaced at once when the dump is complete.
        file: PathBuf,
    },
    /// Changes as they happen, after what is there now.
    Watch {
        /// Of what.
        #[arg(value_enum, default_value_t = Watched::Routes)]
        what: Watched,
        /// Only this family.
        #[arg(long, value_enum)]
        family: Option<FamilyName>,
    },
    /// The configuration in force, passwords hidden.
    Config,
    /// Make a document the configuration. Only for a bgpd without a configuration file.
    Apply {
        /// YAML or JSON.
        file: PathBuf,
        /// Only check and compare.
        #[arg(long)]
        dry_run: bool,
    },
    /// Announce prefixes.
    Originate(Originate),
    /// Withdraw prefixes that were announced with `originate`.
    Withdraw {
        /// The prefixes.
        #[arg(required = true)]
        prefixes: Vec<Prefix>,
        /// In whose name they were announced.
        #[arg(long, default_value = OWNER)]
        owner: String,
    },
    /// Ask a neighbor for its routes again, or send it all routes again. The session stays up.
    SoftReset {
        /// Only this one. Default: all.
        address: Option<IpAddr>,
        /// Which way.
        #[arg(long, value_enum, default_value_t = Way::Both)]
        way: Way,
    },
    /// Take a neighbor down, put it up again, or reset its session.
    Neighbor {
        /// The neighbor.
        address: IpAddr,
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Subcommand)]
enum Action {
    /// Take it down until `enable` (Cease / Administrative Shutdown).
    Shutdown(Message),
    /// Undo `shutdown`, or end the idle time of a neighbor that was refused.
    Enable,
    /// End the session and let it begin again (Cease / Administrative Reset).
    Reset(Message),
}

/// The owner of what is announced by hand.
const OWNER: &str = "cairnctl";

#[derive(Args)]
struct Routes {
    /// `loc`: in use; `all`: every path, used or not; `in`: received, before the import filter; `out`: sent, after the
    /// export filter.
    #[arg(long, value_enum, default_value_t = TableName::Loc)]
    table: TableName,
    /// The neighbor whose table it is; required for `in` and `out`.
    #[arg(long, required_if_eq_any([("table", "in"), ("table", "out")]))]
    peer: Option<IpAddr>,
    #[command(flatten)]
    filter: RouteFilter,
}

#[derive(Args)]
struct OfPeer {
    /// The neighbor.
    address: IpAddr,
    #[command(flatten)]
    filter: RouteFilter,
}

/// Which routes of a table. Whatever is given must hold.
#[derive(Args)]
struct RouteFilter {
    /// Only this prefix.
    prefix: Option<Prefix>,
    /// Whatever the prefix covers, too.
    #[arg(long, requires = "prefix")]
    longer: bool,
    /// Whatever covers the prefix, too.
    #[arg(long, requires = "prefix", conflicts_with = "longer")]
    shorter: bool,
    /// Only this family.
    #[arg(long, value_enum)]
    family: Option<FamilyName>,
    /// Only paths that were learned from this neighbor.
    #[arg(long)]
    from: Option<IpAddr>,
    /// Only paths with this community, such as 65000:100, 65000:1:2 or no-export. Given several times: with all of them.
    #[arg(long)]
    community: Vec<Community>,
    /// Only paths whose whole AS path matches: AS numbers, ranges, `?` for one AS, `*` for any number, as `* 65001`.
    #[arg(long)]
    as_path: Option<AsPathPattern>,
    /// Only best paths.
    #[arg(long)]
    best: bool,
    /// So many prefixes at most, in the order of the table.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

#[derive(Args)]
struct Originate {
    /// The prefixes.
    #[arg(required = true)]
    prefixes: Vec<Prefix>,
    /// In whose name.
    #[arg(long, default_value = OWNER)]
    owner: String,
    /// Withdraw whatever else the owner announced before.
    #[arg(long)]
    replace: bool,
    /// Next hop. Default: the local address of each session.
    #[arg(long)]
    next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    #[arg(long)]
    med: Option<u32>,
    /// LOCAL_PREF.
    #[arg(long)]
    local_preference: Option<u32>,
    /// A community such as 65000:100, 65000:1:2 or no-export. May be given several times.
    #[arg(long)]
    community: Vec<Community>,
}

#[derive(Args)]
struct Message {
    /// A text for the neighbor's operator (RFC 9003), at most 255 octets.
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Watched {
    Routes,
    Peers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableName {
    Loc,
    All,
    In,
    Out,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    In,
    Out,
    Both,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FamilyName {
    Ipv4,
    Ipv6,
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Self {
        match name {
            FamilyName::Ipv4 => Self::Ipv4,
            FamilyName::Ipv6 => Self::Ipv6,
        }
    }
}

/// Runs a command.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    if let Command::Policy(command) = arguments.command {
        return policy::run(command, &arguments.socket, format).await;
    }
    let mut client = Client::connect(&arguments.socket).await?;
    let output = &mut Output::new(format);
    let client = &mut client;
    match arguments.command {
        Command::Summary { family, down } => summary::print(client, family, down, output).await,
        Command::Neighbors { address, limit } => neighbor::print(client, address, limit, output).await,
        Command::History { address } => history::print(client, address, output).await,
        Command::NextHops { address } => next_hop::print(client, address, output).await,
        Command::Routes(wanted) => {
            let table = route::table(wanted.table, wanted.peer)?;
            route::print(client, table, wanted.filter, output).await
        }
        Command::Received(wanted) => {
            route::print(client, Table::AdjRibIn(wanted.address), wanted.filter, output).await
        }
        Command::Advertised(wanted) => {
            route::print(client, Table::AdjRibOut(wanted.address), wanted.filter, output).await
        }
        Command::Policy(command) => policy::run(command, &arguments.socket, format).await,
        Command::MrtDump { file } => dump::write(client, &file).await,
        Command::Watch { what: Watched::Routes, family } => watch::routes(client, family, output).await,
        Command::Watch { what: Watched::Peers, .. } => watch::peers(client, output).await,
        Command::Config => change::config(client, output).await,
        Command::Apply { file, dry_run } => change::apply(client, &file, dry_run, output).await,
        Command::Originate(wanted) => change::originate(client, wanted).await,
        Command::Withdraw { prefixes, owner } => Ok(client.withdraw(&owner, prefixes).await?),
        Command::SoftReset { address, way } => change::soft_reset(client, address, way).await,
        Command::Neighbor { address, action } => act(client, address, action).await,
    }
}

async fn act(client: &mut Client, address: IpAddr, action: Action) -> Result<(), Error> {
    match action {
        Action::Shutdown(text) => client.set_peer_enabled(address, false, &text.message).await?,
        Action::Enable => client.set_peer_enabled(address, true, "").await?,
        Action::Reset(text) => client.reset_peer(address, &text.message).await?,
    }
    Ok(())
}
