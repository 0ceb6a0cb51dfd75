//! Cairn's objects as text: one stream, or one file each, laid out as a directory store is.

use std::path::Path;

use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, IpPool, IpReservation, IpamConfiguration, NodeConfiguration,
};
use cairn_api::{Kind, load};
use serde_json::{Value, json};

use super::calico::{Annotated, Annotations, Translated};
use crate::Error;
use crate::output::Output;

/// All objects, one after the other.
pub(super) fn stream(objects: &[Translated], output: &mut Output) -> Result<(), Error> {
    if !output.is_json() {
        return output.line(text(objects)?.trim_end());
    }
    objects.iter().try_for_each(|object| output.json(&manifest(object)?.0))
}

/// All objects as documents of YAML.
pub(super) fn text(objects: &[Translated]) -> Result<String, Error> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&yaml(&manifest(object)?.0)?);
    }
    Ok(text)
}

/// One file for each object: `<plural>/<name>.yaml`.
pub(super) fn directory(objects: &[Translated], root: &Path, output: &mut Output) -> Result<(), Error> {
    let failed = |path: &Path, source| Error::File { path: path.display().to_string(), source };
    std::fs::create_dir_all(root).map_err(|source| failed(root, source))?;
    if std::fs::read_dir(root).map_err(|source| failed(root, source))?.next().is_some() {
        let what = "it is not empty, and what is in it may not be of this dump";
        return Err(Error::Answer(format!("{}: {what}", root.display())));
    }
    for object in objects {
        let (value, plural, name) = manifest(object)?;
        let path = root.join(plural).join(format!("{name}.yaml"));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
        }
        std::fs::write(&path, yaml(&value)?).map_err(|source| failed(&path, source))?;
        if !output.is_json() {
            output.line(path.display())?;
        }
    }
    Ok(())
}

fn yaml(value: &Value) -> Result<String, Error> {
    load::value_to_yaml(value).map_err(Error::Answer)
}

/// An object, its kind's plural and its name.
fn manifest(object: &Translated) -> Result<(Value, &'static str, &str), Error> {
    Ok(match object {
        Translated::Reservation(o) => (serde_json::to_value(o)?, IpReservation::PLURAL, o.name()),
        Translated::Ipam(o) => (serde_json::to_value(o)?, IpamConfiguration::PLURAL, o.name()),
        Translated::Filter(o) => (serde_json::to_value(o)?, BgpFilter::PLURAL, o.name()),
        Translated::Configuration(o) => (serde_json::to_value(o)?, BgpConfiguration::PLURAL, o.name()),
        Translated::NodeConfiguration(o) => (serde_json::to_value(o)?, NodeConfiguration::PLURAL, o.name()),
        Translated::Peer(o) => (serde_json::to_value(o)?, BgpPeer::PLURAL, o.name()),
        Translated::Annotations(annotations) => patch(annotations),
        Translated::Pool(o) => (serde_json::to_value(o)?, IpPool::PLURAL, o.name()),
    })
}

/// What `kubectl apply` adds to an object that is there.
fn patch(annotations: &Annotations) -> (Value, &'static str, &str) {
    let (kind, plural) = match annotations.on {
        Annotated::Node => ("Node", "nodes"),
        Annotated::Namespace => ("Namespace", "namespaces"),
    };
    let metadata = json!({ "name": annotations.name, "annotations": annotations.annotations });
    (json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata }), plural, &annotations.name)
}
