use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Faults, Object};

/// The `apiVersion` of our own kinds.
pub const GROUP_VERSION: &str = "cairn.network/v1alpha1";

/// A kind of object. The implementing type is the object's `spec`.
pub trait Kind: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What `status` holds; [`NoStatus`] where the kind has none.
    type Status: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// `apiVersion`.
    const API_VERSION: &'static str = GROUP_VERSION;
    /// `kind`.
    const KIND: &'static str;
    /// The plural in paths, lower case; unique among all kinds.
    const PLURAL: &'static str;
    /// Do objects live in a namespace?
    const NAMESPACED: bool = false;
    /// Are unknown fields refused? True for our own kinds.
    const STRICT: bool = true;
    /// Is nothing used of it but its metadata? Then a store need not hand out more.
    const METADATA_ONLY: bool = false;
    /// Do the fields stand beside `metadata` instead of inside `spec`? True for Secret.
    const INLINE: bool = false;

    /// The value of a field that a store can select objects by, such as `spec.nodeName`.
    fn field<'a>(object: &'a Object<Self>, path: &str) -> Option<&'a str> {
        match path {
            "metadata.name" => Some(&object.metadata.name),
            "metadata.namespace" => Some(&object.metadata.namespace),
            _ => None,
        }
    }

    /// Checks what the types cannot express. Paths start with `metadata`, `spec` or `status`.
    fn validate(object: &Object<Self>, faults: &mut Faults);
}

/// The status of a kind that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NoStatus {}
