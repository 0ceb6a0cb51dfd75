use super::*;
use crate::core::{Node, Secret};
use crate::kinds::{
    Bfd, BgpConfiguration, BgpFilter, BgpPeer, EgressGateway, IpPool, NodeConfiguration, PrefixLimitAction,
};

const POOL: &str = "\
apiVersion: cairn.network/v1alpha1
kind: IPPool
metadata:
  name: default
spec:
  cidr: 10.0.0.0/16
";

fn error<K: Kind>(text: &str) -> String {
    object::<K>("f.yaml", text).unwrap_err().to_string()
}

#[test]
fn an_object_survives_its_text() {
    let pool: Object<IpPool> = object("f.yaml", POOL).unwrap();
    assert_eq!(pool.spec, IpPool::of("10.0.0.0/16".parse().unwrap()));
    assert_eq!(object("f.yaml", &to_yaml(&pool).unwrap()), Ok(pool));
}

#[test]
fn a_fault_of_form_names_file_line_column_path_and_rule() {
    for (from, to, expected) in [
        (
            "10.0.0.0/16",
            "10.0.0.1/16",
            "f.yaml:6:9: spec.cidr: \"10.0.0.1/16\" is not a valid prefix: bits beyond",
        ),
        ("cidr:", "cird:", "f.yaml:6:3: spec: unknown field `cird`, expected one of `cidr`"),
        ("  name:", "  nam:", "f.yaml:4:3: metadata: unknown field `nam`"),
        ("spec:", "spek:", "f.yaml:5:1: unknown field `spek`"),
        ("IPPool", "BGPPeer", "f.yaml:2:7: kind: \"BGPPeer\" is not what is wanted here: IPPool"),
        ("v1alpha1", "v2", "f.yaml:1:13: apiVersion: \"cairn.network/v2\" is not"),
        ("metadata:\n  name: default\n", "", "missing field `metadata`"),
        ("  name: default", "  name: a\n  name: b", "f.yaml:4:3: metadata: duplicate field `name`"),
        ("kind: IPPool", "kind: []", "f.yaml:2:7: kind: invalid type: sequence, expected IPPool"),
        ("  name: default", "  name: 'default", "f.yaml:7:1: found unexpected end of stream"),
    ] {
        let text = POOL.replacen(from, to, 1);
        let found = error::<IpPool>(&text);
        assert!(found.contains(expected), "{found}\n  wanted {expected}");
    }
}

#[test]
fn a_selector_is_parsed_when_it_is_read() {
    let text = format!("{POOL}  nodeSelector: rack = 'a'\n");
    let found = error::<IpPool>(&text);
    assert!(found.starts_with("f.yaml:7:17: spec.nodeSelector: "), "{found}");
    assert!(
        found.ends_with("at character 6: ==, !=, in, not in, contains, starts with or ends with"),
        "{found}"
    );
}

#[test]
fn all_violated_rules_are_told_at_once() {
    let text = "apiVersion: cairn.network/v1alpha1\nkind: BGPPeer\nmetadata: {name: Tor}\n\
                spec: {node: n1, nodeSelector: all(), peerIP: 0.0.0.0, ttlSecurity: 0}\n";
    let LoadError::Invalid { faults, .. } = object::<BgpPeer>("f.yaml", text).unwrap_err() else { panic!() };
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    let expected = ["metadata.name", "spec.nodeSelector", "spec.asNumber", "spec.peerIP", "spec.ttlSecurity"];
    assert_eq!(paths, expected);
}

#[test]
fn bfd_outside_its_ranges_is_refused_by_field_value_and_rule() {
    let peer = |bfd: &str| {
        let text = format!(
            "apiVersion: cairn.network/v1alpha1\nkind: BGPPeer\nmetadata: {{name: tor}}\n\
             spec: {{peerIP: 192.0.2.1, asNumber: 65001, bfd: {bfd}}}\n"
        );
        object::<BgpPeer>("f.yaml", &text).map(|peer| peer.spec.bfd)
    };
    for (bfd, expected) in [
        ("{minTxInterval: 49ms}", "spec.bfd.minTxInterval: \"49ms\": 50ms to 60s"),
        ("{minRxInterval: 1m1ms}", "spec.bfd.minRxInterval: \"1m1ms\": 50ms to 60s"),
        ("{multiplier: 0}", "spec.bfd.multiplier: \"0\": 1 to 255"),
        ("{multiplier: 256}", "spec.bfd.multiplier: invalid value: integer `256`, expected u8"),
        ("{minTxInterval: 300}", "spec.bfd.minTxInterval: "),
        ("{interval: 300ms}", "spec.bfd: unknown field `interval`, expected one of `minTxInterval`"),
    ] {
        let found = peer(bfd).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}\n  wanted {expected}");
    }
    assert_eq!(peer("{}").unwrap(), Some(Bfd::default()));
    let edges = peer("{minTxInterval: 50ms, minRxInterval: 60s, multiplier: 255}").unwrap().unwrap();
    assert_eq!((edges.multiplier, edges.multihop, edges.strict), (Some(255), None, false));

    let text = "apiVersion: cairn.network/v1alpha1\nkind: BGPConfiguration\nmetadata: {name: default}\n\
                spec: {nodeMeshBfd: {minTxInterval: 1ms, multiplier: 0}}\n";
    let LoadError::Invalid { faults, .. } = object::<BgpConfiguration>("f.yaml", text).unwrap_err() else {
        panic!()
    };
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["spec.nodeMeshBfd.minTxInterval", "spec.nodeMeshBfd.multiplier"]);
}

