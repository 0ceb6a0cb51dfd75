use std::collections::BTreeMap;

use super::*;

fn parse(json: &str) -> Result<Config, Refusal> {
    let (version, map) = decode(json.as_bytes())?;
    Config::parse(version, map)
}

/// A configuration of the latest version with these keys beside the required ones.
fn with(keys: &str) -> Result<Config, Refusal> {
    parse(&format!(r#"{{"cniVersion":"1.1.0","name":"pods","type":"cairn-cni",{keys}}}"#))
}

fn wishes(keys: &str, args: &str) -> Result<felix_api::AddressRequest, Refusal> {
    requested(&with(keys)?, &crate::args::Args::parse(args)?)
}

#[test]
fn nothing_but_version_and_name_is_required() {
    let config = with(r#""other": {"x": 1}, "ipam": {}"#).unwrap();
    assert_eq!(config.socket.to_str(), Some(DEFAULT_SOCKET));
    assert_eq!((config.mtu, config.log_level, config.network.as_str()), (None, Level::Warn, "pods"));
}

#[test]
fn versions_out_of_range_are_incompatible() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "1.2.0", "2.0.0", "", "1.1"] {
        let error = parse(&format!(r#"{{"cniVersion":"{version}","name":"pods"}}"#)).unwrap_err();
        assert_eq!(error.code, Code::INCOMPATIBLE_VERSION, "{version}");
    }
    assert_eq!(parse(r#"{"name":"pods"}"#).unwrap_err().code, Code::INCOMPATIBLE_VERSION);
}

#[test]
fn what_is_not_the_json_it_should_be_does_not_decode() {
    for bad in ["", "{", "[]", "null", r#"{"cniVersion":1}"#] {
        assert_eq!(parse(bad).unwrap_err().code, Code::DECODE, "{bad}");
    }
    for bad in [
        r#""mtu":"1500""#,
        r#""mtu":-1"#,
        r#""socket":7"#,
        r#""ipam":[]"#,
        r#""ipam":{"ipv4_pools":"a"}"#,
        r#""ipam":{"assign_ipv4":1}"#,
        r#""runtimeConfig":{"mac":3}"#,
        r#""dns":{"search":"a"}"#,
        r#""cni.dev/valid-attachments":{}"#,
    ] {
        assert_eq!(with(bad).unwrap_err().code, Code::DECODE, "{bad}");
    }
}

#[test]
fn a_value_that_breaks_a_rule_is_named_with_it() {
    for (bad, key, value) in [
        (r#""mtu":67"#, "mtu", "67"),
        (r#""mtu":65536"#, "mtu", "65536"),
        (r#""socket":"cni.sock""#, "socket", "cni.sock"),
        (r#""log_level":"loud""#, "log_level", "loud"),
        (r#""ipam":{"ipv4_pools":["a b"]}"#, "ipam.ipv4_pools", "a b"),
        (r#""ipam":{"assign_ipv4":false,"assign_ipv6":"false"}"#, "ipam.assign_ipv6", "false"),
        (r#""runtimeConfig":{"mac":"01:00:00:00:00:00"}"#, "runtimeConfig.mac", "01:00"),
    ] {
        let error = with(bad).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG, "{bad}");
        assert!(error.msg.contains(key) && error.msg.contains(value), "{error}");
    }
    for name in ["", "-a", "a/b", &"x".repeat(254)] {
        let error = parse(&format!(r#"{{"cniVersion":"1.0.0","name":"{name}"}}"#)).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG, "{name}");
    }
}

#[test]
fn a_stranger_in_ipam_is_refused_with_key_and_value() {
    let error = with(r#""ipam":{"ipv4_pool":["a"]}"#).unwrap_err();
    assert_eq!(error.code, Code::UNSUPPORTED_FIELD);
    assert!(error.msg.contains("ipam.ipv4_pool") && error.msg.contains(r#"["a"]"#), "{error}");
    let error = with(r#""ipam":{"type":"host-local"}"#).unwrap_err();
    assert_eq!(error.code, Code::UNSUPPORTED_FIELD);
    assert!(error.msg.contains("ipam.type") && error.msg.contains("host-local"), "{error}");
}

#[test]
fn families_are_those_said_or_the_others() {
    let families = |keys: &str| wishes(&format!(r#""ipam":{{{keys}}}"#), "").unwrap().families;
    assert_eq!(families(""), None);
    assert_eq!(families(r#""assign_ipv4":"true""#), Some(vec![Family::Ipv4]));
    assert_eq!(families(r#""assign_ipv4":false"#), Some(vec![Family::Ipv6]));
    assert_eq!(families(r#""assign_ipv4":true,"assign_ipv6":true"#), Some(Family::ALL.to_vec()));
}

#[test]
fn the_nearest_wish_for_an_address_counts() {
    let runtime = r#""ips":["10.0.0.1/24","fd00::1"]"#;
    let annotation = r#""io.kubernetes.cri.pod-annotations":{"cairn.network/ip-addresses":"[\"10.0.0.2\"]"}"#;
    let args = r#""args":{"cni":{"ips":["10.0.0.3"]}}"#;
    let first = |keys: &str| wishes(keys, "IP=10.0.0.4").unwrap().addresses[0].to_string();
    assert_eq!(first(&format!(r#""runtimeConfig":{{{runtime},{annotation}}},{args}"#)), "10.0.0.1");
    assert_eq!(first(&format!(r#""runtimeConfig":{{{annotation}}},{args}"#)), "10.0.0.2");
    assert_eq!(first(args), "10.0.0.3");
    assert_eq!(first(r#""x":1"#), "10.0.0.4");
    assert_eq!(wishes(r#""runtimeConfig":{"portMappings":[]}"#, "").unwrap().addresses.len(), 0);
    for two in [r#"["10.0.0.1","10.0.0.2"]"#, r#"["10.0.0.300"]"#] {
        let error = wishes(&format!(r#""runtimeConfig":{{"ips":{two}}}"#), "").unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
    }
}

#[test]
fn the_nearest_wish_for_a_mac_address_counts() {
    let annotation = |value: &str| {
        format!(r#""io.kubernetes.cri.pod-annotations":{{"cairn.network/mac-address":{value}}}"#)
    };
    let wish = |runtime: &str, args: &str| {
        let config = with(&format!(r#""runtimeConfig":{{{runtime}}}"#))?;
        mac(&config, &crate::args::Args::parse(args)?).map(|mac| mac.map(|mac| mac.to_string()))
    };
    let (own, of_args) = (annotation(r#""02:00:00:00:00:02""#), "MAC=02:00:00:00:00:03");
    let all = format!(r#""mac":"02:00:00:00:00:01",{own}"#);
    assert_eq!(wish(&all, of_args).unwrap().as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(wish(&own, of_args).unwrap().as_deref(), Some("02:00:00:00:00:02"));
    assert_eq!(wish("", of_args).unwrap().as_deref(), Some("02:00:00:00:00:03"));
    assert_eq!(wish("", "").unwrap(), None);
    for (bad, code) in [(r#""01:00:00:00:00:00""#, Code::INVALID_CONFIG), ("7", Code::DECODE)] {
        let refusal = wish(&annotation(bad), "").unwrap_err();
        assert_eq!(refusal.code, code, "{bad}");
        assert!(refusal.to_string().contains("cairn.network/mac-address"), "{refusal}");
    }
}

#[test]
fn what_a_pods_annotation_says_nothing_of_is_left_to_namespace_and_configuration() {
    let ipam = r#""ipam":{"ipv4_pools":["a"],"ipv6_pools":["b"]}"#;
    let annotation = |value: &str| {
        format!(
            r#""runtimeConfig":{{"io.kubernetes.cri.pod-annotations":{{"cairn.network/ipv4-pools":{value}}}}}"#
        )
    };
    let asked = wishes(&format!("{ipam},{}", annotation(r#""[\"c\",\"10.0.0.0/16\"]""#)), "").unwrap();
    assert_eq!(asked.pools, ["c", "10.0.0.0/16"]);
    assert_eq!(asked.configured, BTreeMap::from([(Family::Ipv6, vec!["b".to_owned()])]));
    let none = wishes(&format!("{ipam},{}", annotation(r#""[]""#)), "").unwrap();
    assert_eq!((none.pools, none.configured), (vec![], asked.configured), "an empty list is an answer, too");
    let silent = wishes(ipam, "").unwrap();
    let both = [(Family::Ipv4, vec!["a".to_owned()]), (Family::Ipv6, vec!["b".to_owned()])];
    assert_eq!((silent.pools, silent.configured), (vec![], BTreeMap::from(both)));
    for (bad, code) in [(r#""c""#, Code::INVALID_CONFIG), ("7", Code::DECODE)] {
        assert_eq!(wishes(&annotation(bad), "").unwrap_err().code, code, "{bad}");
    }
}

#[test]
fn valid_attachments_are_validated() {
    let config = with(r#""cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]"#).unwrap();
    assert_eq!(config.valid_attachments.unwrap()[0].to_string(), "c/eth0");
    let error = with(r#""cni.dev/valid-attachments":[{"containerID":"/","ifname":"eth0"}]"#).unwrap_err();
    assert_eq!(error.code, Code::INVALID_CONFIG);
}

use cairn_net::Family;
