//! `cairnctl bgp policy`: what policies matched, why a route is where it is, what a candidate would change.

mod trial;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bgpd_api::Client;
use bgpd_api::config::{FilterChain, Name};
use bgpd_api::policy::{Difference, Direction, Explanation, Statement, TestPage};
use bgpd_api::route::{Attributes, RouteSource};
use cairn_net::Prefix;
use clap::{Args, Subcommand, ValueEnum};

use super::route::as_path;
use crate::Error;
use crate::output::{Format, Output};
use crate::table::Table;

#[derive(Subcommand)]
pub(super) enum Command {
    /// The statements of the neighbors' policies, with how many routes each matched.
    Counters(Session),
    /// Set those counts to zero.
    Reset(Session),
    /// Which statement decided on a route, and every one that was asked before.
    Explain {
        /// The prefix.
        prefix: Prefix,
        #[command(flatten)]
        session: OneSession,
    },
    /// Try filters of a file: on a route given here, without a daemon; or, with --neighbor, on the routes of a neighbor: what would change.
    Test(Box<Test>),
}

#[derive(Args)]
pub(super) struct Session {
    /// Only this neighbor.
    #[arg(long, value_name = "ADDRESS")]
    neighbor: Option<IpAddr>,
    /// Only this way.
    #[arg(long, value_enum)]
    direction: Option<Way>,
}

#[derive(Args)]
pub(super) struct OneSession {
    /// The neighbor.
    #[arg(long, value_name = "ADDRESS")]
    neighbor: IpAddr,
    /// `import`: what it announced; `export`: what it is told.
    #[arg(long, value_enum)]
    direction: Way,
}

#[derive(Args)]
pub(super) struct Test {
    /// Sets and filters, or a whole document of bgpd: YAML or JSON.
    file: PathBuf,
    /// The filters to try, in order.
    #[arg(long = "filter", value_name = "NAME", required = true)]
    filters: Vec<Name>,
    /// Compare with what is in force for this neighbor.
    #[arg(long, value_name = "ADDRESS", requires = "direction", conflicts_with = "given-route")]
    neighbor: Option<IpAddr>,
    /// Which of its policies. With a given route: whether its `peer`, one of the file's neighbors, announced it or is sent it; then the
    /// options of this neighbor count, too.
    #[arg(long, value_enum)]
    direction: Option<Way>,
    #[command(flatten)]
    route: trial::RouteFlags,
}

impl Test {
    fn chain(&self) -> FilterChain {
        FilterChain(self.filters.clone())
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Way {
    Import,
    Export,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::Import => Self::Import,
            Way::Export => Self::Export,
        }
    }
}

/// Runs a command; those that need no daemon do not look for one.
pub(super) async fn run(command: Command, socket: &Path, format: Format) -> Result<(), Error> {
    let output = &mut Output::new(format);
    if let Command::Test(test) = &command
        && test.neighbor.is_none()
    {
        return trial::run(test, output);
    }
    let client = &mut Client::connect(socket).await?;
    match command {
        Command::Counters(Session { neighbor, direction }) => {
            counters(client, neighbor, direction.map(Into::into), output).await
        }
        Command::Reset(Session { neighbor, direction }) => {
            Ok(client.reset_policy_counters(neighbor, direction.map(Into::into)).await?)
        }
        Command::Explain { prefix, session } => explain(client, prefix, &session, output).await,
        Command::Test(wanted) => test(client, &wanted, output).await,
    }
}

async fn counters(
    client: &mut Client,
    neighbor: Option<IpAddr>,
    way: Option<Direction>,
    output: &mut Output,
) -> Result<(), Error> {
    let policies = client.policies(neighbor, way).await?;
    if output.is_json() {
        return policies.iter().try_for_each(|policy| output.json(policy));
    }
    let mut table = Table::new(&["NEIGHBOR", "DIRECTION", "STATEMENT", "ROUTES"]);
    for policy in policies {
        for counter in &policy.counters {
            table.row(vec![
                policy.peer.to_string(),
                policy.direction.to_string(),
                counter.statement.to_string(),
                counter.hits.to_string(),
            ]);
        }
    }
    table.print(output)
}

async fn explain(
    client: &mut Client,
    prefix: Prefix,
    session: &OneSession,
    output: &mut Output,
) -> Result<(), Error> {
    let way: Direction = session.direction.into();
    let found = client.explain_policy(session.neighbor, way, prefix).await?;
    if output.is_json() {
        return found.iter().try_for_each(|explanation| output.json(explanation));
    }
    if found.is_empty() {
        return Err(Error::Answer(match way {
            Direction::Import => format!("{} has not announced {prefix}", session.neighbor),
            Direction::Export => {
                format!("there is no route to {prefix} to tell {} of, or it is its own", session.neighbor)
            }
        }));
    }
    for explanation in found {
        output.line(format_args!(
            "{prefix} from {}, {way} of {}",
            from(&explanation.source),
            session.neighbor
        ))?;
        for step in &explanation.steps {
            asked(&step.statement, step.depth, step.matched, output)?;
        }
        let verdict = if explanation.after.is_some() { "accepted" } else { "rejected" };
        decided(verdict, explanation.decider.as_ref(), &explanation.reason, output)?;
        if let Some(after) = &explanation.after {
            changes(&fields(&explanation.before), &fields(after), output)?;
        }
    }
    Ok(())
}