#[test]
fn a_limit_of_prefixes_is_in_its_ranges_and_nothing_of_it_stands_alone() {
    let peer = |limit: &str| {
        let text = format!(
            "apiVersion: cairn.network/v1alpha1\nkind: BGPPeer\nmetadata: {{name: tor}}\n\
             spec: {{peerIP: 192.0.2.1, asNumber: 65001, {limit}}}\n"
        );
        object::<BgpPeer>("f.yaml", &text).map(|peer| peer.spec).map_err(|error| error.to_string())
    };
    let idle = "maxPrefixes: 4294967295, maxPrefixesWarning: 100, maxPrefixesAction: Idle, maxPrefixesRestartTime: 65535s";
    assert_eq!(peer(idle).unwrap().max_prefixes_action, Some(PrefixLimitAction::Idle));
    assert!(peer("maxPrefixes: 1, maxPrefixesAction: Warn, maxPrefixesWarning: 1").is_ok());
    for (limit, expected) in [
        ("maxPrefixes: 0", "spec.maxPrefixes: \"0\": 1 to 4294967295"),
        ("maxPrefixes: 1, maxPrefixesWarning: 0", "spec.maxPrefixesWarning: \"0\": 1 to 100 percent"),
        ("maxPrefixes: 1, maxPrefixesWarning: 101", "spec.maxPrefixesWarning: \"101\": 1 to 100 percent"),
        ("maxPrefixes: 1, maxPrefixesRestartTime: 0s", "spec.maxPrefixesRestartTime: \"0s\": whole seconds"),
        ("maxPrefixes: 1, maxPrefixesRestartTime: 1500ms", "whole seconds, 1s to 65535s"),
        ("maxPrefixes: 1, maxPrefixesRestartTime: 65536s", "whole seconds, 1s to 65535s"),
        ("maxPrefixes: 1, maxPrefixesAction: Restart", "expected `Idle` or `Warn`"),
        ("maxPrefixesWarning: 80", "spec.maxPrefixesWarning: \"80\": only together with spec.maxPrefixes"),
        ("maxPrefixesAction: Warn", "spec.maxPrefixesAction: \"Warn\": only together with spec.maxPrefixes"),
        ("maxPrefixesRestartTime: 5m", "spec.maxPrefixesRestartTime: \"5m\": only together with"),
        (
            "maxPrefixes: 1, maxPrefixesAction: Warn, maxPrefixesRestartTime: 30s",
            "spec.maxPrefixesRestartTime: \"30s\": not together with spec.maxPrefixesAction Warn",
        ),
    ] {
        let found = peer(limit).unwrap_err();
        assert!(found.contains(expected), "{found}\n  wanted {expected}");
    }
}

