use bgp_core::policy::{PeerType, PolicyPeer, RouteSource, RouteView};
use bgp_core::wire::{AsPath, Attributes, NextHop};
use bgpd_api::config::{FilterChain, load_policies};
use bgpd_policy::Compiled;
use cairn_net::{Asn, Prefix};

/// Text of policies: what is valid survives its own text, compiles, and evaluates with every onlooker to the same verdict.
pub fn policy(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let policies = match load_policies(text, "fuzz") {
        Ok(policies) => policies,
        Err(error) => {
            assert!(error.to_string().starts_with("fuzz"));
            return;
        }
    };
    let json = serde_json::to_string(&policies).expect("policies have a JSON form");
    assert_eq!(load_policies(&json, "again").expect("it was valid"), policies, "{json}");
    let compiled = Compiled::new(&policies, Asn(65001));
    let attributes = Attributes {
        as_path: AsPath::sequence([65010, 64512, 65030].map(Asn)),
        med: Some(10),
        communities: ["65001:150", "no-export"].into_iter().filter_map(|text| text.parse().ok()).collect(),
        large_communities: "65001:7:2".parse().into_iter().collect(),
        extended_communities: "rt:65000:9".parse().into_iter().collect(),
        ..Attributes::default()
    };
    for name in policies.filters.keys() {
        let policy = compiled.chain(&FilterChain::from(name.clone()));
        for prefix in ["0.0.0.0/0", "10.244.1.0/24", "fd00::/64"] {
            let Ok(prefix) = prefix.parse::<Prefix>() else { continue };
            let view = RouteView {
                prefix,
                attributes: &attributes,
                next_hop: NextHop::new([192, 0, 2, 1].into()),
                source: RouteSource::Peer(PeerType::External),
                peer: PolicyPeer { address: [192, 0, 2, 9].into(), kind: PeerType::Client },
            };
            let (verdict, matched) = policy.evaluate_counted(&view);
            let (traced, steps) = policy.trace(&view);
            assert_eq!(verdict, traced);
            assert_eq!(verdict, policy.evaluate(&view));
            assert_eq!(matched.len(), steps.iter().filter(|step| step.matched).count());
        }
    }
}
