use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use cairn_cni::{Environment, Invocation, Verb};
use cairn_net::Mac;
use felix_api::{Attached, Command, HOST_MAC, Request, encode};

/// The variables, in the order of the input's fields.
const VARIABLES: [&str; 5] = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"];

/// A call of the plugin: the five variables and standard input, with tabs between them.
pub fn cni_input(octets: &[u8]) {
    let mut fields = octets.splitn(VARIABLES.len() + 1, |octet| *octet == b'\t');
    let values: Vec<OsString> =
        fields.by_ref().take(VARIABLES.len()).map(|field| OsString::from_vec(field.to_vec())).collect();
    let stdin = fields.next().unwrap_or_default();
    let variable = |name: &str| values.get(VARIABLES.iter().position(|known| *known == name)?).cloned();
    let Ok(environment) = Environment::read(variable) else { return };
    let Ok(invocation) = Invocation::parse(environment, stdin) else { return };
    assert_eq!(invocation.command.is_none(), invocation.verb == Verb::Version);
    if let Some(command) = &invocation.command {
        check(command);
    }
    if let Ok(result) = invocation.result(&attached()) {
        assert_eq!(result["cniVersion"], invocation.version.as_str());
        assert!(result["ips"].as_array().is_some_and(|ips| ips.len() >= 2));
    }
}

/// Whatever the plugin asks, felix-lite must be able to read.
fn check(command: &Command) {
    let request = Request::from(command.clone());
    let frame = encode(&request).expect("no longer than what was read");
    let again: Request =
        serde_json::from_slice(&frame[felix_api::HEADER..]).expect("what we encode is valid");
    assert_eq!(again, request);
}

fn attached() -> Attached {
    Attached {
        host_ifname: "crn0123456789a".to_owned(),
        host_mac: HOST_MAC,
        pod_mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        addresses: vec!["10.0.0.1".parse().expect("an address"), "fd00::1".parse().expect("an address")],
        networks: Vec::new(),
    }
}
