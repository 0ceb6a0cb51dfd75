//! Which pools an attachment is to have addresses of: those that the pod names, else its namespace, else the plugin's configuration. Each
//! family is by itself.

use cairn_api::annotation;
use felix_api::{AddressRequest, Refusal, value};

use crate::namespace::Said;

/// The pools that are named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Names or CIDRs, of either family, as the allocator is asked for them.
    pub(super) pools: Vec<String>,
    /// The annotations of the namespace that name some of them, for messages.
    pub(super) by: Vec<String>,
}

/// What is asked for, with what the pod's namespace says.
pub(super) fn named(asked: &AddressRequest, namespace: &str, said: &Said) -> Result<Named, Refusal> {
    let mut named = Named { pools: asked.pools.clone(), by: Vec::new() };
    for (family, configured) in &asked.configured {
        let Some(text) = said.pools.get(family) else {
            named.pools.extend_from_slice(configured);
            continue;
        };
        let place = format!("{} of the namespace {namespace}", annotation::pools(*family));
        named.pools.extend(value::pools_in_text(&place, text)?);
        named.by.push(place);
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use cairn_net::Family::{self, Ipv4, Ipv6};
    use felix_api::Code;

    use super::*;

    fn said(pools: &[(Family, &str)]) -> Said {
        let pools = pools.iter().map(|(family, text)| (*family, (*text).to_owned())).collect();
        Said { pools, ..Said::default() }
    }

    fn asked(json: &str) -> AddressRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_pod_comes_before_its_namespace_and_that_before_the_configuration() {
        let both = said(&[(Ipv4, r#"["n4"]"#), (Ipv6, r#"["n6","n7"]"#)]);
        let four = said(&[(Ipv4, r#"["n4"]"#)]);
        let six = said(&[(Ipv6, r#"["n6"]"#)]);
        let silent = r#"{"configured":{"ipv4":["c4"],"ipv6":[]}}"#;
        let of_one = r#"{"pools":["p4"],"configured":{"ipv6":["c6"]}}"#;
        for (json, said, wanted) in [
            (silent, &Said::default(), vec!["c4"]),
            (silent, &both, vec!["n4", "n6", "n7"]),
            (silent, &six, vec!["c4", "n6"]),
            (of_one, &Said::default(), vec!["p4", "c6"]),
            (of_one, &four, vec!["p4", "c6"]),
            (of_one, &both, vec!["p4", "n6", "n7"]),
            (r#"{"pools":["p4","p6"]}"#, &both, vec!["p4", "p6"]),
            ("{}", &both, vec![]),
        ] {
            assert_eq!(named(&asked(json), "shop", said).unwrap().pools, wanted, "{json} {said:?}");
        }
    }

    #[test]
    fn an_empty_list_of_a_namespace_is_any_pool() {
        let found =
            named(&asked(r#"{"configured":{"ipv4":["c4"]}}"#), "shop", &said(&[(Ipv4, "[]")])).unwrap();
        let by = vec!["cairn.network/ipv4-pools of the namespace shop".to_owned()];
        assert_eq!(found, Named { pools: vec![], by });
    }

    #[test]
    fn what_makes_no_sense_is_refused_unless_the_pod_names_its_own() {
        let wrong = said(&[(Ipv6, r#"["rack b"]"#)]);
        let refusal = named(&asked(r#"{"configured":{"ipv6":[]}}"#), "shop", &wrong).unwrap_err();
        assert_eq!(refusal.code, Code::INVALID_CONFIG);
        let text = refusal.to_string();
        for word in ["cairn.network/ipv6-pools of the namespace shop", "rack b", "a pool's name or CIDR"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(named(&asked(r#"{"pools":["p"],"configured":{"ipv4":[]}}"#), "shop", &wrong).is_ok());
    }
}