fn from(source: &RouteSource) -> String {
    match source {
        RouteSource::Peer(peer) => peer.to_string(),
        RouteSource::Local(owner) => format!("here ({owner})"),
    }
}

fn asked(statement: &Statement, depth: u32, matched: bool, output: &mut Output) -> Result<(), Error> {
    let indent = "  ".repeat(usize::try_from(depth).unwrap_or(0).min(16));
    let mark = if matched { "matches" } else { "does not match" };
    output.line(format_args!("  {indent}{statement}: {mark}"))
}

fn decided(
    verdict: &str,
    decider: Option<&Statement>,
    reason: &str,
    output: &mut Output,
) -> Result<(), Error> {
    match (decider, reason) {
        (Some(decider), "") => output.line(format_args!("  {verdict} by {decider}")),
        (Some(decider), reason) => output.line(format_args!("  {decider} accepts it, but {reason}")),
        (None, "") => output.line(format_args!("  {verdict}: there is no policy")),
        (None, reason) => output.line(format_args!("  {verdict}: {reason}")),
    }
}

/// A route's attributes by name, as text.
type Fields = Vec<(&'static str, String)>;

fn fields(attributes: &Attributes) -> Fields {
    let joined = |texts: &[String]| texts.join(" ");
    let texts = |communities: &[bgpd_api::config::Community]| -> Vec<String> {
        communities.iter().map(ToString::to_string).collect()
    };
    let mut communities = texts(&attributes.communities);
    let extended = attributes.extended_communities.iter();
    communities.extend(extended.map(|value| bgpd_api::config::Community::Extended(*value).to_string()));
    let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
    vec![
        ("next hop", attributes.next_hop.map_or_else(|| "self".to_owned(), |addr| addr.to_string())),
        ("AS path and origin", as_path(&attributes.as_path, attributes.origin)),
        ("MED", number(attributes.med)),
        ("local preference", number(attributes.local_preference)),
        ("communities", joined(&communities)),
    ]
}

/// Prints what differs.
fn changes(before: &Fields, after: &Fields, output: &mut Output) -> Result<(), Error> {
    let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    for ((name, old), (_, new)) in before.iter().zip(after).filter(|((_, old), (_, new))| old != new) {
        output.line(format_args!("  {name}: {} -> {}", shown(old), shown(new)))?;
    }
    Ok(())
}

async fn test(client: &mut Client, wanted: &Test, output: &mut Output) -> Result<(), Error> {
    let (Some(neighbor), Some(way)) = (wanted.neighbor, wanted.direction) else {
        return Err(Error::Answer("--neighbor and --direction go together".to_owned()));
    };
    let mut pages = client.test_policy(read(&wanted.file)?, &wanted.chain(), neighbor, way.into()).await?;
    let mut sums = TestPage::default();
    while let Some(page) = pages.next().await? {
        for difference in &page.differences {
            if output.is_json() {
                output.json(difference)?;
            } else {
                differs(difference, output)?;
            }
        }
        sums = TestPage { differences: Vec::new(), ..page };
    }
    if output.is_json() {
        return output.json(&sums);
    }
    output.line(format_args!(
        "{} routes: {} would be treated differently; accepted now {}, then {}",
        sums.examined, sums.different, sums.accepted_now, sums.accepted_then
    ))
}

fn differs(difference: &Difference, output: &mut Output) -> Result<(), Error> {
    let Difference { prefix, now, then } = difference;
    let what = match (&now.after, &then.after) {
        (None, _) => "accepted",
        (_, None) => "rejected",
        (Some(_), Some(_)) => "changed",
    };
    let why = |explanation: &Explanation| match &explanation.decider {
        Some(decider) => decider.to_string(),
        None if explanation.reason.is_empty() => "no policy".to_owned(),
        None => explanation.reason.clone(),
    };
    output.line(format_args!(
        "{prefix} from {}: {what} (now {}, then {})",
        from(&now.source),
        why(now),
        why(then)
    ))?;
    match (&now.after, &then.after) {
        (Some(now), Some(then)) => changes(&fields(now), &fields(then), output),
        _ => Ok(()),
    }
}

/// The text of a file.
fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| Error::File { path: file.display().to_string(), source })
}
