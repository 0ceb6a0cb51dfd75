//! The guide's manifests are what the reader takes.

use cairn_api::core::{Node, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, EgressGateway, IpPool, IpReservation, IpamConfiguration,
    NodeConfiguration, WireguardPeer,
};
use cairn_api::load::{LoadError, documents};

#[test]
fn every_object_of_the_guide_is_valid() {
    let file = "docs/guide/objects.yaml";
    let documents = documents(file, include_str!("../../docs/guide/objects.yaml")).unwrap();
    assert_eq!(documents.len(), 14);
    for document in documents {
        let checked: Result<(), LoadError> = match document.type_meta().unwrap().kind.as_str() {
            "IPPool" => document.object::<IpPool>().map(drop),
            "IPReservation" => document.object::<IpReservation>().map(drop),
            "IPAMConfiguration" => document.object::<IpamConfiguration>().map(drop),
            "BGPConfiguration" => document.object::<BgpConfiguration>().map(drop),
            "BGPPeer" => document.object::<BgpPeer>().map(drop),
            "BGPFilter" => document.object::<BgpFilter>().map(drop),
            "NodeConfiguration" => document.object::<NodeConfiguration>().map(drop),
            "WireguardPeer" => document.object::<WireguardPeer>().map(drop),
            "EgressGateway" => document.object::<EgressGateway>().map(drop),
            "Node" => document.object::<Node>().map(|node| drop(node.spec)),
            "Secret" => document.object::<Secret>().map(drop),
            kind => panic!("{kind} has no reader here"),
        };
        checked.unwrap();
    }
}
