//! Drawing: one SVG document without scripts or foreign resources.

use std::fmt::Write as _;

use super::layout::{BOX, Layout};
use super::{Edge, Node};
use crate::image::Software;
use crate::topology::{Link, Topology};

const GOOD: &str = "#15803d";
const BAD: &str = "#dc2626";
const PLAIN: &str = "#94a3b8";
const INK: &str = "#0f172a";

/// How far from a box the name of an interface stands.
const LABEL: f64 = 52.0;

pub(super) fn draw(topology: &Topology, layout: &Layout, nodes: &[Node], edges: &[Edge]) -> String {
    let (width, height) = layout.size;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Helvetica, sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#f8fafc\"/>\n"
    );
    let mut out = |text: String| svg.push_str(&text);
    out(format!(
        "<text x=\"20\" y=\"28\" font-size=\"16\" font-weight=\"bold\" fill=\"{INK}\">{}</text>\n",
        escape(&topology.name)
    ));
    out(legend(width));
    for link in &topology.links {
        out(link_line(link, layout, edges));
    }
    for edge in edges.iter().filter(|edge| !is_linked(topology, edge)) {
        out(session_arc(edge, layout));
    }
    for link in &topology.links {
        out(link_labels(link, layout));
    }
    for node in nodes {
        out(node_box(node, layout));
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(width: f64) -> String {
    let mut text = String::new();
    let entries = [(GOOD, "BGP established"), (BAD, "BGP down"), (PLAIN, "link without BGP")];
    for ((colour, label), row) in entries.into_iter().zip(0_u8..) {
        let (x, y) = (width - 150.0, 18.0 + 15.0 * f64::from(row));
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{INK}\">{label}</text>",
            x + 24.0,
            x + 30.0,
            y + 4.0
        );
    }
    text
}

fn is_linked(topology: &Topology, edge: &Edge) -> bool {
    topology.links.iter().any(|link| joins(link, edge))
}

fn joins(link: &Link, edge: &Edge) -> bool {
    let names = link.ends.each_ref().map(|end| &end.node);
    names == edge.ends.each_ref() || [names[1], names[0]] == edge.ends.each_ref()
}

/// The line of a link has the colour of the session over it.
fn link_line(link: &Link, layout: &Layout, edges: &[Edge]) -> String {
    let Some([(x1, y1), (x2, y2)]) = centres(layout, [&link.ends[0].node, &link.ends[1].node]) else {
        return String::new();
    };
    let edge = edges.iter().find(|edge| joins(link, edge));
    let (colour, width, title) = match edge {
        Some(edge) if edge.established => (GOOD, 2.5, "BGP established"),
        Some(edge) => (BAD, 2.5, edge.state.as_str()),
        None => (PLAIN, 1.5, "link without BGP"),
    };
    format!(
        "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{colour}\" stroke-width=\"{width}\">\
         <title>{}</title></line>\n",
        escape(title)
    )
}

/// Names of the interfaces, each near its own end.
fn link_labels(link: &Link, layout: &Layout) -> String {
    let Some(ends) = centres(layout, [&link.ends[0].node, &link.ends[1].node]) else { return String::new() };
    let mut text = String::new();
    for (end, (from, to)) in link.ends.iter().zip([(ends[0], ends[1]), (ends[1], ends[0])]) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1.0);
        // Start at the border of the box, not at its centre.
        let border = (BOX.0 / 2.0 / dx.abs().max(0.001)).min(BOX.1 / 2.0 / dy.abs().max(0.001)) * length;
        let along = (border + LABEL * 0.45).min(length / 2.0);
        let (x, y) = (from.0 + dx / length * along, from.1 + dy / length * along);
        let name = escape(&end.interface);
        let half = 3.4 * f64::from(u16::try_from(end.interface.len()).unwrap_or(15)) + 3.0;
        let _ = writeln!(
            text,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"3\" fill=\"#f8fafc\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#475569\">{name}<title>{}</title></text>",
            x - half,
            y - 7.0,
            2.0 * half,
            y + 4.0,
            escape(&end.addresses.join(", "))
        );
    }
    text
}

/// A session between nodes that no link joins.
fn session_arc(edge: &Edge, layout: &Layout) -> String {
    let Some([(x1, y1), (x2, y2)]) = centres(layout, [&edge.ends[0], &edge.ends[1]]) else {
        return String::new();
    };
    let colour = if edge.established { GOOD } else { BAD };
    let (mid_x, mid_y) = (f64::midpoint(x1, x2), f64::midpoint(y1, y2) + 0.22 * (x2 - x1).abs() + 20.0);
    format!(
        "<path d=\"M {x1} {y1} Q {mid_x} {mid_y} {x2} {y2}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"6 4\"><title>{}</title></path>\n",
        escape(&edge.state)
    )
}

fn node_box(node: &Node, layout: &Layout) -> String {
    let Some((x, y)) = layout.centres.get(&node.name).copied() else { return String::new() };
    let fill = match (node.running, node.software) {
        (false, _) => "#fee2e2",
        (true, Software::Cairn) => "#dcfce7",
        (true, Software::Host) => "#f1f5f9",
        (true, _) => "#dbeafe",
    };
    let what = match (node.running, &node.group) {
        (false, _) => "down".to_owned(),
        (true, Some(group)) => format!("{}, {group}", node.software.name()),
        (true, None) => node.software.name().to_owned(),
    };
    let (left, top) = (x - BOX.0 / 2.0, y - BOX.1 / 2.0);
    let mut text = format!(
        "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{fill}\" stroke=\"#334155\"/>\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"14\" font-weight=\"bold\" fill=\"{INK}\">{}</text>\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#475569\">{}</text>\n",
        BOX.0,
        BOX.1,
        top + 21.0,
        escape(&node.name),
        top + 37.0,
        escape(&what),
    );
    if !node.pods.is_empty() {
        let pods = match node.pods.len() {
            1..=3 => node.pods.join(" "),
            count => format!("{count} pods"),
        };
        let _ = writeln!(
            text,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"{GOOD}\">{}</text>",
            top + 53.0,
            escape(&pods)
        );
    }
    text
}

fn centres(layout: &Layout, names: [&String; 2]) -> Option<[(f64, f64); 2]> {
    Some([layout.centres.get(names[0]).copied()?, layout.centres.get(names[1]).copied()?])
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
