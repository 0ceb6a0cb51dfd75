//! What changes from one document to the next, in words.

use std::collections::BTreeMap;
use std::fmt::Display;

use bgpd_api::config::{Config, PeerOptions};
use serde_json::Value;

/// One line for each thing that is other than before. Passwords are named, never shown.
pub(crate) fn describe(old: Option<&Config>, new: &Config) -> Vec<String> {
    let Some(old) = old else {
        let speaker = format!("speaker: AS {}, router id {}", new.local_as, new.router_id);
        let neighbors = new.neighbors.iter().map(|neighbor| format!("neighbor {}: added", neighbor.address));
        let routes = new.originate.iter().map(|route| format!("originate {}: added", route.prefix));
        return std::iter::once(speaker).chain(neighbors).chain(routes).collect();
    };
    let mut lines = speaker(old, new);
    compare("prefixSets", &old.prefix_sets, &new.prefix_sets, &mut lines);
    compare("communitySets", &old.community_sets, &new.community_sets, &mut lines);
    compare("asPathSets", &old.as_path_sets, &new.as_path_sets, &mut lines);
    compare("filter", &old.filters, &new.filters, &mut lines);
    neighbors(old, new, &mut lines);
    let links = |config: &'_ Config| -> BTreeMap<_, _> {
        let with_options = config.interface_neighbors.iter().map(|of| (of, config.options_of_interface(of)));
        with_options.map(|(of, options)| (of.interface.clone(), options)).collect()
    };
    compare("interfaceNeighbor", &links(old), &links(new), &mut lines);
    let ranges = |config: &'_ Config| -> BTreeMap<_, _> {
        let with_options = config.listen_ranges.iter().map(|range| (range, config.options_of_range(range)));
        with_options.map(|(range, options)| (range.prefix, (range.clone(), options))).collect()
    };
    compare("listenRange", &ranges(old), &ranges(new), &mut lines);
    let routes = |config: &'_ Config| -> BTreeMap<_, _> {
        config.originate.iter().map(|route| (route.prefix, route.clone())).collect()
    };
    compare("originate", &routes(old), &routes(new), &mut lines);
    lines
}

/// What concerns the speaker as a whole, field by field.
fn speaker(old: &Config, new: &Config) -> Vec<String> {
    let head = |config: &Config| Config {
        prefix_sets: BTreeMap::new(),
        community_sets: BTreeMap::new(),
        as_path_sets: BTreeMap::new(),
        filters: BTreeMap::new(),
        peer_groups: BTreeMap::new(),
        listen_ranges: Vec::new(),
        interface_neighbors: Vec::new(),
        neighbors: Vec::new(),
        originate: Vec::new(),
        ..config.clone()
    };
    let fields = |config: &Config| serde_json::to_value(head(config)).unwrap_or_default();
    changed_fields(&fields(old), &fields(new))
        .into_iter()
        .map(|(field, old, new)| format!("{field}: {old} -> {new}"))
        .collect()
}

/// Neighbours with the options that hold for them, so that a changed peer group shows where it matters.
fn neighbors(old: &Config, new: &Config, lines: &mut Vec<String>) {
    let effective = |config: &Config| -> BTreeMap<_, _> {
        config.neighbors.iter().map(|neighbor| (neighbor.address, config.options_of(neighbor))).collect()
    };
    let (old, new) = (effective(old), effective(new));
    lines.extend(
        old.keys().filter(|addr| !new.contains_key(addr)).map(|addr| format!("neighbor {addr}: removed")),
    );
    for (addr, options) in &new {
        match old.get(addr) {
            None => lines.push(format!("neighbor {addr}: added")),
            Some(before) if before != options => {
                let changes = option_changes(before, options);
                lines.push(format!("neighbor {addr}: {}", changes.join(", ")));
            }
            Some(_) => {}
        }
    }
}

fn option_changes(old: &PeerOptions, new: &PeerOptions) -> Vec<String> {
    let fields = |options: &PeerOptions| serde_json::to_value(options).unwrap_or_default();
    changed_fields(&fields(old), &fields(new))
        .into_iter()
        .map(|(field, old, new)| match field.as_str() {
            "password" => "password changed".to_owned(),
            // It may hold a secret, too.
            "bfd" => "bfd changed".to_owned(),
            "tcpAo" => "tcpAo changed".to_owned(),
            _ => format!("{field} {old} -> {new}"),
        })
        .collect()
}

/// Fields that differ, with both values as JSON; `-` for a field that is not there.
fn changed_fields(old: &Value, new: &Value) -> Vec<(String, String, String)> {
    let empty = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let show = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
    let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
    fields.sort();
    fields.dedup();
    fields
        .into_iter()
        .filter(|field| old.get(*field) != new.get(*field))
        .map(|field| (field.clone(), show(old.get(field)), show(new.get(field))))
        .collect()
}

fn compare<K: Ord + Display, V: PartialEq>(
    what: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    lines: &mut Vec<String>,
) {
    lines.extend(old.keys().filter(|key| !new.contains_key(key)).map(|key| format!("{what} {key}: removed")));
    for (key, value) in new {
        match old.get(key) {
            None => lines.push(format!("{what} {key}: added")),
            Some(before) if before != value => lines.push(format!("{what} {key}: changed")),
            Some(_) => {}
        }
    }
}
