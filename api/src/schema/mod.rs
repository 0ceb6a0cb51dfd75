//! CustomResourceDefinitions: what an API server is told of our kinds, so that it refuses, defaults and prints as Cairn would.
//!
//! - Fields, types, defaults and descriptions come from the types themselves, by `schemars`.
//! - [`Resource`] adds per kind what types cannot say: bounds, rules between fields (CEL), columns, short names.
//! - [`structural`] turns a JSON schema into the structural form that API servers take.
//!
//! Whatever stands here says again what [`Kind::validate`] says; a test offers the same objects to both. Only rules on how an object may
//! change are the API server's alone. Not part of the daemons: only the feature `schema` builds it.

mod kinds;
mod refine;
pub mod structural;
mod text;

use std::any::TypeId;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressMembers, IpPool, IpReservation,
    IpamBlock, IpamConfiguration, NodeConfiguration, NodeStatus, WireguardPeer,
};
use crate::{GROUP_VERSION, Kind, NoStatus, Object};

pub use refine::Refinement;

/// A column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// Where its value is.
    pub path: &'static str,
    /// `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// Is it shown with `-o wide` only?
    pub wide: bool,
}

/// What an API server is told of a kind besides its types.
pub trait Resource: Kind<Status: JsonSchema> + JsonSchema {
    /// Names to type in place of the plural.
    const SHORT_NAMES: &'static [&'static str];
    /// What `kubectl get` shows between name and age.
    const COLUMNS: &'static [Column];

    /// Adds bounds, and rules between fields.
    fn refine(schema: &mut Refinement<'_>);
}

/// Why there is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A kind of another group.
    #[error("{0} is not of the group of Cairn's own kinds")]
    Group(&'static str),
    /// A refinement speaks of a field that the kind does not have.
    #[error("{kind}: there is no field {path}")]
    NoField {
        /// The kind.
        kind: &'static str,
        /// The field's path.
        path: String,
    },
    /// It cannot be written.
    #[error("{kind}: {reason}")]
    Text {
        /// The kind.
        kind: &'static str,
        /// What the writer says.
        reason: String,
    },
}

/// Name and text of the manifest of every kind, in the order of their names.
///
/// # Errors
/// See [`SchemaError`]: the tables of a kind contradict its types.
pub fn manifests() -> Result<Vec<(String, String)>, SchemaError> {
    let mut all = vec![
        manifest::<BgpConfiguration>()?,
        manifest::<BgpFilter>()?,
        manifest::<BgpPeer>()?,
        manifest::<BlockAffinity>()?,
        manifest::<EgressGateway>()?,
        manifest::<EgressMembers>()?,
        manifest::<IpPool>()?,
        manifest::<IpReservation>()?,
        manifest::<IpamBlock>()?,
        manifest::<IpamConfiguration>()?,
        manifest::<NodeConfiguration>()?,
        manifest::<NodeStatus>()?,
        manifest::<WireguardPeer>()?,
    ];
    all.sort();
    Ok(all)
}

fn manifest<K: Resource>() -> Result<(String, String), SchemaError> {
    let definition = definition::<K>()?;
    let text = crate::load::value_to_yaml(&definition)
        .map_err(|reason| SchemaError::Text { kind: K::KIND, reason })?;
    Ok((format!("{}.yaml", K::PLURAL), text))
}

/// The CustomResourceDefinition of a kind.
///
/// # Errors
/// See [`SchemaError`].
pub fn definition<K: Resource>() -> Result<Value, SchemaError> {
    let (group, version) = GROUP_VERSION
        .split_once('/')
        .filter(|_| K::API_VERSION == GROUP_VERSION)
        .ok_or(SchemaError::Group(K::KIND))?;
    let mut served = json!({
        "name": version,
        "served": true,
        "storage": true,
        "schema": { "openAPIV3Schema": object::<K>()? },
        "additionalPrinterColumns": columns::<K>(),
    });
    if has_status::<K>() {
        served["subresources"] = json!({ "status": {} });
    }
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{group}", K::PLURAL) },
        "spec": {
            "group": group,
            "scope": if K::NAMESPACED { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": K::KIND,
                "listKind": format!("{}List", K::KIND),
                "plural": K::PLURAL,
                "singular": K::KIND.to_lowercase(),
                "shortNames": K::SHORT_NAMES,
                "categories": ["cairn"],
            },
            "versions": [served],
        },
    }))
}

fn has_status<K: Kind>() -> bool {
    TypeId::of::<K::Status>() != TypeId::of::<NoStatus>()
}

/// The schema of the whole object.
fn object<K: Resource>() -> Result<Value, SchemaError> {
    let mut spec = schema_of::<K>();
    // The type's documentation is that of the kind: `kubectl explain` shows it for the object and for its spec.
    let description = spec["description"].clone();
    let mut required = Vec::new();
    if is_complete_without_spec::<K>() {
        // So that defaults inside are filled in also where somebody leaves all of it out.
        spec["default"] = json!({});
    } else {
        required.push("spec");
    }
    let mut properties = Map::from_iter([
        ("apiVersion".to_owned(), json!({ "type": "string" })),
        ("kind".to_owned(), json!({ "type": "string" })),
        ("metadata".to_owned(), json!({ "type": "object" })),
        ("spec".to_owned(), spec),
    ]);
    if has_status::<K>() {
        let mut status = schema_of::<K::Status>();
        structural::as_reported(&mut status);
        properties.insert("status".to_owned(), status);
    }
    let mut schema = json!({ "type": "object", "description": description, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let mut refinement = Refinement::new(&mut schema);
    K::refine(&mut refinement);
    match refinement.into_missing() {
        Some(path) => Err(SchemaError::NoField { kind: K::KIND, path }),
        None => Ok(schema),
    }
}

/// Is an object of nothing but a name a valid one?
fn is_complete_without_spec<K: Resource>() -> bool {
    let bare = json!({ "apiVersion": K::API_VERSION, "kind": K::KIND, "metadata": { "name": "default" } });
    serde_json::from_value::<Object<K>>(bare).is_ok_and(|object| object.validate().is_ok())
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    structural::rewrite(&mut schema);
    schema
}

fn columns<K: Resource>() -> Vec<Value> {
    let age = Column { name: "Age", path: ".metadata.creationTimestamp", kind: "date", wide: false };
    let shown = K::COLUMNS.iter().chain([&age]);
    shown
        .map(|column| {
            let mut value = json!({ "name": column.name, "type": column.kind, "jsonPath": column.path });
            if column.wide {
                value["priority"] = json!(1);
            }
            value
        })
        .collect()
}

#[cfg(test)]
mod tests;
