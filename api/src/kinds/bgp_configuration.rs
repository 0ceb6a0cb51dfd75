use std::collections::BTreeSet;

use cairn_net::{Asn, Prefix};
use serde::{Deserialize, Serialize};

use crate::{Community, Faults, GoDuration, Kind, Object, bounds, name};

/// BGP in the whole cluster. The one named `default` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BgpConfiguration {
    /// Does every node peer with every other one (those that are no route reflectors)? Default: true.
    pub node_to_node_mesh_enabled: bool,
    /// AS number of nodes that name none. Default: 64512.
    pub as_number: Asn,
    /// TCP port that nodes listen on. Range: 1 to 65535. Default: 179.
    pub listen_port: u16,
    /// TCP MD5 password of the mesh. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_mesh_password: Option<BgpPassword>,
    /// Graceful restart time of the mesh. Range: 0 to 4095 s. Default: 120 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_mesh_max_restart_time: Option<GoDuration>,
    /// BFD between the nodes of the mesh. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_mesh_bfd: Option<super::Bfd>,
    /// Names for communities, used in `prefixAdvertisements`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<NamedCommunity>,
    /// Communities to set on what nodes announce.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_advertisements: Vec<PrefixAdvertisement>,
    /// When a node counts as one that is being emptied, and what becomes of its routes then. Default: as each field says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<super::Drain>,
}

/// Where a password is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpPassword {
    /// A key of a Secret in Cairn's own namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

impl BgpPassword {
    pub(crate) fn validate(&self, path: &str, faults: &mut Faults) {
        let reference = &self.secret_key_ref;
        name::check(&reference.name, &format!("{path}.secretKeyRef.name"), faults);
        let key_is_valid = !reference.key.is_empty()
            && reference.key.len() <= 253
            && reference.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        faults.require(
            key_is_valid,
            format!("{path}.secretKeyRef.key"),
            &reference.key,
            "1 to 253 letters, digits, '-', '_' and '.'",
        );
    }
}

/// A name for a community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedCommunity {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Community,
}

/// Communities for what is announced inside a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrefixAdvertisement {
    /// The range.
    pub cidr: Prefix,
    /// Values, or names out of `communities`.
    #[serde(default)]
    pub communities: Vec<CommunityRef>,
}

/// A community by value or by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CommunityRef {
    /// By value.
    Value(Community),
    /// By a name out of `BGPConfiguration.spec.communities`.
    Name(String),
}

impl From<String> for CommunityRef {
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Name(text), Self::Value)
    }
}

impl From<CommunityRef> for String {
    fn from(reference: CommunityRef) -> Self {
        match reference {
            CommunityRef::Value(community) => community.to_string(),
            CommunityRef::Name(name) => name,
        }
    }
}

impl Default for BgpConfiguration {
    fn default() -> Self {
        Self {
            node_to_node_mesh_enabled: true,
            as_number: Asn(64512),
            listen_port: 179,
            node_mesh_password: None,
            node_mesh_max_restart_time: None,
            node_mesh_bfd: None,
            communities: Vec::new(),
            prefix_advertisements: Vec::new(),
            drain: None,
        }
    }
}

impl BgpConfiguration {
    /// The value of a community given by value or by name; `None` if the name is not known.
    pub fn community(&self, reference: &CommunityRef) -> Option<Community> {
        match reference {
            CommunityRef::Value(community) => Some(*community),
            CommunityRef::Name(name) => {
                self.communities.iter().find(|named| named.name == *name).map(|named| named.value)
            }
        }
    }
}

impl Kind for BgpConfiguration {
    type Status = super::ObjectStatus;
    const KIND: &'static str = "BGPConfiguration";
    const PLURAL: &'static str = "bgpconfigurations";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        let named = &object.metadata.name;
        faults.require(named == "default", "metadata.name", named, "there is only one, named default");
        faults.speaker_asn("spec.asNumber", Some(spec.as_number));
        faults.require(spec.listen_port != 0, "spec.listenPort", spec.listen_port, "1 to 65535");
        if let Some(password) = &spec.node_mesh_password {
            password.validate("spec.nodeMeshPassword", faults);
        }
        if let Some(bfd) = &spec.node_mesh_bfd {
            bfd.validate("spec.nodeMeshBfd", faults);
        }
        restart_time(spec.node_mesh_max_restart_time, "spec.nodeMeshMaxRestartTime", faults);
        if let Some(drain) = &spec.drain {
            drain.validate("spec.drain", faults);
        }
        faults.at_most("spec.communities", spec.communities.len(), bounds::LIST);
        let mut names = BTreeSet::new();
        for (index, community) in spec.communities.iter().enumerate() {
            let path = format!("spec.communities[{index}].name");
            let fits =
                !community.name.is_empty() && community.name.len() <= 64 && !community.name.contains(':');
            faults.require(fits, &path, &community.name, "1 to 64 characters without a colon");
            faults.require(names.insert(&community.name), &path, &community.name, "each name once");
        }
        faults.at_most("spec.prefixAdvertisements", spec.prefix_advertisements.len(), bounds::LIST);
        for (index, advertisement) in spec.prefix_advertisements.iter().enumerate() {
            let path = format!("spec.prefixAdvertisements[{index}].communities");
            faults.at_most(&path, advertisement.communities.len(), bounds::COMMUNITIES);
            for (at, reference) in advertisement.communities.iter().enumerate() {
                let text = String::from(reference.clone());
                let known = spec.community(reference).is_some();
                faults.require(
                    known,
                    format!("{path}[{at}]"),
                    text,
                    "aa:nn, aa:nn:mm, or a name out of spec.communities",
                );
            }
        }
    }
}

/// RFC 4724 section 3: the restart time has 12 bits.
pub(super) fn restart_time(time: Option<GoDuration>, path: &str, faults: &mut Faults) {
    if let Some(time) = time {
        let fits = time.get().as_secs() <= 4095 && time.get().subsec_millis() == 0;
        faults.require(fits, path, time, "whole seconds, 0s to 4095s");
    }
}
