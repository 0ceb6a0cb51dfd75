use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Faults, GoDuration, bounds, name};

/// When a node counts as one that is being emptied, and for how long its routes are told as leaving before those that nothing uses are
/// withdrawn (RFC 8326).
///
/// One for the whole cluster: whether a node leaves the addresses of an egress gateway to another must be the same in the eyes of both. What
/// an operator asks for ([`crate::annotation::DRAIN`]) always counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// Does it count that the node is cordoned? Default: true.
    pub on_cordon: bool,
    /// Does it count that the node's kubelet says that its machine shuts down? Default: true.
    pub on_shutdown: bool,
    /// Keys of taints that count, whatever their value and effect. Default: those of Kubernetes for nodes that are out of service or shut
    /// down, of the cluster autoscaler and of Karpenter.
    pub taints: Vec<String>,
    /// Types of conditions of the Node that count while they are `True`. Default: those of Kubernetes for a drain, its end, and the end of
    /// the machine.
    pub conditions: Vec<String>,
    /// For how long all routes are told as leaving before those that nothing uses are withdrawn. Range: 0s to 1h. Default: 30s, in which
    /// a router tells the next one of another way (MinRouteAdvertisementInterval of RFC 4271).
    pub wait: GoDuration,
}

/// Taints that say that a node is about to go: the first two of Kubernetes itself, then the cluster autoscaler's, then Karpenter's as of its
/// v1 and v1beta1. Those for nodes that are not ready or cannot be reached are none: their pods go on.
const TAINTS: [&str; 5] = [
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
];

/// The same as conditions, which Kubernetes has since 1.37.
const CONDITIONS: [&str; 3] = ["DrainInProgress", "Drained", "GracefulNodeShutdownInProgress"];

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3600);
/// The rule for keys, as for those of labels.
const KEY: &str = "a key: 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, behind a domain and '/' if need be";

impl Default for Drain {
    fn default() -> Self {
        Self {
            on_cordon: true,
            on_shutdown: true,
            taints: TAINTS.map(ToOwned::to_owned).to_vec(),
            conditions: CONDITIONS.map(ToOwned::to_owned).to_vec(),
            wait: GoDuration::new(Duration::from_secs(30)),
        }
    }
}

impl Drain {
    pub(super) fn validate(&self, path: &str, faults: &mut Faults) {
        for (field, keys) in [("taints", &self.taints), ("conditions", &self.conditions)] {
            let path = format!("{path}.{field}");
            faults.at_most(&path, keys.len(), bounds::KEYS);
            for (index, key) in keys.iter().enumerate() {
                faults.require(is_key(key), format!("{path}[{index}]"), key, KEY);
            }
        }
        faults.require(self.wait.get() <= LONGEST, format!("{path}.wait"), self.wait, "0s to 1h");
    }
}

/// Is it a key as labels, taints and conditions have it?
fn is_key(key: &str) -> bool {
    let (domain, word) = key.split_once('/').map_or((None, key), |(domain, word)| (Some(domain), word));
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    domain.is_none_or(name::is_valid)
        && bytes.len() <= 63
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(drain: &Drain) -> String {
        let mut faults = Faults::default();
        drain.validate("spec.drain", &mut faults);
        faults.into_result().err().map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_default_is_valid_and_an_hour_is_the_most() {
        assert_eq!(faults(&Drain::default()), "");
        let wait =
            |seconds| Drain { wait: GoDuration::new(Duration::from_secs(seconds)), ..Drain::default() };
        assert_eq!(faults(&wait(3600)), "");
        let found = faults(&wait(3601));
        assert!(found.contains("spec.drain.wait") && found.contains("0s to 1h"), "{found}");
    }

    #[test]
    fn keys_are_those_of_labels() {
        for good in ["a", "example.com/leaving", "ToBeDeletedByClusterAutoscaler", "a.b-c/X_1"] {
            assert!(is_key(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "/", "a/", "/a", "-a", "a-", "a b", "a/b/c", "A.com/a", "a_b/c", &long] {
            assert!(!is_key(bad), "{bad}");
            let drain = Drain { taints: vec!["fine".to_owned(), bad.to_owned()], ..Drain::default() };
            assert!(faults(&drain).contains("spec.drain.taints[1]"), "{bad}");
        }
    }
}
