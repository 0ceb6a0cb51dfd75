use cairn_net::Mac;

use super::*;

fn attached() -> Attached {
    Attached {
        host_ifname: "crn0123456789a".to_owned(),
        host_mac: felix_api::HOST_MAC,
        pod_mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1450,
        addresses: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        networks: Vec::new(),
    }
}

fn shape(version: SpecVersion) -> Shape<'static> {
    Shape { version, ifname: "eth0", netns: "/run/netns/p", dns: None, prev_result: None }
}

fn golden(name: &str, actual: &Value) {
    let path = format!("{}/testdata/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let actual = format!("{actual:#}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    assert_eq!(
        actual,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "{path}; UPDATE_GOLDEN=1 rewrites it"
    );
}

#[test]
fn each_version_has_its_format() {
    for version in SpecVersion::ALL {
        golden(&format!("add-{version}"), &success_json(shape(version), &attached()).unwrap());
    }
}

#[test]
fn an_address_of_the_underlay_says_its_subnet_and_its_router() {
    let network = |prefix_len, gateway: Option<&str>, has_default| Network {
        prefix_len,
        has_default,
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    let on_link = vec![network(24, Some("10.0.0.1"), true), network(64, None, false)];
    let result =
        success_json(shape(SpecVersion::V1_1_0), &Attached { networks: on_link, ..attached() }).unwrap();
    let ips = json!([
        { "address": "10.0.0.7/24", "gateway": "10.0.0.1", "interface": 1 },
        { "address": "fd00::7/64", "interface": 1 },
    ]);
    assert_eq!(result["ips"], ips);
    assert_eq!(result["routes"], json!([{ "dst": "0.0.0.0/0", "gw": "10.0.0.1" }]));

    let behind = vec![network(32, None, true), network(128, None, true)];
    let result =
        success_json(shape(SpecVersion::V1_1_0), &Attached { networks: behind, ..attached() }).unwrap();
    assert_eq!(result["routes"], json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]));
}

#[test]
fn a_previous_result_is_handed_on_with_ours_behind() {
    let prev = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "lo", "sandbox": "/run/netns/p", "socketPath": "/run/x" }],
        "ips": [{ "address": "127.0.0.1/8", "interface": 0 }],
        "dns": { "nameservers": ["10.0.0.1"] },
        "vendor": { "kept": true }
    });
    let shape = Shape { prev_result: prev.as_object(), ..shape(SpecVersion::V1_0_0) };
    golden("add-chained", &success_json(shape, &attached()).unwrap());
    let torn = json!({ "ips": {} });
    let shape = Shape { prev_result: torn.as_object(), ..shape };
    assert_eq!(success_json(shape, &attached()).unwrap_err().code, Code::DECODE);
}

#[test]
fn the_configurations_dns_is_in_the_result() {
    let dns = json!({ "nameservers": ["10.96.0.10"], "search": ["svc.cluster.local"] });
    let shape = Shape { dns: Some(&dns), ..shape(SpecVersion::V1_1_0) };
    assert_eq!(success_json(shape, &attached()).unwrap()["dns"], dns);
}

#[test]
fn the_containers_addresses_are_found_in_a_result() {
    for version in SpecVersion::ALL {
        let result = success_json(shape(version), &attached()).unwrap();
        let found = addresses_of(result.as_object().unwrap(), &"eth0".parse().unwrap()).unwrap();
        assert_eq!(found, attached().addresses);
        let other = addresses_of(result.as_object().unwrap(), &"eth1".parse().unwrap()).unwrap();
        assert!(other.is_empty());
    }
    let wild = json!({ "interfaces": 3, "ips": [{ "interface": 99999 }, 4, { "interface": -1 }] });
    assert!(addresses_of(wild.as_object().unwrap(), &"eth0".parse().unwrap()).is_err());
}

#[test]
fn an_error_has_version_code_message_and_details() {
    let refusal = Refusal::new(Code::TRY_AGAIN, "felix-lite does not answer").because("no such file");
    golden("error", &error_json(SpecVersion::V1_0_0, &refusal));
    golden("version", &versions_json(SpecVersion::V1_1_0));
}
