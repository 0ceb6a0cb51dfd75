//! The topology file as it is written, one struct for each kind of YAML mapping.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

/// Whether a key that we have no use for is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present(pub(super) bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// Text where containerlab also takes a number or a boolean.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl Scalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
        }
    }
}

/// Declares a mapping: the keys we use, then the keys that containerlab has besides.
macro_rules! mapping {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* } unused { $($unused:ident)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
            $($unused: Present,)*
        }

        impl $name {
            /// The keys that are there and that the lab has no use for.
            pub(super) fn unused(&self) -> Vec<String> {
                let present: &[(&str, Present)] = &[$((stringify!($unused), self.$unused),)*];
                let present = present.iter().filter(|(_, present)| present.0);
                present.map(|(name, _)| name.trim_start_matches("r#").replace('_', "-")).collect()
            }
        }
    };
}

mapping! {
    /// The whole file.
    File {
        name: String,
        prefix: Option<String>,
        topology: Body,
    } unused { debug mgmt settings }
}

/// Below `topology`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Body {
    pub(super) defaults: Definition,
    pub(super) kinds: BTreeMap<String, Definition>,
    pub(super) groups: BTreeMap<String, Definition>,
    pub(super) nodes: BTreeMap<String, Option<Definition>>,
    pub(super) links: Vec<LinkEntry>,
}

mapping! {
    /// A node, or what a group, a kind or the defaults say of their nodes.
    Definition {
        kind: Option<String>,
        group: Option<String>,
        image: Option<String>,
        entrypoint: Option<String>,
        cmd: Option<String>,
        hostname: Option<String>,
        binds: Vec<String>,
        volumes: Vec<String>,
        exec: Vec<String>,
        env: BTreeMap<String, Scalar>,
        sysctls: BTreeMap<String, Scalar>,
        labels: BTreeMap<String, Scalar>,
    } unused {
        aliases auto_remove cap_add certificate cgroup_parent cgroupns_mode components config cpu cpu_set credentials
        devices dns enforce_startup_config env_files extras healthcheck image_pull_policy license link_apply_mode memory
        mgmt_ipv4 mgmt_ipv6 network_mode pid_mode ports privileged restart_policy runtime security_opts shm_size stages
        startup_config startup_delay suppress_startup_config tmpfs user r#type
    }
}

mapping! {
    /// A link in either form.
    LinkEntry {
        r#type: Option<String>,
        endpoints: Vec<EndpointEntry>,
        mtu: Option<u32>,
        ipv4: Vec<String>,
        ipv6: Vec<String>,
    } unused { vars labels }
}

/// One end of a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum EndpointEntry {
    /// `"node:interface"`
    Brief(String),
    /// The extended form.
    Extended(ExtendedEndpoint),
}

/// One end of a link in the extended form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtendedEndpoint {
    pub(super) node: String,
    pub(super) interface: String,
    pub(super) mac: Option<String>,
    pub(super) ipv4: Option<String>,
    pub(super) ipv6: Option<String>,
    #[serde(default, rename = "vars")]
    _vars: Present,
}
