//! What a translation gathers, and the objects that come of it.

use std::collections::BTreeMap;

use cairn_api::core::Node;
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, IpPool, IpReservation, IpamConfiguration, NodeConfiguration,
};
use cairn_api::{Kind, Metadata, Object, annotation};

use super::document::Source;
use super::note::{Notes, Outcome};

/// One object of Cairn's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Translated {
    Reservation(Object<IpReservation>),
    Ipam(Object<IpamConfiguration>),
    Filter(Object<BgpFilter>),
    Configuration(Object<BgpConfiguration>),
    NodeConfiguration(Object<NodeConfiguration>),
    Peer(Object<BgpPeer>),
    Annotations(Annotations),
    Pool(Object<IpPool>),
}

/// Annotations that an object of Kubernetes gets, which is otherwise left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) on: Annotated,
    pub(crate) name: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What is annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Annotated {
    Node,
    Namespace,
}

macro_rules! from_object {
    ($($kind:ident => $variant:ident),* $(,)?) => {
        $(impl From<Object<$kind>> for Translated {
            fn from(object: Object<$kind>) -> Self {
                Self::$variant(object)
            }
        })*
    };
}

from_object! {
    IpReservation => Reservation,
    IpamConfiguration => Ipam,
    BgpFilter => Filter,
    BgpConfiguration => Configuration,
    NodeConfiguration => NodeConfiguration,
    BgpPeer => Peer,
    IpPool => Pool,
}

/// The translation so far.
#[derive(Debug, Default)]
pub(super) struct Translator {
    pub(super) notes: Notes,
    pub(super) objects: Vec<Translated>,
}

impl Translator {
    /// Keeps an object that Cairn's own rules allow; what breaks them is refused. True if it was kept.
    pub(super) fn keep<K: Kind>(&mut self, source: &Source, spec: K) -> bool
    where
        Translated: From<Object<K>>,
    {
        self.keep_as(&source.label(), source.metadata(), spec)
    }

    /// The same for an object that is made of something else than one of Calico's.
    pub(super) fn keep_as<K: Kind>(&mut self, label: &str, mut metadata: Metadata, spec: K) -> bool
    where
        Translated: From<Object<K>>,
    {
        metadata.annotations.insert(annotation::MIGRATED_FROM.to_owned(), super::CALICO.to_owned());
        let object = Object::new(metadata, spec);
        if let Err(faults) = object.validate() {
            for fault in faults.iter() {
                self.notes.add(Outcome::Refused, label, &fault.path, &fault.value, &fault.rule);
            }
            return false;
        }
        self.objects.push(object.into());
        true
    }

    /// Keeps annotations of a node, if they say who a node can be.
    pub(super) fn keep_node(&mut self, label: &str, name: &str, annotations: BTreeMap<String, String>) {
        if annotations.is_empty() {
            return;
        }
        let mut node = Object::new(Metadata::named(name), Node::default());
        node.metadata.annotations.clone_from(&annotations);
        if let Err(faults) = node.validate() {
            for fault in faults.iter() {
                self.notes.add(Outcome::Refused, label, &fault.path, &fault.value, &fault.rule);
            }
            return;
        }
        let name = name.to_owned();
        let made = Annotations { on: Annotated::Node, name, annotations };
        // A Node of Kubernetes and one of Calico's may say the same.
        if !self.objects.iter().any(|object| matches!(object, Translated::Annotations(a) if *a == made)) {
            self.objects.push(Translated::Annotations(made));
        }
    }
}

impl Translated {
    /// Its turn among all: what holds addresses back first, pools last, when everything that is said of them is there.
    pub(super) const fn turn(&self) -> u8 {
        match self {
            Self::Reservation(_) => 0,
            Self::Ipam(_) => 1,
            Self::Filter(_) => 2,
            Self::Configuration(_) => 3,
            Self::NodeConfiguration(_) => 4,
            Self::Annotations(_) => 5,
            Self::Peer(_) => 6,
            Self::Pool(_) => 7,
        }
    }
}
