//! Where each node goes: a row for each level, and in a row the nodes by group and name.

use std::collections::BTreeMap;

use super::Node;

/// The size of a node's box, and the room around it.
pub(super) const BOX: (f64, f64) = (132.0, 62.0);
const GAP: (f64, f64) = (110.0, 110.0);
const MARGIN: f64 = 50.0;

/// Centres of nodes, and the size of the whole picture.
pub(super) struct Layout {
    pub(super) centres: BTreeMap<String, (f64, f64)>,
    pub(super) size: (f64, f64),
}

/// Places all nodes.
pub(super) fn place(nodes: &[Node]) -> Layout {
    let mut rows: BTreeMap<u32, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        rows.entry(node.level).or_default().push(node);
    }
    let widest = rows.values().map(Vec::len).max().unwrap_or(0);
    let width = (2.0 * MARGIN + span(widest)).max(520.0);
    let mut centres = BTreeMap::new();
    let mut y = MARGIN + 30.0 + BOX.1 / 2.0;
    for row in rows.values_mut() {
        row.sort_by(|left, right| (&left.group, &left.name).cmp(&(&right.group, &right.name)));
        let mut x = (width - span(row.len())) / 2.0 + BOX.0 / 2.0;
        for node in row.iter() {
            centres.insert(node.name.clone(), (x, y));
            x += BOX.0 + GAP.0;
        }
        y += BOX.1 + GAP.1;
    }
    Layout { centres, size: (width, y - GAP.1 + MARGIN) }
}

#[allow(clippy::cast_precision_loss)] // a row has few nodes
fn span(count: usize) -> f64 {
    count as f64 * (BOX.0 + GAP.0) - GAP.0
}
