//! Tests of reading topology files.

use std::path::Path;

use super::Topology;

const SMALL: &str = "
name: small
topology:
  defaults:
    env: {A: 1, B: defaults}
  kinds:
    linux:
      image: debian
      exec: [\"echo kind\"]
      env: {B: kind}
  groups:
    router:
      image: bird:2
      binds: [\"conf:/etc/bird/bird.conf:ro\", \"./x:/x\"]
      volumes: [\"store:/store\"]
  nodes:
    a: {kind: linux, group: router, env: {C: true}, exec: [\"echo a\"], startup-delay: 3}
    b: {kind: linux, binds: [\"/host/y:/x\"]}
  links:
    - endpoints: [\"a:eth1\", \"b:eth1\"]
      ipv4: [10.0.0.0/31, 10.0.0.1/31]
      mtu: 9000
    - type: veth
      endpoints:
        - {node: a, interface: eth2, mac: \"02:00:00:00:00:01\", ipv6: \"fd00::1/64\"}
        - {node: b, interface: eth2}
";

fn parse(text: &str) -> anyhow::Result<Topology> {
    Topology::parse(text, Path::new("/lab"))
}

fn refusal(text: &str) -> String {
    format!("{:#}", parse(text).expect_err("this file is wrong"))
}

#[test]
fn nearer_definitions_win_and_lists_join() {
    let topology = parse(SMALL).expect("the file is right");
    let (a, b) = (&topology.nodes["a"], &topology.nodes["b"]);
    assert_eq!((a.image.as_str(), b.image.as_str()), ("bird:2", "debian"));
    assert_eq!(a.exec, ["echo kind", "echo a"]);
    let env: Vec<_> = a.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(env, ["A=1", "B=kind", "C=true"]);
    assert_eq!(a.hostname, "a");
}

#[test]
fn binds_are_absolute_and_volumes_are_bare_names() {
    let topology = parse(SMALL).expect("the file is right");
    let binds = &topology.nodes["a"].binds;
    assert_eq!(binds[0].source, Path::new("/lab/conf"));
    assert!(binds[0].read_only && binds[0].volume().is_none());
    assert_eq!(binds[1].volume(), Some(Path::new("store")));
    assert_eq!(binds[2].source, Path::new("/lab/./x"));
    assert!(refusal(&SMALL.replace("store:/store", "/store:/store")).contains("bare name"));
    assert_eq!(topology.nodes["b"].binds[0].source, Path::new("/host/y"));
}

#[test]
fn both_forms_of_links_are_read() {
    let topology = parse(SMALL).expect("the file is right");
    assert_eq!(topology.links[0].ends[1].addresses, ["10.0.0.1/31"]);
    assert_eq!(topology.links[0].mtu, Some(9000));
    assert_eq!(topology.links[1].ends[0].addresses, ["fd00::1/64"]);
    assert_eq!(topology.links[1].ends[0].mac.as_deref(), Some("02:00:00:00:00:01"));
}

#[test]
fn keys_of_containerlab_without_a_use_are_reported() {
    assert_eq!(parse(SMALL).expect("the file is right").unused, ["node a: startup-delay"]);
}

#[test]
fn other_keys_are_refused_with_line_and_column() {
    let text = refusal(&SMALL.replace("startup-delay: 3", "imagee: x"));
    assert!(text.contains("imagee") && text.contains("line 17"), "{text}");
}

#[test]
fn links_name_known_nodes_and_free_interfaces() {
    assert!(refusal(&SMALL.replace("b:eth1", "c:eth1")).contains("no node `c`"));
    assert!(
        refusal(&SMALL.replace("interface: eth2, mac", "interface: eth1, mac")).contains("a:eth1 already")
    );
    assert!(refusal(&SMALL.replace("10.0.0.1/31", "10.0.0.1/33")).contains("0 to 32"));
    assert!(refusal(&SMALL.replace("b:eth1", "b:interface-too-long")).contains("1 to 15"));
}

#[test]
fn other_kinds_are_refused() {
    assert!(refusal(&SMALL.replace("b: {kind: linux", "b: {kind: nokia_srlinux")).contains("nokia_srlinux"));
}

#[test]
fn every_file_of_the_repository_is_read_without_a_remark() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("there are topologies") {
        let path = entry.expect("the directory can be read").path();
        if path.to_string_lossy().ends_with(".clab.yml") {
            let topology = Topology::load(&path).unwrap_or_else(|error| panic!("{error:#}"));
            assert!(topology.unused.is_empty(), "{}: {:?}", path.display(), topology.unused);
            count += 1;
        }
    }
    assert!(count >= 7, "{count} topologies");
}

#[test]
fn a_name_is_no_way_out_of_a_directory() {
    for good in ["cluster", "cluster-2", "a.b_C"] {
        assert!(super::check_name(good).is_ok(), "{good}");
    }
    for bad in ["", ".", "..", ".a", "a/b", "../a", "a+b", "a b"] {
        assert!(super::check_name(bad).is_err(), "{bad}");
    }
}
