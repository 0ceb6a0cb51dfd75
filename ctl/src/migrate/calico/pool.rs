//! IPPool: fields of one name have one meaning.

use cairn_api::kinds::{AllowedUse, EncapMode, IpPool};
use serde_json::json;

use super::Options;
use super::document::Source;
use super::fields::{Fields, Reasons};
use super::ipam::Held;
use super::note::Outcome;
use super::translator::Translator;

const DROPPED: Reasons =
    &[("a field of Calico's first API, which Calico ignores", &["ipip", "nat-outgoing"])];

const CARRIED: &[&str] = &[
    "cidr",
    "blockSize",
    "ipipMode",
    "vxlanMode",
    "natOutgoing",
    "disabled",
    "disableBGPExport",
    "nodeSelector",
    "namespaceSelector",
    "allowedUses",
    "assignmentMode",
];

/// A pool, unless Cairn could give addresses out of it that pods of Calico's nodes have.
pub(super) fn pool(source: &Source, held: &Held, options: Options, to: &mut Translator) {
    let label = source.label();
    let mut fields = Fields::of(source, &mut to.notes);
    fields.drop_all(DROPPED);
    let Some(mut spec) = fields.carry::<IpPool>(CARRIED) else { return };
    let mut changed = |field: &str, value: serde_json::Value, rule: &str| {
        to.notes.add(Outcome::Changed, &label, field, super::fields::Shown(&value), rule);
    };
    if spec.vxlan_mode != EncapMode::Never {
        let rule = "Calico's nodes learn VXLAN's routes from Calico's own blocks: they do not reach pods of Cairn's nodes while \
                    both kinds of node are there. Move all nodes at once, or first to ipipMode or no encapsulation";
        changed("spec.vxlanMode", json!(spec.vxlan_mode), rule);
    }
    if spec.allowed_uses.contains(&AllowedUse::LoadBalancer) {
        let rule = "Cairn gives no addresses to Services yet: none of it is used for them";
        changed("spec.allowedUses", json!(spec.allowed_uses), rule);
    }
    if source.deleting && !spec.disabled {
        changed("metadata.deletionTimestamp", json!("set"), "it is being deleted in Calico: disabled here");
        spec.disabled = true;
    }
    if options.disable_pools && !spec.disabled {
        changed(
            "spec.disabled",
            json!(false),
            "disabled, as --disable-pools says: pods get their addresses from other pools",
        );
        spec.disabled = true;
    }
    if !spec.disabled && !may_be_used(&label, &spec, held, to) {
        return;
    }
    to.keep(source, spec);
}

/// Is it known which addresses of it are in use, and are there others?
fn may_be_used(label: &str, spec: &IpPool, held: &Held, to: &mut Translator) -> bool {
    if let Some(object) = held.refused() {
        let rule = format!(
            "{object} is refused, so nobody knows all addresses that are in use, and Cairn could give them again: mend it, or take \
             --disable-pools and give Cairn pools of its own"
        );
        to.notes.add(Outcome::Refused, label, "spec.cidr", spec.cidr, rule);
        return false;
    }
    if !held.is_known() {
        let rule = "the dump has no IPAMBlock, so nobody knows which of its addresses are in use: add those of crd.projectcalico.org \
                    (calicoctl prints none), or take --disable-pools and give Cairn pools of its own";
        to.notes.add(Outcome::Refused, label, "spec.cidr", spec.cidr, rule);
        return false;
    }
    let (taken, blocks) = (held.blocks_in(spec), blocks_of(spec));
    if taken >= blocks {
        let rule = format!(
            "Calico holds each of its {blocks} blocks: Cairn's nodes have nothing to claim until some are released, or in another pool"
        );
        to.notes.add(Outcome::ByHand, label, "spec.cidr", spec.cidr, rule);
    }
    true
}

fn blocks_of(pool: &IpPool) -> u128 {
    1u128.checked_shl(pool.block_len().saturating_sub(pool.cidr.len()).into()).unwrap_or(u128::MAX)
}
