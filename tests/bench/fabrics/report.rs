//! The tables for people and the line for programs.

use cairn_net::Family;
use serde_json::{Value, json};

use crate::fabric::Fabric;
use crate::scale::Mesh;
use crate::traffic::Rate;

/// One path in one round.
pub(crate) struct Sample {
    pub(crate) octets: Rate,
    pub(crate) round_trips: Rate,
}

/// A fabric of Cairn beside the one made by hand.
pub(crate) struct Comparison {
    fabric: Fabric,
    family: Family,
    mtu: u32,
    plain: Vec<Sample>,
    ours: Vec<Sample>,
}

impl Comparison {
    pub(crate) const fn new(fabric: Fabric, family: Family, mtu: u32) -> Self {
        Self { fabric, family, mtu, plain: Vec::new(), ours: Vec::new() }
    }

    /// One round.
    pub(crate) fn add(&mut self, plain: Sample, ours: Sample) {
        self.plain.push(plain);
        self.ours.push(ours);
    }

    fn medians(&self, take: fn(&Sample) -> f64) -> (f64, f64) {
        let median_of = |samples: &[Sample]| median(&samples.iter().map(take).collect::<Vec<_>>());
        (median_of(&self.plain), median_of(&self.ours))
    }
}

/// Its name, how many digits behind the point, and what it is.
type Figure = (&'static str, usize, fn(&Sample) -> f64);

/// What is told of a path.
const FIGURES: [Figure; 4] = [
    ("gbitPerSecond", 2, |sample| sample.octets.per_second * 8e-9),
    ("cpuSecondsPerGigabyte", 3, |sample| sample.octets.cpu * 1e9),
    ("roundTripsPerSecond", 0, |sample| sample.round_trips.per_second),
    ("cpuMicrosecondsPerRoundTrip", 2, |sample| sample.round_trips.cpu * 1e6),
];

/// Prints all.
pub(crate) fn print(comparisons: &[Comparison], meshes: &[Mesh], missing: &[Fabric]) {
    println!("\nTCP between pods of two nodes, beside the same made by hand: medians\n");
    println!(
        "| fabric | family | MTU | by hand Gbit/s | Cairn Gbit/s | ratio | by hand CPU s/GB | Cairn CPU s/GB | ratio \
         | by hand round trips/s | Cairn round trips/s | ratio | by hand CPU us | Cairn CPU us | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for row in comparisons {
        let (fabric, family, mtu) = (row.fabric, row.family, row.mtu);
        print!("| {fabric} | {family} | {mtu} |");
        let mut figures = json!({
            "fabric": fabric.to_string(), "family": family.to_string(), "mtu": mtu, "rounds": row.ours.len(),
        });
        for (name, digits, take) in FIGURES {
            let (plain, ours) = row.medians(take);
            print!(" {plain:.digits$} | {ours:.digits$} | {:.3} |", ours / plain);
            figures[name] = json!({ "byHand": plain, "cairn": ours, "ratio": ours / plain });
        }
        println!();
        rows.push(figures);
    }
    for fabric in missing {
        println!("\n{fabric}: this kernel lacks it; `--vm` runs the benchmark under one that has it");
    }
    let meshes: Vec<Value> = meshes.iter().map(mesh).collect();
    println!("\n{}", json!({ "bench": "fabrics", "rows": rows, "meshes": meshes }));
}

/// Says what a mesh took, and gives it for programs.
fn mesh(mesh: &Mesh) -> Value {
    println!(
        "\n{} to {} nodes: in the kernel within {:.3} s of their objects, written in {:.3} s, {:.3} s of felix-lite's CPU time",
        mesh.fabric, mesh.nodes, mesh.total, mesh.programmed, mesh.cpu
    );
    println!(
        "One of them gets another address: in the kernel after {:.2} ms, {:.2} ms of CPU time",
        mesh.change * 1e3,
        mesh.change_cpu * 1e3
    );
    json!({
        "fabric": mesh.fabric.to_string(), "nodes": mesh.nodes, "totalSeconds": mesh.total,
        "programmedSeconds": mesh.programmed, "cpuSeconds": mesh.cpu, "changeSeconds": mesh.change,
        "changeCpuSeconds": mesh.change_cpu,
    })
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
