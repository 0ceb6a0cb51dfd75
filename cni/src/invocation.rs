//! One call of the plugin, understood: environment and configuration together.

use cairn_net::Mac;
use felix_api::{Add, AddressRequest, Attached, Attachment, Check, Code, Command, Del, Gc, PodId, Refusal};
use serde_json::{Map, Value};

use crate::args::Args;
use crate::config::{self, Config, bandwidth, host_ports, mac, requested};
use crate::limits::MAX_STDIN;
use crate::result::{self, Shape, success_json};
use crate::{Environment, SpecVersion, Verb};

/// A call whose every parameter is valid.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// In which format to answer.
    pub version: SpecVersion,
    /// What is to be done.
    pub verb: Verb,
    /// The question to felix-lite; `None` for VERSION, which it has no part in.
    pub command: Option<Command>,
    /// `CNI_NETNS`, if given.
    pub netns: Option<String>,
    /// What it is about; `None` where it is about no single attachment.
    pub attachment: Option<Attachment>,
    /// What a result starts from.
    pub(crate) prev_result: Option<Map<String, Value>>,
    /// `None` for VERSION.
    pub(crate) config: Option<Box<Config>>,
}

/// What went wrong, and in which version's format to say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) version: SpecVersion,
    pub(crate) refusal: Refusal,
}

impl Invocation {
    /// Understands a call. Pure: the namespace is not opened, felix-lite not asked.
    ///
    /// # Errors
    /// The CNI error to print.
    pub fn parse(environment: Environment, stdin: &[u8]) -> Result<Self, Refusal> {
        Self::understand(environment, stdin).map_err(|failure| failure.refusal)
    }

    pub(crate) fn understand(environment: Environment, stdin: &[u8]) -> Result<Self, Failure> {
        let verb = environment.verb;
        let latest = |refusal| Failure { version: SpecVersion::LATEST, refusal };
        if stdin.len() > MAX_STDIN {
            let msg = format!("the network configuration is longer than {MAX_STDIN} bytes");
            return Err(latest(Refusal::new(Code::IO, msg)));
        }
        if verb == Verb::Version {
            return version(stdin).map_err(latest);
        }
        let (version, map) = config::decode(stdin).map_err(latest)?;
        let failure = |refusal| Failure { version, refusal };
        since(verb, version).map_err(failure)?;
        let mut config = Config::parse(version, map).map_err(failure)?;
        let prev_result = config.prev_result.take();
        let (netns, attachment) = (environment.netns.clone(), environment.attachment.clone());
        let command = command(environment, &mut config, prev_result.as_ref()).map_err(failure)?;
        let (command, config) = (Some(command), Some(Box::new(config)));
        Ok(Self { version, verb, command, netns, attachment, prev_result, config })
    }

    /// ADD's result in the call's own version, behind what `prevResult` has.
    ///
    /// # Errors
    /// `prevResult` is not of the shape it should be.
    pub fn result(&self, attached: &Attached) -> Result<Value, Refusal> {
        let shape = Shape {
            version: self.version,
            ifname: self.attachment.as_ref().map_or("", |attachment| attachment.ifname.as_str()),
            netns: self.netns.as_deref().unwrap_or_default(),
            dns: self.config.as_ref().and_then(|config| config.dns.as_ref()),
            prev_result: self.prev_result.as_ref(),
        };
        success_json(shape, attached)
    }
}

/// VERSION: the input is an object with `cniVersion`, or nothing at all; a version we do not speak is exactly what it is asked for.
fn version(stdin: &[u8]) -> Result<Invocation, Refusal> {
    let version = match config::decode(stdin) {
        Ok((version, _)) => version,
        Err(error) if stdin.is_empty() || error.code == Code::INCOMPATIBLE_VERSION => SpecVersion::LATEST,
        Err(error) => return Err(error),
    };
    Ok(Invocation {
        version,
        verb: Verb::Version,
        command: None,
        netns: None,
        attachment: None,
        prev_result: None,
        config: None,
    })
}

/// Is the verb part of the version?
fn since(verb: Verb, version: SpecVersion) -> Result<(), Refusal> {
    let first = match verb {
        Verb::Add | Verb::Del | Verb::Version => SpecVersion::V0_3_1,
        Verb::Check => SpecVersion::V0_4_0,
        Verb::Status | Verb::Gc => SpecVersion::V1_1_0,
    };
    if version >= first {
        return Ok(());
    }
    let msg = format!("{verb} is not part of cniVersion {version}");
    Err(Refusal::new(Code::INCOMPATIBLE_VERSION, msg).because(format_args!("it is since {first}")))
}

fn command(
    environment: Environment,
    config: &mut Config,
    prev_result: Option<&Map<String, Value>>,
) -> Result<Command, Refusal> {
    let args = Args::parse(&environment.args)?;
    let network = config.network.clone();
    let netns = environment.netns.unwrap_or_default();
    // The environment has one for exactly these verbs.
    let attachment = || {
        environment
            .attachment
            .clone()
            .ok_or_else(|| Refusal::new(Code::INTERNAL, "the attachment is missing"))
    };
    Ok(match environment.verb {
        Verb::Add => Command::Add(Box::new(add(attachment()?, netns, config, args)?)),
        Verb::Del => Command::Del(Del { attachment: attachment()?, network }),
        Verb::Check => {
            let attachment = attachment()?;
            let Some(prev) = prev_result else {
                return Err(Refusal::new(Code::INVALID_CONFIG, "prevResult: CHECK needs the result of ADD"));
            };
            let expected = Some(result::addresses_of(prev, &attachment.ifname)?);
            Command::Check(Check { attachment, netns, expected })
        }
        Verb::Gc => Command::Gc(Gc { network, valid: config.valid_attachments.take() }),
        Verb::Status | Verb::Version => Command::Status,
    })
}

fn add(attachment: Attachment, netns: String, config: &Config, args: Args) -> Result<Add, Refusal> {
    let addresses: AddressRequest = requested(config, &args)?;
    let mac: Option<Mac> = mac(config, &args)?;
    let pod: Option<PodId> = args.pod;
    let (host_ports, bandwidth) = (host_ports(&config.runtime)?, bandwidth(&config.runtime)?);
    let (network, mtu) = (config.network.clone(), config.mtu);
    Ok(Add { attachment, network, netns, pod, mtu, mac, addresses, host_ports, bandwidth })
}
