//! The parameters in the environment (specification section 2, "Parameters").
//!
//! `CNI_PATH` is not read: nothing is delegated to another plugin, so nothing is looked up there.

use std::ffi::OsString;
use std::fmt;

use felix_api::{Attachment, Code, ContainerId, IfName, Refusal};

use crate::limits::MAX_VARIABLE;

/// What the runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Connect a container.
    Add,
    /// Disconnect it.
    Del,
    /// Is it connected as it was?
    Check,
    /// Could one be connected?
    Status,
    /// Forget all containers but these.
    Gc,
    /// Which versions are spoken?
    Version,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 6] = [Self::Add, Self::Del, Self::Check, Self::Status, Self::Gc, Self::Version];

    /// As in `CNI_COMMAND`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
        }
    }

    /// Is it about one attachment?
    pub const fn names_attachment(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }

    /// Must there be a namespace? DEL must work without.
    pub const fn needs_netns(self) -> bool {
        matches!(self, Self::Add | Self::Check)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The parameters, validated as far as the verb needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub verb: Verb,
    /// `CNI_CONTAINERID` and `CNI_IFNAME`, where the verb is about one attachment.
    pub attachment: Option<Attachment>,
    /// `CNI_NETNS`: an absolute path; never `None` for ADD and CHECK.
    pub netns: Option<String>,
    /// `CNI_ARGS`, not yet taken apart.
    pub args: String,
}

impl Environment {
    /// Reads the parameters through `variable`, which stands for the process's environment.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Refusal> {
        let get = |name: &str| text(name, variable(name));
        let command = get("CNI_COMMAND")?;
        let verb = match command.as_deref() {
            None => return Err(missing(&["CNI_COMMAND"])),
            Some(command) => Verb::ALL
                .into_iter()
                .find(|verb| verb.as_str() == command)
                .ok_or_else(|| bad("CNI_COMMAND", format_args!("{command:?} is not a command of CNI")))?,
        };
        let mut environment = Self { verb, attachment: None, netns: None, args: String::new() };
        if verb.names_attachment() {
            let (container, ifname) = (get("CNI_CONTAINERID")?, get("CNI_IFNAME")?);
            environment.netns = get("CNI_NETNS")?;
            environment.args = get("CNI_ARGS")?.unwrap_or_default();
            environment.attachment = Some(attachment(
                container.as_deref(),
                ifname.as_deref(),
                verb.needs_netns() && environment.netns.is_none(),
            )?);
            if let Some(path) = environment.netns.as_deref().filter(|path| !path.starts_with('/')) {
                return Err(bad("CNI_NETNS", format_args!("{path:?} is not an absolute path")));
            }
        }
        Ok(environment)
    }
}

/// A variable's value; an empty one counts as unset, as in libcni.
fn text(name: &str, value: Option<OsString>) -> Result<Option<String>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.into_string().map_err(|_| bad(name, format_args!("not UTF-8")))?;
    if text.len() > MAX_VARIABLE {
        return Err(bad(name, format_args!("{} bytes: at most {MAX_VARIABLE} are allowed", text.len())));
    }
    Ok(Some(text))
}

fn attachment(container: Option<&str>, ifname: Option<&str>, no_netns: bool) -> Result<Attachment, Refusal> {
    let (Some(container), Some(ifname), false) = (container, ifname, no_netns) else {
        let absent = [
            ("CNI_CONTAINERID", container.is_none()),
            ("CNI_NETNS", no_netns),
            ("CNI_IFNAME", ifname.is_none()),
        ];
        let names: Vec<&str> = absent.into_iter().filter_map(|(name, gone)| gone.then_some(name)).collect();
        return Err(missing(&names));
    };
    let container: ContainerId = container.parse().map_err(|error| bad("CNI_CONTAINERID", error))?;
    let ifname: IfName = ifname.parse().map_err(|error| bad("CNI_IFNAME", error))?;
    Ok(Attachment { container, ifname })
}

fn missing(names: &[&str]) -> Refusal {
    Refusal::new(
        Code::INVALID_ENVIRONMENT,
        format!("required environment variables are missing: {}", names.join(", ")),
    )
}

fn bad(name: &str, why: impl fmt::Display) -> Refusal {
    Refusal::new(Code::INVALID_ENVIRONMENT, format!("the environment variable {name} is not valid"))
        .because(why)
}

#[cfg(test)]
mod tests;