#[test]
fn a_peer_is_an_address_an_interface_or_nodes() {
    let faults = |spec: &str| -> Vec<String> {
        let text = format!(
            "apiVersion: cairn.network/v1alpha1\nkind: BGPPeer\nmetadata: {{name: tor}}\nspec: {spec}\n"
        );
        match object::<BgpPeer>("f.yaml", &text) {
            Ok(_) => Vec::new(),
            Err(LoadError::Invalid { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    };
    assert!(faults("{interface: eth1, asNumber: 65001}").is_empty());
    assert!(faults("{interface: eth1, asNumber: external}").is_empty());
    assert!(faults("{peerIP: 192.0.2.1, asNumber: internal}").is_empty());
    for (spec, path, rule) in [
        (
            "{asNumber: 65001}",
            "spec.peerIP",
            "exactly one of spec.peerIP, spec.interface and spec.peerSelector",
        ),
        ("{peerIP: 192.0.2.1, interface: eth1, asNumber: 65001}", "spec.peerIP", "exactly one of"),
        ("{peerSelector: all(), interface: eth1}", "spec.interface", "exactly one of"),
        ("{interface: eth1, asNumber: 0}", "spec.asNumber", "1 to 4294967294"),
        ("{peerSelector: all(), asNumber: external}", "spec.asNumber", "not together with spec.peerSelector"),
        ("{interface: eth1}", "spec.asNumber", "required with spec.peerIP and spec.interface"),
        ("{interface: longer-than-15-bytes, asNumber: 65001}", "spec.interface", "1 to 15 bytes"),
        ("{interface: a/b, asNumber: 65001}", "spec.interface", "slash"),
    ] {
        let found = faults(spec);
        assert!(
            found.len() == 1 && found[0].starts_with(path) && found[0].contains(rule),
            "{spec}: {found:?}"
        );
    }
}

#[test]
fn fields_of_calico_that_are_not_supported_are_refused_by_name_and_rule() {
    let peer = |spec: &str| {
        let text = format!(
            "apiVersion: cairn.network/v1alpha1\nkind: BGPPeer\nmetadata: {{name: tor}}\n\
             spec: {{peerIP: 192.0.2.1, asNumber: 65001, {spec}}}\n"
        );
        error::<BgpPeer>(&text)
    };
    for (spec, expected) in [
        ("reachableBy: 192.0.2.9", "spec.reachableBy: \"192.0.2.9\": not supported: "),
        (
            "localWorkloadSelector: app == 'bgp'",
            "spec.localWorkloadSelector: \"app == 'bgp'\": not supported: ",
        ),
        ("reversePeering: Manual", "spec.reversePeering: \"Manual\": only together with spec.peerSelector"),
        (
            "reversePeering: Never",
            "spec.reversePeering: unknown variant `Never`, expected `Auto` or `Manual`",
        ),
        (
            "keepOriginalNextHop: true, nextHopMode: Self",
            "spec.keepOriginalNextHop: \"true\": means nextHopMode Keep",
        ),
    ] {
        let found = peer(spec);
        assert!(found.contains(expected), "{found}\n  wanted {expected}");
    }
    let filter = |rule: &str| {
        let text = format!(
            "apiVersion: cairn.network/v1alpha1\nkind: BGPFilter\nmetadata: {{name: f}}\n\
             spec: {{importV4: [{{action: Accept, {rule}}}]}}\n"
        );
        error::<BgpFilter>(&text)
    };
    for (rule, expected) in [
        ("interface: '*.calico'", "spec.importV4[0].interface: \"*.calico\": not supported: match by"),
        ("priority: 512", "spec.importV4[0].priority: \"512\": not supported: all of Cairn's routes"),
        (
            "operations: [{setPriority: {value: 512}}]",
            "spec.importV4[0].operations[0].setPriority.value: \"512\": not supported: all of Cairn's routes",
        ),
    ] {
        let found = filter(rule);
        assert!(found.contains(expected), "{found}\n  wanted {expected}");
    }
}

#[test]
fn foreign_kinds_keep_what_is_known_and_skip_the_rest() {
    let text = "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  novelty: 1\n  managedFields: [{a: 1}]\n  \
                annotations: {cairn.network/as-number: '65001'}\nspec: {podCIDR: 10.0.0.0/24, taints: null}\n\
                status: {addresses: [{type: InternalIP, address: 192.0.2.1}], nodeInfo: {x: y}}\n";
    let node: Object<Node> = object("f.yaml", text).unwrap();
    let (identity, faults) = node.claims().unwrap().identity(&[]);
    assert!(faults.is_empty(), "{faults}");
    assert_eq!(identity.asn, Some(cairn_net::Asn(65001)));
    assert_eq!(identity.ipv4.unwrap().addr.to_string(), "192.0.2.1");
    assert!(
        error::<Node>(&text.replace("'65001'", "'x'"))
            .contains("metadata.annotations[cairn.network/as-number]")
    );
}

#[test]
fn a_secret_is_read_inline_and_never_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: bgp, namespace: kube-system}\ntype: Opaque\n\
                data: {password: aHVudGVyMg==}\nstringData: {other: swordfish}\nimmutable: true\n";
    let secret: Object<Secret> = object("f.yaml", text).unwrap();
    assert_eq!(secret.spec.get("password"), Some(&b"hunter2"[..]));
    assert_eq!(secret.spec.get("other"), Some(&b"swordfish"[..]));
    assert_eq!(secret.spec.get("none"), None);
    let shown = format!("{secret:?}");
    assert!(!shown.contains("swordfish") && !shown.contains("104"), "{shown}");
    assert_eq!(object("f.yaml", &to_yaml(&secret).unwrap()), Ok(secret));
    let broken = error::<Secret>(&text.replace("aHVudGVyMg==", "hunter2!"));
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn a_file_of_several_documents_is_cut_and_lines_stay_right() {
    let text = format!("# two\n---\n{POOL}---\n# nothing\n---\n{}", POOL.replace("cidr", "cird"));
    let found = documents("f.yaml", &text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].type_meta().unwrap().kind, "IPPool");
    assert!(found[0].object::<IpPool>().is_ok());
    let found = found[1].object::<IpPool>().unwrap_err().to_string();
    assert!(found.starts_with("f.yaml:17:3: "), "{found}");
    assert_eq!(error::<IpPool>(&text), "f.yaml: 2 documents: exactly one object belongs in this file");
    assert_eq!(
        error::<IpPool>("# nothing\n"),
        "f.yaml: 0 documents: exactly one object belongs in this file"
    );
}

#[test]
fn neither_size_nor_aliases_nor_depth_exhaust_the_reader() {
    assert!(error::<IpPool>(&" ".repeat(MAX_SIZE + 1)).contains("a manifest has at most"));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{refs}]\n");
    }
    let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: n}}\nspec: {{}}\n{bomb}");
    let _refused_or_skipped = object::<Node>("f.yaml", &text);
    let spots = error::<IpPool>(&format!("{POOL}  x: {}", "[".repeat(100_000)));
    assert_eq!(spots, "f.yaml:7:106: nested too deeply: at most 100 levels");
    let dashes = error::<IpPool>(&format!("{POOL}  x:\n{}", "- ".repeat(100_000)));
    assert_eq!(dashes, "f.yaml:8:1: nested too deeply: at most 100 levels");
}

