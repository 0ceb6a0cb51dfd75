//! From Calico's objects to Cairn's. Pure: documents in, objects and findings out.
//!
//! | Calico | Cairn | where |
//! |---|---|---|
//! | IPPool | IPPool | [`pool`] |
//! | IPAMConfiguration (IPAMConfig), IPReservation | the same | [`ipam`] |
//! | IPAMBlock, BlockAffinity, IPAMHandle | one IPReservation, or several where it is too long | [`ipam`] |
//! | BGPConfiguration, BGPPeer, BGPFilter | the same | [`bgp`] |
//! | FelixConfiguration | NodeConfiguration | [`felix`] |
//! | annotations of a Node, Node of Calico's API | annotations of the Node | [`node`] |
//! | annotations of a Namespace, of pods | annotations; findings | [`workload`] |
//!
//! Rules: a field that is neither carried over nor named by a finding does not exist; an object that would say less than it did about what
//! is held back (a filter without a rule, a peer without its filter, a pool without what is in use) is refused as a whole; what is made
//! passes Cairn's own validation. The same dump has the same result.

mod bgp;
mod document;
mod felix;
mod fields;
mod ipam;
mod node;
mod note;
mod pool;
#[cfg(test)]
mod tests;
mod translator;
mod workload;

use std::collections::BTreeSet;

use serde_json::Value;

use document::{Owner, Source};
use ipam::Held;
pub(super) use ipam::holds_blocks;
use note::Notes;
pub(super) use note::{Note, Outcome};
use translator::Translator;
pub(super) use translator::{Annotated, Annotations, Translated};

/// The value of the annotation on what is made of Calico's objects.
pub(super) const CALICO: &str = "calico";

/// How to translate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// Are pools disabled in Cairn, so that its pods get addresses of other ones?
    pub(super) disable_pools: bool,
}

/// What came of a dump.
#[derive(Debug)]
pub(super) struct Translation {
    /// Cairn's objects, in the order in which a cluster is to have them: what holds addresses back before the pools.
    pub(super) objects: Vec<Translated>,
    /// What there is to say, in the order of the dump.
    pub(super) notes: Vec<Note>,
}

/// Kinds of Calico that are reports, or made anew.
const MADE: [(&str, &str); 4] = [
    ("CalicoNodeStatus", "a report; Cairn's is NodeStatus"),
    ("ClusterInformation", "a report on Calico itself"),
    ("WorkloadEndpoint", "made anew for each pod"),
    ("KubeControllersConfiguration", "for Calico's own controllers"),
];

const POLICY: &str = "network policies are not carried yet, and Cairn enforces none: what it forbids is allowed on Cairn's nodes";

/// Translates all documents of a dump.
pub(super) fn translate(documents: Vec<Value>, options: Options) -> Translation {
    let mut to = Translator { notes: Notes::default(), objects: Vec::new() };
    let sources = document::sources(documents, &mut to.notes);
    let of = |kind: &'static str| {
        sources.iter().filter(move |source| source.owner == Owner::Calico && source.kind == kind)
    };
    let mut held = Held::default();
    for source in ipam::HOLDING.into_iter().flat_map(of) {
        held.read(source, &mut to);
    }
    held.reserve(&mut to);
    for source in of("IPAMConfiguration") {
        ipam::configuration(source, &mut held, &mut to);
    }
    let filters: BTreeSet<String> =
        of("BGPFilter").filter_map(|source| bgp::filter(source, &mut to)).collect();
    for source in &sources {
        match source.owner {
            Owner::Calico => of_calico(source, &filters, &held, options, &mut to),
            Owner::Kubernetes => of_kubernetes(source, &held, options, &mut to),
            Owner::Operator => {
                let rule = "the operator makes Calico's objects of it, and undoes what is changed in them: change it there";
                to.notes.add(Outcome::ByHand, &source.label(), "", "", rule);
            }
            Owner::Other => {
                to.notes.add(Outcome::Dropped, &source.label(), "", "", "not Calico's: not looked at");
            }
        }
    }
    let in_use =
        to.objects.iter().any(|object| matches!(object, Translated::Pool(pool) if !pool.spec.disabled));
    held.finish(in_use, &mut to);
    to.objects.sort_by_key(Translated::turn);
    Translation { objects: to.objects, notes: to.notes.0 }
}

fn of_calico(
    source: &Source,
    filters: &BTreeSet<String>,
    held: &Held,
    options: Options,
    to: &mut Translator,
) {
    match source.kind.as_str() {
        // Read before, for others depend on them.
        "IPAMBlock" | "BlockAffinity" | "IPAMHandle" | "IPAMConfiguration" | "BGPFilter" => {}
        "IPPool" => pool::pool(source, held, options, to),
        "IPReservation" => ipam::reservation(source, to),
        "BGPConfiguration" => bgp::configuration(source, to),
        "BGPPeer" => bgp::peer(source, filters, to),
        "FelixConfiguration" => felix::configuration(source, to),
        "Node" => node::of_calico(source, to),
        "NetworkPolicy"
        | "GlobalNetworkPolicy"
        | "Tier"
        | "Profile"
        | "HostEndpoint"
        | "NetworkSet"
        | "GlobalNetworkSet" => to.notes.add(Outcome::Dropped, &source.label(), "", "", POLICY),
        kind if kind.starts_with("Staged") => to.notes.add(Outcome::Dropped, &source.label(), "", "", POLICY),
        kind => {
            let known = MADE.iter().find(|(made, _)| *made == kind);
            let rule = known.map_or("a kind that this version of cairnctl does not know", |(_, rule)| *rule);
            to.notes.add(Outcome::Dropped, &source.label(), "", "", rule);
        }
    }
}

fn of_kubernetes(source: &Source, held: &Held, options: Options, to: &mut Translator) {
    match source.kind.as_str() {
        "Node" => node::annotated(source, to),
        "Namespace" => workload::namespace(source, options, to),
        kind if kind.ends_with("NetworkPolicy") => {
            to.notes.add(Outcome::Dropped, &source.label(), "", "", POLICY);
        }
        _ => workload::pod(source, held, to),
    }
}
