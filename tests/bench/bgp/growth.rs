//! How cost grows: with the prefixes of one table, and with the clients of a reflector.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::plot::{Line, Plot};
use crate::report::median;
use crate::speaker::Speaker;
use crate::workload::Workload;

/// Prefixes of the table that grows.
const TABLES: [usize; 4] = [10_000, 50_000, 200_000, 1_000_000];
/// Clients of the reflector that grows, with [`OWN`] prefixes each.
const CLIENTS: [usize; 4] = [10, 50, 200, 500];
const OWN: usize = 100;

/// Runs everything, and writes the plots into a directory.
pub(crate) fn run(speakers: &[Speaker], rounds: usize, directory: &Path) -> Result<()> {
    let tables = TABLES.map(|prefixes| (prefixes, Workload::FullTable { prefixes }));
    let clients = CLIENTS.map(|clients| (clients, Workload::Reflect { clients, prefixes: OWN }));
    let series = [
        ("prefixes", "prefixes from one peer to another", &tables[..]),
        ("peers", "reflector clients, 100 prefixes each, all to all", &clients[..]),
    ];
    let figures = [("converged_cpu", "CPU seconds", "cpu"), ("peak", "peak memory, MiB", "memory")];
    let mut document = Vec::new();
    for (series, x, points) in series {
        let mut lines: [Vec<Line>; 2] = Default::default();
        for speaker in speakers {
            let name = speaker.kind.name();
            let mut own: [Vec<(f64, f64)>; 2] = Default::default();
            for (size, workload) in points {
                eprintln!("{name}, {size} {series}");
                let results: Vec<_> =
                    (0..rounds).filter_map(|_| crate::run(speaker, *workload).ok()).collect();
                for ((figure, _, _), own) in figures.iter().zip(&mut own) {
                    let values = results.iter().filter_map(|result| result.get(figure).copied()).collect();
                    if let Some(value) = median(values) {
                        own.push((*size as f64, value));
                        document.push(json!({ "series": series, "speaker": name, "size": size, "figure": figure, "value": value }));
                    }
                }
            }
            for (lines, points) in lines.iter_mut().zip(own) {
                lines.push(Line { name, points });
            }
        }
        for ((_, y, file), lines) in figures.iter().zip(lines) {
            let path = directory.join(format!("growth-{series}-{file}.svg"));
            let text = Plot { x, y, lines }.draw();
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    println!("{}", json!({ "bench": "bgp growth", "points": Value::Array(document) }));
    Ok(())
}
