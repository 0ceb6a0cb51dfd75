//! How cost grows: with the prefixes of one table, with the clients of a reflector, and what more processors are worth.

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

/// The table that meets more and more processors.
const TABLE_OF_CORES: usize = 200_000;

/// A figure: its name, what it is, and its part of a file's name.
type Figure = (&'static str, &'static str, &'static str);

const CPU: Figure = ("converged_cpu", "CPU seconds", "cpu");
const MEMORY: Figure = ("peak", "peak memory, MiB", "memory");
const TIME: Figure = ("converged", "seconds", "time");

/// What grows: its name, what the axis says, the figures, and each size with its workload and the processors of the speaker.
struct Series {
    name: &'static str,
    x: &'static str,
    figures: [Figure; 2],
    points: Vec<(usize, Workload, Option<usize>)>,
}

/// Runs everything, and writes the plots into a directory.
pub(crate) fn run(speakers: &[Speaker], rounds: usize, directory: &Path) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let all = [
        Series {
            name: "prefixes",
            x: "prefixes from one peer to another",
            figures: [CPU, MEMORY],
            points: TABLES.map(|prefixes| (prefixes, Workload::FullTable { prefixes }, None)).into(),
        },
        Series {
            name: "peers",
            x: "reflector clients, 100 prefixes each, all to all",
            figures: [CPU, MEMORY],
            points: CLIENTS
                .map(|clients| (clients, Workload::Reflect { clients, prefixes: OWN }, None))
                .into(),
        },
        Series {
            name: "cores",
            x: "processors of the speaker, 200,000 prefixes from one peer to another",
            figures: [TIME, CPU],
            points: (1..=cores)
                .map(|cores| (cores, Workload::FullTable { prefixes: TABLE_OF_CORES }, Some(cores)))
                .collect(),
        },
    ];
    let mut document = Vec::new();
    for Series { name: series, x, figures, points } in all {
        let mut lines: [Vec<Line>; 2] = Default::default();
        for speaker in speakers {
            let name = speaker.kind.name();
            let mut own: [Vec<(f64, f64)>; 2] = Default::default();
            for (size, workload, cores) in &points {
                eprintln!("{name}, {size} {series}");
                let results: Vec<_> =
                    (0..rounds).filter_map(|_| crate::run(speaker, *workload, *cores).ok()).collect();
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
