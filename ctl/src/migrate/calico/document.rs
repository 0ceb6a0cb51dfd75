//! Which objects a dump has: lists taken apart, both forms of Calico's API as one.
//!
//! `crd.projectcalico.org/v1` is what a cluster stores; labels and annotations that people gave are there inside of an annotation.
//! `projectcalico.org/v3` is what calicoctl and the aggregated API server print.

use std::collections::BTreeMap;

use cairn_api::Metadata;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::note::{Notes, Outcome};

/// The annotation in which a stored object has the metadata that people see.
const METADATA: &str = "projectcalico.org/metadata";

/// What a finding calls a document that is no object, or one without a name.
pub(super) const UNREAD: &str = "a document";

/// Annotations that tools made, and that mean nothing in another object.
const OF_TOOLS: [&str; 3] = ["kubectl.kubernetes.io/", "projectcalico.org/", "operator.tigera.io/"];

/// Whose kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Calico, in either form.
    Calico,
    /// Kubernetes' own, core or not.
    Kubernetes,
    /// The operator that installs Calico.
    Operator,
    /// Somebody else.
    Other,
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub(super) owner: Owner,
    /// The kind; that of v3 where the two forms differ.
    pub(super) kind: String,
    pub(super) name: String,
    /// Empty where the kind is not namespaced.
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Is it being deleted?
    pub(super) deleting: bool,
    pub(super) spec: Map<String, Value>,
}

impl Source {
    /// `kind name`, or `kind namespace/name`.
    pub(super) fn label(&self) -> String {
        let scope = if self.namespace.is_empty() { "" } else { "/" };
        format!("{} {}{scope}{}", self.kind, self.namespace, self.name)
    }

    /// Name, labels and annotations for the object that is made of it.
    pub(super) fn metadata(&self) -> Metadata {
        let of_tools = |key: &str| OF_TOOLS.iter().any(|prefix| key.starts_with(prefix));
        let mut metadata = Metadata::named(&self.name);
        metadata.labels.clone_from(&self.labels);
        let kept = self.annotations.iter().filter(|(key, _)| !of_tools(key));
        metadata.annotations = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        metadata
    }
}

/// The part of metadata that is used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<Value>,
}

/// All objects of a dump. One that is there twice and says the same counts once.
pub(super) fn sources(documents: Vec<Value>, notes: &mut Notes) -> Vec<Source> {
    let mut found: Vec<Source> = Vec::new();
    let mut seen: BTreeMap<(Owner, String, String, String), usize> = BTreeMap::new();
    let mut waiting = documents;
    waiting.reverse();
    while let Some(document) = waiting.pop() {
        match document {
            Value::Object(mut map) if is_list(&map) => {
                if let Some(Value::Array(mut items)) = map.remove("items") {
                    items.reverse();
                    waiting.extend(items);
                }
            }
            Value::Array(mut items) => {
                items.reverse();
                waiting.extend(items);
            }
            Value::Null => {}
            document => {
                let Some(source) = source(document, notes) else { continue };
                let key = (source.owner, source.kind.clone(), source.namespace.clone(), source.name.clone());
                match seen.get(&key).and_then(|at| found.get(*at)) {
                    None => {
                        seen.insert(key, found.len());
                        found.push(source);
                    }
                    Some(first) if first.spec == source.spec => {}
                    Some(_) => {
                        let rule = "there is another one of this name, which says something else and is the one taken: \
                                    leave one of them out";
                        notes.add(Outcome::Refused, &source.label(), "", "", rule);
                    }
                }
            }
        }
    }
    found
}

fn is_list(map: &Map<String, Value>) -> bool {
    map.get("items").is_some_and(Value::is_array)
        && map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
}

fn source(document: Value, notes: &mut Notes) -> Option<Source> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let refuse = |notes: &mut Notes, rule: &str| {
        let shown = if kind.is_empty() { document.to_string() } else { kind.clone() };
        notes.add(Outcome::Refused, UNREAD, "", shown, rule);
    };
    if version.is_empty() || kind.is_empty() {
        refuse(notes, "it has no apiVersion or no kind, so that nobody knows what it is");
        return None;
    }
    let head: Head = match document.get("metadata").map(Head::deserialize) {
        Some(Ok(head)) if !head.name.is_empty() => head,
        _ => {
            refuse(notes, "it has no metadata with a name");
            return None;
        }
    };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let owner = match group {
        "crd.projectcalico.org" | "projectcalico.org" => Owner::Calico,
        "operator.tigera.io" => Owner::Operator,
        "" | "apps" | "batch" | "networking.k8s.io" | "policy.networking.k8s.io" => Owner::Kubernetes,
        _ => Owner::Other,
    };
    let kind = match (owner, kind.as_str()) {
        (Owner::Calico, "IPAMConfig") => "IPAMConfiguration".to_owned(),
        _ => kind,
    };
    let spec = match document {
        Value::Object(mut map) => match map.remove("spec") {
            Some(Value::Object(spec)) => spec,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    let mut labels = head.labels.unwrap_or_default();
    let mut annotations = head.annotations.unwrap_or_default();
    if let Some(inner) =
        annotations.remove(METADATA).and_then(|text| serde_json::from_str::<Head>(&text).ok())
    {
        labels.extend(inner.labels.unwrap_or_default());
        annotations.extend(inner.annotations.unwrap_or_default());
    }
    Some(Source {
        owner,
        kind,
        name: head.name,
        namespace: head.namespace.unwrap_or_default(),
        labels,
        annotations,
        deleting: head.deletion_timestamp.is_some_and(|time| !time.is_null()),
        spec,
    })
}
