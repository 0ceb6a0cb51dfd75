//! A plan for people.

use std::collections::{BTreeMap, BTreeSet};

use cairn_ipam::resize::{Finding, Holder, Left, Plan};

use crate::Error;
use crate::output::Output;
use crate::table::Table;

/// So many pods of a workload on a node are named.
const NAMED: usize = 3;

/// Prints all of it: what is done, what speaks against it, what is to be done besides, and who is in the way.
pub(super) fn plan(plan: &Plan, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.json(plan);
    }
    output.line(&plan.change)?;
    for (number, step) in plan.steps.iter().enumerate() {
        output.line(format_args!("{:>3}. {step}", number + 1))?;
    }
    if plan.steps.is_empty() && plan.objections.is_empty() {
        output.line("nothing is left to do")?;
    }
    findings("refused", &plan.objections, output)?;
    findings("note", &plan.notes, output)?;
    if !plan.holders.is_empty() {
        output.line("")?;
        holders(&plan.holders).print(output)?;
    }
    if !plan.left.is_empty() {
        output.line("")?;
        output.line(format_args!("to be given back: {}", left(&plan.left)))?;
    }
    Ok(())
}

fn findings(word: &str, findings: &[Finding], output: &mut Output) -> Result<(), Error> {
    findings
        .iter()
        .try_for_each(|finding| output.line(format_args!("{word:<7}  {}: {}", finding.object, finding.what)))
}

/// Pods by node and workload: what has to be started anew.
fn holders(holders: &[Holder]) -> Table {
    let namespace = |holder: &Holder| match holder.pod.split_once('/') {
        Some((namespace, _)) if !holder.is_tunnel() => namespace.to_owned(),
        _ => "-".to_owned(),
    };
    let mut groups: BTreeMap<(&str, String, &str), (BTreeSet<&str>, usize)> = BTreeMap::new();
    for holder in holders {
        let key = (holder.node.as_str(), namespace(holder), holder.workload.as_str());
        let group = groups.entry(key).or_default();
        group.0.insert(holder.pod.rsplit('/').next().unwrap_or_default());
        group.1 += 1;
    }
    let mut table = Table::new(&["NODE", "NAMESPACE", "WORKLOAD", "ADDRESSES", "PODS"]);
    for ((node, namespace, workload), (pods, addresses)) in groups {
        let mut named = pods.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        if pods.len() > NAMED {
            named.push_str(&format!(" and {} more", pods.len() - NAMED));
        }
        table.row(vec![node.to_owned(), namespace, workload.to_owned(), addresses.to_string(), named]);
    }
    table
}

/// What is left, in one line.
pub(super) fn left(left: &Left) -> String {
    let mut parts = Vec::new();
    if left.in_use > 0 {
        parts.push(format!("{} addresses in use", left.in_use));
    }
    if left.resting > 0 {
        parts.push(format!("{} that rest", left.resting));
    }
    let blocks: usize = left.blocks.values().sum();
    if blocks > 0 {
        let mut nodes: Vec<&str> =
            left.blocks.keys().map(|node| if node.is_empty() { "nobody" } else { node }).collect();
        let more = nodes.len().saturating_sub(NAMED);
        nodes.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("{blocks} blocks of {}{more}", nodes.join(", ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_one_line() {
        let blocks = ["", "a", "b", "c"].into_iter().zip([1, 1, 2, 1]);
        let blocks = blocks.map(|(node, count)| (node.to_owned(), count)).collect();
        let some = Left { in_use: 2, resting: 1, blocks };
        assert_eq!(left(&some), "2 addresses in use, 1 that rest, 5 blocks of nobody, a, b and 1 more");
        assert_eq!(left(&Left::default()), "");
    }
}
