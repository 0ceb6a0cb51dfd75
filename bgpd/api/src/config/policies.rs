use std::collections::BTreeMap;

use cairn_net::{Asn, RouterId};
use serde::{Deserialize, Serialize};

use super::load::{load, refused, typed, unique_map};
use super::{AsPathEntry, CommunityPattern, Config, ConfigError, Filter, Name, PrefixRange};

/// Filters with the sets that they name: the part of a document that is about policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    default,
    expecting = "a map with prefixSets, communitySets, asPathSets and filters"
)]
pub struct Policies {
    /// The AS that prepends and replacements mean where they name none. Default: that of the daemon which is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_as: Option<Asn>,
    /// As in [`Config`].
    #[serde(deserialize_with = "unique_map")]
    pub prefix_sets: BTreeMap<Name, Vec<PrefixRange>>,
    /// As in [`Config`].
    #[serde(deserialize_with = "unique_map")]
    pub community_sets: BTreeMap<Name, Vec<CommunityPattern>>,
    /// As in [`Config`].
    #[serde(deserialize_with = "unique_map")]
    pub as_path_sets: BTreeMap<Name, Vec<AsPathEntry>>,
    /// As in [`Config`].
    #[serde(deserialize_with = "unique_map")]
    pub filters: BTreeMap<Name, Filter>,
}

impl From<&Config> for Policies {
    fn from(config: &Config) -> Self {
        Self {
            local_as: Some(config.local_as),
            prefix_sets: config.prefix_sets.clone(),
            community_sets: config.community_sets.clone(),
            as_path_sets: config.as_path_sets.clone(),
            filters: config.filters.clone(),
        }
    }
}

/// Reads and checks the policies of a text: a whole document of bgpd, or only its sets and filters.
///
/// # Errors
/// As [`load`].
pub fn load_policies(text: &str, source: &str) -> Result<Policies, ConfigError> {
    let whole = text.lines().any(|line| line.starts_with("routerId:"))
        || text.trim_start().starts_with("{\"routerId\"");
    if whole {
        return load(text, source).map(|config| Policies::from(&config));
    }
    let policies: Policies = typed(text, source)?;
    // Checked as the document that they would be part of.
    let mut config = Config::new(RouterId::new(1).expect("not 0"), policies.local_as.unwrap_or(Asn(64512)));
    config.prefix_sets.clone_from(&policies.prefix_sets);
    config.community_sets.clone_from(&policies.community_sets);
    config.as_path_sets.clone_from(&policies.as_path_sets);
    config.filters.clone_from(&policies.filters);
    refused(text, source, config.faults()).map_or(Ok(policies), Err)
}
