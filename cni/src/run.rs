//! From input to output.

use std::ffi::OsString;
use std::time::Instant;

use felix_api::{Code, Refusal, Reply};
use serde_json::Value;

use crate::exchange::exchange;
use crate::invocation::Failure;
use crate::log::{Level, Log};
use crate::result::{error_json, versions_json};
use crate::{Environment, Invocation, SpecVersion, Verb};

/// What the process does last.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// To print on standard output.
    pub stdout: Option<Value>,
    /// 0, or 1 with an error on standard output.
    pub exit_code: u8,
}

/// Carries out one call: reads the parameters through `variable`, asks felix-lite, and says what to print.
pub fn run(
    variable: impl Fn(&str) -> Option<OsString>,
    stdin: impl FnOnce() -> std::io::Result<Vec<u8>>,
) -> Outcome {
    match perform(variable, stdin) {
        Ok(stdout) => Outcome { stdout, exit_code: 0 },
        Err(Failure { version, refusal }) => {
            Log(Level::Error).line(Level::Error, &refusal);
            Outcome { stdout: Some(error_json(version, &refusal)), exit_code: 1 }
        }
    }
}

fn perform(
    variable: impl Fn(&str) -> Option<OsString>,
    stdin: impl FnOnce() -> std::io::Result<Vec<u8>>,
) -> Result<Option<Value>, Failure> {
    let start = Instant::now();
    let latest = |refusal| Failure { version: SpecVersion::LATEST, refusal };
    let environment = Environment::read(variable).map_err(latest)?;
    let bytes = stdin().map_err(|error| {
        latest(
            Refusal::new(Code::IO, "the network configuration cannot be read from standard input")
                .because(error),
        )
    })?;
    let mut invocation = Invocation::understand(environment, &bytes)?;
    let (version, verb) = (invocation.version, invocation.verb);
    let (Some(command), Some(config)) = (invocation.command.take(), invocation.config.as_deref()) else {
        return Ok(Some(versions_json(version)));
    };
    let log = Log(config.log_level);
    log.line(Level::Debug, format_args!("{command:?}"));
    let failure = |refusal| Failure { version, refusal };
    let reply = exchange(verb, command, invocation.netns.as_deref(), config, log).map_err(failure)?;
    let stdout = match (verb, reply) {
        (_, Reply::Refused(refusal)) => return Err(failure(refusal)),
        (Verb::Add, Reply::Attached(attached)) => Some(invocation.result(&attached).map_err(failure)?),
        (Verb::Add, Reply::Done) | (_, Reply::Attached(_)) => {
            return Err(failure(Refusal::new(
                Code::INTERNAL,
                format!("felix-lite's answer is none to {verb}"),
            )));
        }
        (_, Reply::Done) => None,
    };
    let about = invocation.attachment.map(|attachment| format!(" {attachment}")).unwrap_or_default();
    log.line(
        Level::Info,
        format_args!("{verb}{about} done in {:.1} ms", start.elapsed().as_secs_f64() * 1e3),
    );
    Ok(stdout)
}
