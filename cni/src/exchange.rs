//! The conversation with felix-lite, and what to do when there is none.

use std::fs::File;
use std::os::fd::AsFd as _;

use felix_api::{Client, ClientError, Code, Command, Del, Refusal, Reply, Spool};

use crate::config::Config;
use crate::limits::limit;
use crate::log::{Level, Log};
use crate::{Verb, netns};

/// Asks felix-lite.
pub(crate) fn exchange(
    verb: Verb,
    command: Command,
    netns: Option<&str>,
    config: &Config,
    log: Log,
) -> Result<Reply, Refusal> {
    let netns = match netns {
        None => None,
        Some(path) if verb.needs_netns() => Some(netns::open(path)?),
        // DEL does without: whatever is wrong with the namespace, the rest is removed.
        Some(path) => netns::open(path).inspect_err(|gone| log.line(Level::Debug, gone)).ok(),
    };
    let client = Client::new(&config.socket);
    match command {
        Command::Del(del) => delete(&client, &Spool::new(&config.spool), &del, netns.as_ref(), log),
        command => ask(&client, verb, command, netns.as_ref()).map_err(|error| unanswered(verb, &error)),
    }
}

fn ask(client: &Client, verb: Verb, command: Command, netns: Option<&File>) -> Result<Reply, ClientError> {
    client.call(command, netns.map(File::as_fd), limit(verb))
}

/// DEL succeeds without felix-lite: it is kept for it (see [`Spool`]), and the second try closes the gap between the first one and the keeping.
fn delete(
    client: &Client,
    spool: &Spool,
    del: &Del,
    netns: Option<&File>,
    log: Log,
) -> Result<Reply, Refusal> {
    let first = match ask(client, Verb::Del, Command::Del(del.clone()), netns) {
        Ok(reply) => return Ok(reply),
        Err(error) => error,
    };
    spool.put(del).map_err(|error| {
        unanswered(Verb::Del, &first).because(format_args!("{first}; nor can DEL be kept: {error}"))
    })?;
    if matches!(first, ClientError::TimedOut { .. }) {
        log.line(Level::Warn, format_args!("{first}: DEL of {} is kept for its next start", del.attachment));
        return Ok(Reply::Done);
    }
    match ask(client, Verb::Del, Command::Del(del.clone()), netns) {
        Ok(reply) => {
            spool
                .remove(&del.attachment)
                .map_err(|error| Refusal::new(Code::IO, "a kept DEL cannot be removed").because(error))?;
            Ok(reply)
        }
        Err(error) => {
            log.line(Level::Warn, format_args!("{error}: DEL of {} is kept for its start", del.attachment));
            Ok(Reply::Done)
        }
    }
}

/// The error for a question that got no answer.
fn unanswered(verb: Verb, error: &ClientError) -> Refusal {
    let code = match (verb, error) {
        // The pods there are keep their connections: forwarding does not need felix-lite.
        (Verb::Status, _) => Code::NOT_AVAILABLE,
        (_, ClientError::Frame(_)) => Code::INTERNAL,
        _ => Code::TRY_AGAIN,
    };
    Refusal::new(code, error.to_string()).because("is felix-lite running on this node?")
}
