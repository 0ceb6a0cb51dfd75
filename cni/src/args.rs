//! `CNI_ARGS`: `KEY=VALUE` pairs with semicolons between them.
//!
//! Read are the pod's names, `IP` and `MAC`; any other key is somebody else's and passed over, with or without `IgnoreUnknown`.

use std::net::IpAddr;

use cairn_net::Mac;
use felix_api::{Code, PodId, Refusal};

/// What `CNI_ARGS` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Args {
    /// `K8S_POD_NAMESPACE`, `K8S_POD_NAME`, `K8S_POD_UID`.
    pub(crate) pod: Option<PodId>,
    /// `IP`: one address, with or without a prefix length.
    pub(crate) ip: Option<IpAddr>,
    /// `MAC`.
    pub(crate) mac: Option<Mac>,
}

impl Args {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let (mut namespace, mut name, mut uid) = (None, None, None);
        let mut args = Self::default();
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| bad(pair, "pairs are written KEY=VALUE"))?;
            match key {
                "K8S_POD_NAMESPACE" => namespace = Some(object_name(pair, value)?),
                "K8S_POD_NAME" => name = Some(object_name(pair, value)?),
                "K8S_POD_UID" => uid = Some(object_name(pair, value)?),
                "IP" => args.ip = Some(address(value).ok_or_else(|| bad(pair, ADDRESS_RULE))?),
                "MAC" => args.mac = Some(unicast(value).ok_or_else(|| bad(pair, MAC_RULE))?),
                _ => {}
            }
        }
        args.pod = match (namespace, name) {
            (Some(namespace), Some(name)) => Some(PodId { namespace, name, uid: uid.unwrap_or_default() }),
            (None, None) => None,
            _ => return Err(bad(text, "K8S_POD_NAMESPACE and K8S_POD_NAME go together")),
        };
        Ok(args)
    }
}

pub(crate) const ADDRESS_RULE: &str = "an IP address, with or without a prefix length";
pub(crate) const MAC_RULE: &str = "a unicast MAC address such as 02:00:00:00:00:01";

/// An address of the form `10.0.0.1` or `10.0.0.1/24`; the length is checked and dropped, for a pod's addresses are host prefixes.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let (addr, len) = text.split_once('/').map_or((text, None), |(addr, len)| (addr, Some(len)));
    let addr: IpAddr = addr.parse().ok()?;
    let fits = len.is_none_or(|len| {
        len.bytes().all(|byte| byte.is_ascii_digit())
            && len.parse().is_ok_and(|len: u8| len <= cairn_net::Family::of(addr).bits())
    });
    fits.then_some(addr)
}

/// A MAC address that an interface can have.
pub(crate) fn unicast(text: &str) -> Option<Mac> {
    text.parse().ok().filter(|mac: &Mac| mac.is_unicast())
}

/// Kubernetes' rule, and `_` and capitals besides, as other runtimes give names of their own in the same variables.
fn object_name(pair: &str, value: &str) -> Result<String, Refusal> {
    let charset = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if charset && (1..=253).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(bad(pair, "1 to 253 letters, digits, '-', '_' and '.'"))
}

fn bad(pair: &str, rule: &str) -> Refusal {
    let short: String = pair.chars().take(300).collect();
    Refusal::new(Code::INVALID_ENVIRONMENT, "the environment variable CNI_ARGS is not valid")
        .because(format_args!("{short:?}: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_read_and_the_rest_passed_over() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=x=y;K8S_POD_UID=u";
        let pod = Args::parse(text).unwrap().pod.unwrap();
        assert_eq!((pod.to_string().as_str(), pod.uid.as_str()), ("default/web-0", "u"));
        assert_eq!(Args::parse("").unwrap(), Args::default());
        assert_eq!(Args::parse("FOO=BAR;").unwrap(), Args::default());
    }

    #[test]
    fn a_static_address_may_have_a_length() {
        assert_eq!(Args::parse("IP=10.0.0.4/24").unwrap().ip, Some("10.0.0.4".parse().unwrap()));
        assert_eq!(
            Args::parse("IP=fd00::4;MAC=02:00:00:00:00:01").unwrap().ip,
            Some("fd00::4".parse().unwrap())
        );
    }

    #[test]
    fn what_is_ours_and_wrong_is_refused() {
        for bad in [
            "K8S_POD_NAME=a",
            "K8S_POD_NAMESPACE=a",
            "K8S_POD_NAME=a/b;K8S_POD_NAMESPACE=a",
            "K8S_POD_NAME=;K8S_POD_NAMESPACE=a",
            "nothing",
            "=x",
            "IP=10.0.0.4/33",
            "IP=10.0.0.4/+3",
            "IP=x",
            "MAC=01:00:00:00:00:01",
        ] {
            assert_eq!(Args::parse(bad).unwrap_err().code, Code::INVALID_ENVIRONMENT, "{bad}");
        }
    }
}
