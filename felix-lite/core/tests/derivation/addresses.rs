//! Which of several addresses a node has.

use cairn_api::kinds::NodeConfiguration;
use cairn_api::{Metadata, Object};
use felix_core::{Reason, Update};

use crate::sessions::addresses;
use crate::world::{Reader, complete, derived, node, node_with_internal, prefix};

fn chosen(name: &str, nodes: &str, ranges: &[&str]) -> Update {
    let spec = NodeConfiguration {
        node_selector: nodes.parse().unwrap(),
        node_address_cidrs: Some(ranges.iter().map(|range| prefix(range)).collect()),
        ..NodeConfiguration::default()
    };
    let object = Object::new(Metadata::named(name), spec);
    Update::NodeConfiguration(name.to_owned(), Some(Box::new(object)))
}

/// Addresses of all nodes are of these ranges.
pub(crate) fn choosing(ranges: &[&str]) -> Update {
    chosen("addresses", "all()", ranges)
}

fn me() -> Update {
    node("a", &["192.0.2.1"], &[])
}

fn said(reader: &Reader) -> Vec<String> {
    reader.conditions.keys().map(ToString::to_string).collect()
}

#[test]
fn a_node_with_several_addresses_has_no_session_until_one_is_chosen() {
    let other = || node_with_internal("b", &["10.0.0.2", "192.0.2.2", "10.0.0.2", "fe80::2"]);
    let (mut state, mut reader) = (complete(), Reader::default());
    let mut after = |fact: Update| {
        state.apply(fact);
        reader.read(&mut state);
        reader.clone()
    };
    after(me());
    let fault = "Node/b: AddressUnknown: status.addresses: \"10.0.0.2, 192.0.2.2\": several InternalIPs of ipv4, so none is \
                 used: annotate the Node with cairn.network/ipv4-address, or choose by nodeAddressCIDRs of a NodeConfiguration";
    let found = after(other());
    assert_eq!((addresses(&found), said(&found)), (vec![], vec![fault.to_owned()]));

    let found = after(choosing(&["192.0.2.0/24"]));
    assert_eq!((addresses(&found), said(&found)), (vec!["192.0.2.2".to_owned()], vec![]));
    assert_eq!(found, derived([choosing(&["192.0.2.0/24"]), other(), me()]));

    let found = after(choosing(&["10.0.0.0/8"]));
    assert_eq!(addresses(&found), ["10.0.0.2"]);

    let found = after(Update::NodeConfiguration("addresses".to_owned(), None));
    assert_eq!((addresses(&found), said(&found)), (vec![], vec![fault.to_owned()]));
    let found = after(node("b", &["192.0.2.2"], &[]));
    assert_eq!((addresses(&found), said(&found)), (vec!["192.0.2.2".to_owned()], vec![]));
}

#[test]
fn an_address_that_cannot_be_chosen_keeps_the_other_family_and_is_said_of_the_node_itself_once() {
    let found =
        derived([node_with_internal("a", &["10.0.0.1", "192.0.2.1"]), node("b", &["192.0.2.2"], &[])]);
    assert_eq!(addresses(&found), [""; 0]);
    assert!(found.has_condition(Reason::AddressUnknown, "Node/a: AddressUnknown: status.addresses"));
    assert_eq!(said(&found).len(), 1, "{:?}", said(&found));

    let found = derived([
        node_with_internal("a", &["10.0.0.1", "192.0.2.1", "2001:db8::1"]),
        node("b", &["192.0.2.2", "2001:db8::2"], &[]),
    ]);
    assert_eq!(addresses(&found), ["2001:db8::2"]);
}

#[test]
fn ranges_are_those_of_the_configuration_that_is_for_the_node() {
    let other = |name: &str, last: u8| {
        node_with_internal(name, &[&format!("10.0.0.{last}"), &format!("192.0.2.{last}")])
    };
    let found = derived([
        me(),
        other("b", 2),
        other("c", 3),
        chosen("default", "all()", &["10.0.0.0/8"]),
        chosen("rack", "name == 'c'", &["192.0.2.0/24"]),
    ]);
    assert_eq!(addresses(&found), ["10.0.0.2", "192.0.2.3"]);
    let nowhere = derived([me(), other("b", 2), choosing(&["172.16.0.0/12"])]);
    assert!(
        nowhere.has_condition(Reason::AddressUnknown, "no InternalIP of ipv4 is inside of nodeAddressCIDRs")
    );
}
