//! `cairnctl bfd`: the BFD sessions of the bgpd on this machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bgpd_api::bfd::{BfdDiscard, BfdOffer, BfdPage, BfdSession};
use bgpd_api::{Client, DEFAULT_SOCKET};
use clap::{Args, Subcommand};

use crate::Error;
use crate::output::{Format, Output};
use crate::table::{Table, age};

#[derive(Args)]
pub(crate) struct Arguments {
    /// bgpd's Unix socket.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, env = "BGPD_SOCKET", global = true)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The sessions, one line each. The default.
    Summary,
    /// Sessions in detail: both sides' offers, what was agreed on, packets, and the last changes.
    Sessions {
        /// Only that with this neighbor.
        address: Option<IpAddr>,
    },
}

/// Runs a command.
pub(crate) async fn run(arguments: Arguments, format: Format) -> Result<(), Error> {
    let mut client = Client::connect(&arguments.socket).await?;
    let output = &mut Output::new(format);
    let (only, detailed) = match arguments.command {
        None | Some(Command::Summary) => (None, false),
        Some(Command::Sessions { address }) => (address, true),
    };
    let mut all = BfdPage::default();
    let mut stream = client.list_bfd_sessions(only).await?;
    while let Some(page) = stream.next().await? {
        all.sessions.extend(page.sessions);
        all.discarded.extend(page.discarded);
        all.send_errors += page.send_errors;
    }
    if let Some(address) = only.filter(|_| all.sessions.is_empty()) {
        return Err(Error::Answer(format!("there is no BFD session with {address}")));
    }
    if output.is_json() {
        return all.sessions.iter().try_for_each(|session| output.json(session));
    }
    if detailed {
        return all.sessions.iter().try_for_each(|session| detail(session, output));
    }
    summary(&all, output)
}

fn summary(all: &BfdPage, output: &mut Output) -> Result<(), Error> {
    let heading = ["NEIGHBOR", "HOPS", "STATE", "FOR", "TX", "DETECTION", "UP", "DOWN", "DIAGNOSTIC"];
    let mut table = Table::new(&heading);
    for session in &all.sessions {
        table.row(vec![
            session.peer.to_string(),
            if session.multihop { "multi" } else { "single" }.to_owned(),
            session.local.state.to_string(),
            age(session.state_for),
            millis(session.transmit_interval),
            millis(session.detection_time),
            session.up_count.to_string(),
            session.down_count.to_string(),
            session.diagnostic.clone(),
        ]);
    }
    table.print(output)?;
    if !all.discarded.is_empty() {
        output.line(format_args!("packets of no session: {}", discards(&all.discarded)))?;
    }
    if all.send_errors > 0 {
        output.line(format_args!("packets that could not be sent: {}", all.send_errors))?;
    }
    Ok(())
}

fn detail(session: &BfdSession, output: &mut Output) -> Result<(), Error> {
    let hops = if session.multihop { "multihop" } else { "single hop" };
    output.line(format_args!("{}  {hops}", session.peer))?;
    let mut field = |name: &str, value: String| -> Result<(), Error> {
        if value.is_empty() { Ok(()) } else { output.line(format_args!("  {name:<16}{value}")) }
    };
    field("state", format!("{}, for {}", session.local.state, age(session.state_for)))?;
    field("diagnostic", session.diagnostic.clone())?;
    field("local address", session.local_address.map(|addr| addr.to_string()).unwrap_or_default())?;
    field("local", offer(&session.local))?;
    field("remote", offer(&session.remote))?;
    field("remote says", session.remote_diagnostic.clone())?;
    let polling = if session.polling { ", Poll Sequence under way" } else { "" };
    field(
        "negotiated",
        format!(
            "transmit every {}, detection time {}{polling}",
            millis(session.transmit_interval),
            millis(session.detection_time)
        ),
    )?;
    field("authentication", session.authentication.clone())?;
    let last = session.last_packet_age.map(|last| format!(", the last {} ago", millis(last)));
    field(
        "packets",
        format!(
            "{} received{}, {} sent",
            session.packets_received,
            last.unwrap_or_default(),
            session.packets_sent
        ),
    )?;
    field("discarded", discards(&session.packets_discarded))?;
    field("came up", format!("{} times, left Up {} times", session.up_count, session.down_count))?;
    let mut table = Table::new(&["  AGO", "FROM", "TO", "DIAGNOSTIC", "REMOTE", "REMOTE DIAGNOSTIC"]);
    for change in &session.history {
        table.row(vec![
            format!("  {}", age(change.age)),
            change.from.to_string(),
            change.to.to_string(),
            change.diagnostic.clone(),
            change.remote_state.to_string(),
            change.remote_diagnostic.clone(),
        ]);
    }
    table.print(output)?;
    output.line("")
}

fn offer(offer: &BfdOffer) -> String {
    let flag = |on: bool, name: &'static str| on.then_some(name);
    let flags = [
        flag(offer.demand, "demand mode"),
        flag(offer.control_plane_independent, "control plane independent"),
        flag(!offer.required_min_echo_rx.is_zero(), "echo"),
    ];
    let mut text = format!(
        "{}, discriminator {:#010x}, tx {}, rx {}, multiplier {}",
        offer.state,
        offer.discriminator,
        millis(offer.desired_min_tx),
        millis(offer.required_min_rx),
        offer.detect_multiplier
    );
    flags.into_iter().flatten().for_each(|flag| {
        text.push_str(", ");
        text.push_str(flag);
    });
    text
}

fn discards(discards: &[BfdDiscard]) -> String {
    let all: Vec<String> = discards.iter().map(|part| format!("{} {}", part.reason, part.count)).collect();
    all.join(", ")
}

/// `300ms`; `-` for none.
fn millis(time: Duration) -> String {
    if time.is_zero() { "-".to_owned() } else { format!("{}ms", time.as_millis()) }
}
