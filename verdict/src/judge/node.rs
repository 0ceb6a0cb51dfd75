//! NodeConfigurations.

use cairn_api::kinds::NodeConfiguration;

use super::{Cluster, Reason, Verdict, read};

pub(super) fn judge(cluster: &Cluster, verdict: &mut Verdict) {
    for (name, object) in read(&cluster.configurations) {
        let selector = &object.spec.node_selector;
        if !selector.is_all() && !cluster.nodes.values().any(|node| selector.matches(&node.labels)) {
            let rule = "selects none of the nodes: it is in force nowhere";
            verdict.add::<NodeConfiguration>(name, Reason::NoNode, "spec.nodeSelector", selector, rule);
        }
    }
}
