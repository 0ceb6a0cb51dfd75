//! Inheritance: node before group before kind before defaults; lists are joined and maps merged, the nearer winning.

use std::collections::BTreeMap;

use super::file::{Body, Definition, Scalar};

/// The definitions that make up one node, the nearest first.
pub(super) struct Chain<'a> {
    layers: Vec<&'a Definition>,
}

impl<'a> Chain<'a> {
    /// Finds the layers of a node. A group or kind that is named and not described adds nothing.
    pub(super) fn new(body: &'a Body, node: Option<&'a Definition>) -> Self {
        let defaults = &body.defaults;
        let group_of = |definition: Option<&'a Definition>| definition.and_then(|it| it.group.as_deref());
        let named = |name: Option<&str>| name.and_then(|name| body.groups.get(name));
        let near_group = named(group_of(node));
        let kind_name = node
            .and_then(|it| it.kind.as_deref())
            .or_else(|| near_group.and_then(|it| it.kind.as_deref()))
            .or_else(|| named(group_of(Some(defaults))).and_then(|it| it.kind.as_deref()))
            .or(defaults.kind.as_deref());
        let kind = kind_name.and_then(|name| body.kinds.get(name));
        let group = named(group_of(node).or(group_of(kind)).or(group_of(Some(defaults))));
        Self { layers: [node, group, kind, Some(defaults)].into_iter().flatten().collect() }
    }

    /// The nearest value of a field.
    pub(super) fn nearest(&self, field: impl Fn(&'a Definition) -> Option<&'a String>) -> Option<String> {
        self.layers.iter().find_map(|layer| field(layer)).cloned()
    }

    /// All values of a list, the most general layer's first.
    pub(super) fn joined(&self, field: impl Fn(&'a Definition) -> &'a Vec<String>) -> Vec<String> {
        self.layers.iter().rev().flat_map(|layer| field(layer)).cloned().collect()
    }

    /// A map merged from all layers.
    pub(super) fn merged(
        &self,
        field: impl Fn(&'a Definition) -> &'a BTreeMap<String, Scalar>,
    ) -> BTreeMap<String, String> {
        let all = self.layers.iter().rev().flat_map(|layer| field(layer));
        all.map(|(key, value)| (key.clone(), value.text())).collect()
    }
}
