//! `ipam`, and the other places from which a pod's wishes about addresses come.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_net::{Family, Mac};
use felix_api::value::{list_in_text, pools, pools_in_text};
use felix_api::{AddressRequest, Refusal};
use serde_json::{Map, Value};

use super::Config;
use super::fields::{self, Fields};
use crate::args::{ADDRESS_RULE, Args, MAC_RULE, address, unicast};

/// The capability by which containerd and CRI-O hand over a pod's annotations.
const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// The annotations read from there: JSON lists of strings. By family, as [`Family::ALL`] has them.
const POOL_ANNOTATIONS: [&str; 2] = ["cairn.network/ipv4-pools", "cairn.network/ipv6-pools"];
const ADDRESS_ANNOTATION: &str = "cairn.network/ip-addresses";
/// The annotation with a MAC address.
const MAC_ANNOTATION: &str = "cairn.network/mac-address";

/// The object `ipam` of the configuration. Its keys are those that Calico's plugin knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ipam {
    /// `assign_ipv4` and `assign_ipv6`; `None`: not said.
    assign: [Option<bool>; 2],
    /// `ipv4_pools` and `ipv6_pools`: names or CIDRs.
    pools: [Vec<String>; 2],
}

impl Ipam {
    pub(super) fn parse(map: Map<String, Value>) -> Result<Self, Refusal> {
        let mut fields = Fields::new("ipam", map);
        if let Some(kind) = fields.text("type")?.filter(|kind| kind != "cairn") {
            let msg = format!("the key ipam.type with the value {kind:?} is not supported");
            return Err(Refusal::new(felix_api::Code::UNSUPPORTED_FIELD, msg)
                .because("addresses come from Cairn's own pools: leave it out, or write \"cairn\""));
        }
        let ipam = Self {
            assign: [fields.boolean("assign_ipv4")?, fields.boolean("assign_ipv6")?],
            pools: [
                pools("ipam.ipv4_pools", fields.take("ipv4_pools"))?,
                pools("ipam.ipv6_pools", fields.take("ipv6_pools"))?,
            ],
        };
        fields.end()?;
        if ipam.assign == [Some(false); 2] {
            return Err(fields::invalid(
                "ipam.assign_ipv6",
                false,
                "a pod needs an address of one family at least",
            ));
        }
        Ok(ipam)
    }

    /// The families to assign: those said to be, or, where only a no is said, the others.
    fn families(&self) -> Option<Vec<Family>> {
        let yes = self.assign.contains(&Some(true));
        let wanted = |assign: Option<bool>| if yes { assign == Some(true) } else { assign != Some(false) };
        self.assign.iter().any(Option::is_some).then(|| {
            Family::ALL
                .into_iter()
                .zip(self.assign)
                .filter_map(|(family, assign)| wanted(assign).then_some(family))
                .collect()
        })
    }
}

/// What ADD asks for. Exact addresses come from the first of: `runtimeConfig.ips`, the pod's annotation, `args.cni.ips`, `CNI_ARGS`;
/// pools from the pod's annotations. Where these say nothing `ipam` counts, if the pod's namespace, which felix-lite knows, says nothing either.
pub(crate) fn requested(config: &Config, args: &Args) -> Result<AddressRequest, Refusal> {
    let annotation = |key: &str| annotation(config, key);
    let (mut own, mut configured) = (Vec::new(), BTreeMap::new());
    for ((family, key), pools) in Family::ALL.into_iter().zip(POOL_ANNOTATIONS).zip(&config.ipam.pools) {
        match annotation(key) {
            Some(value) => own.extend(pools_in_text(key, text_of(key, value)?)?),
            None => drop(configured.insert(family, pools.clone())),
        }
    }
    let addresses = if let Some(value) = config.runtime.get("ips") {
        addresses("runtimeConfig.ips", value.clone())?
    } else if let Some(value) = annotation(ADDRESS_ANNOTATION) {
        let text = text_of(ADDRESS_ANNOTATION, value)?;
        addresses(ADDRESS_ANNOTATION, list_in_text(ADDRESS_ANNOTATION, text)?)?
    } else if let Some(value) = &config.args_ips {
        addresses("args.cni.ips", value.clone())?
    } else {
        args.ip.into_iter().collect()
    };
    Ok(AddressRequest { families: config.ipam.families(), pools: own, configured, addresses })
}

/// The MAC address that ADD asks for: of the first of `runtimeConfig.mac`, the pod's annotation, `CNI_ARGS`.
pub(crate) fn mac(config: &Config, args: &Args) -> Result<Option<Mac>, Refusal> {
    let annotated = annotation(config, MAC_ANNOTATION);
    match annotated.filter(|_| config.mac.is_none()) {
        Some(value) => unicast_mac(MAC_ANNOTATION, text_of(MAC_ANNOTATION, value)?).map(Some),
        None => Ok(config.mac.or(args.mac)),
    }
}

/// A MAC address that somebody wrote.
pub(super) fn unicast_mac(path: &str, text: &str) -> Result<Mac, Refusal> {
    unicast(text).ok_or_else(|| fields::invalid(path, text, MAC_RULE))
}

/// The value of a pod's annotation.
fn annotation<'a>(config: &'a Config, key: &str) -> Option<&'a Value> {
    config.runtime.get(POD_ANNOTATIONS)?.as_object()?.get(key)
}

/// An annotation's value is text.
fn text_of<'a>(key: &str, value: &'a Value) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| fields::wrong_type(key, value, "a string"))
}

fn addresses(path: &str, value: Value) -> Result<Vec<IpAddr>, Refusal> {
    let mut found: Vec<IpAddr> = Vec::new();
    for text in fields::texts(path, Some(value))? {
        let addr = address(&text).ok_or_else(|| fields::invalid(path, &text, ADDRESS_RULE))?;
        if found.iter().any(|other| Family::of(*other) == Family::of(addr)) {
            return Err(fields::invalid(path, &text, "at most one address of a family"));
        }
        found.push(addr);
    }
    Ok(found)
}