#[test]
fn sources_that_cannot_be_given_outside_are_refused_by_field_value_and_rule() {
    let configuration = |spec: &str| {
        error::<NodeConfiguration>(&format!(
            "apiVersion: cairn.network/v1alpha1\nkind: NodeConfiguration\nmetadata: {{name: default}}\nspec: {{{spec}}}\n"
        ))
    };
    for (spec, words) in [
        ("natOutgoingAddress: 'fd00::1'", "IPv4"),
        ("natOutgoingAddressV6: 192.0.2.1", "IPv6"),
        ("natOutgoingAddress: 127.0.0.1", "spec.natOutgoingAddress"),
        ("natOutgoingAddressV6: 'fe80::1'", "spec.natOutgoingAddressV6"),
        ("natPortRange: '9:8'", "not a valid range of ports"),
        ("natPortRange: '0:9'", "not a valid range of ports"),
        ("natOutgoingExclusions: Nodes", "IPPoolsAndHostIPs"),
        ("natOutgoingExcludedCIDRs: [10.0.0.1/8]", "10.0.0.1/8"),
        ("nodeAddressCIDRs: [10.0.0.1/8]", "10.0.0.1/8"),
    ] {
        let found = configuration(spec);
        assert!(found.contains(words), "{spec}: {found}");
    }
    let gateway = |spec: &str| {
        error::<EgressGateway>(&format!(
            "apiVersion: cairn.network/v1alpha1\nkind: EgressGateway\nmetadata: {{name: g}}\nspec: {{{spec}}}\n"
        ))
    };
    for (spec, words) in [
        ("egressIPs: []", "one address, or one of each family"),
        ("egressIPs: [192.0.2.1, 192.0.2.2]", "one address, or one of each family"),
        ("egressIPs: ['fe80::1']", "fe80::1"),
        ("egressIPs: [192.0.2.1], destinationCIDRs: ['2001:db8::/32']", "spec.destinationCIDRs"),
        ("egressIPs: [192.0.2.1], podSelector: 'a ='", "podSelector"),
        ("egressIPs: [192.0.2.1], addresses: []", "addresses"),
    ] {
        let found = gateway(spec);
        assert!(found.contains(words), "{spec}: {found}");
    }
}

#[test]
fn a_dump_has_any_number_of_objects_of_any_kind_in_either_form() {
    let kinds = |text: &str| -> Vec<String> {
        let found = dump("d", text).unwrap();
        found.iter().map(|document| document["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(kinds("kind: A\n---\n# nothing\n---\nkind: B\n"), ["A", "B"]);
    assert_eq!(kinds(r#"{"kind": "A"} {"kind": "B"}"#), ["A", "B"]);
    assert_eq!(kinds(""), [""; 0]);
    let found = |text: &str| dump("d", text).unwrap_err().to_string();
    assert!(found("{\"kind\":\n}").starts_with("d:2:1: "), "{}", found("{\"kind\":\n}"));
    assert!(found("a: 1\n---\na: [").starts_with("d:4:1: "), "{}", found("a: 1\n---\na: ["));
    assert!(found(&"[".repeat(1000)).contains("recursion limit"));
    assert!(found(&format!("a: {}", "[".repeat(1000))).contains("nested too deeply"));
}
