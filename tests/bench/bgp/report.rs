//! The tables for people and the line for programs.

use serde_json::{Map, Value, json};

use crate::speaker::{Kind, Speaker};
use crate::workload::{Figures, Workload};

/// One run of a speaker.
pub(crate) struct Run {
    pub(crate) workload: &'static str,
    pub(crate) speaker: Kind,
    pub(crate) load: f64,
    /// The figures, or why there are none.
    pub(crate) result: Result<Figures, String>,
}

/// A column: the figure's name, its heading, what to multiply it with, and whether less of it is better.
struct Column(&'static str, &'static str, f64, bool);

const COLUMNS: [Column; 26] = [
    Column("up", "sessions up s", 1.0, true),
    Column("converged", "converged s", 1.0, true),
    Column("converged_cpu", "CPU s", 1.0, true),
    Column("dumped", "late dump s", 1.0, true),
    Column("dumped_cpu", "CPU s", 1.0, true),
    Column("node_lost", "node lost ms", 1e3, true),
    Column("node_session", "session again ms", 1e3, true),
    Column("node_back", "node back ms", 1e3, true),
    Column("node_filled", "node filled ms", 1e3, true),
    Column("withdrawn", "withdrawn s", 1.0, true),
    Column("withdrawn_cpu", "CPU s", 1.0, true),
    Column("installed", "installed s", 1.0, true),
    Column("installed_cpu", "CPU s", 1.0, true),
    Column("removed", "removed s", 1.0, true),
    Column("removed_cpu", "CPU s", 1.0, true),
    Column("raw_installed_cpu", "raw: installed CPU s", 1.0, false),
    Column("raw_removed_cpu", "removed CPU s", 1.0, false),
    Column("object_installed_cpu", "raw, by an object: installed CPU s", 1.0, false),
    Column("object_removed_cpu", "removed CPU s", 1.0, false),
    Column("established", "Established ms", 1e3, true),
    Column("end_of_rib", "End-of-RIB ms", 1e3, true),
    Column("churn_cpu", "CPU s", 1.0, true),
    Column("latency_median", "latency ms", 1e3, true),
    Column("latency_p99", "p99 ms", 1e3, true),
    Column("delivered", "delivered", 1.0, false),
    Column("peak", "peak MiB", 1.0, true),
];
/// Shown, but no merit: it is decided by the hold time.
const DEAD_PEER: Column = Column("dead_peer", "dead peer s", 1.0, false);

/// Prints a table for each workload, then everything as JSON in one line.
pub(crate) fn print(workloads: &[(&'static str, Workload)], speakers: &[Speaker], runs: &[Run]) {
    let mut document = Map::new();
    for (name, workload) in workloads {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.workload == *name).collect();
        if !runs.is_empty() {
            println!("\n{name}: {}\n", workload.describe());
            document.insert((*name).to_owned(), table(speakers, &runs));
        }
    }
    let versions: Map<String, Value> =
        speakers.iter().map(|speaker| (speaker.kind.name().to_owned(), json!(speaker.version))).collect();
    println!("\n{}", json!({ "bench": "bgp", "versions": versions, "workloads": document }));
}

fn table(speakers: &[Speaker], runs: &[&Run]) -> Value {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .chain([&DEAD_PEER])
        .filter(|Column(name, ..)| runs.iter().any(|run| figure(run, name).is_some()))
        .collect();
    let headings: Vec<&str> = columns.iter().map(|Column(_, heading, ..)| *heading).collect();
    println!("| speaker | rounds | load | {} |", headings.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(headings.len()));
    let mut document = Map::new();
    for speaker in speakers.iter().map(|speaker| speaker.kind) {
        let own: Vec<&Run> = runs.iter().copied().filter(|run| run.speaker == speaker).collect();
        let good = own.iter().filter(|run| run.result.is_ok()).count();
        if own.is_empty() {
            continue;
        }
        let load = median(own.iter().map(|run| run.load).collect()).unwrap_or(f64::NAN);
        let mut figures = Map::new();
        let mut cells = String::new();
        for Column(name, _, scale, _) in &columns {
            let value = median_of(&own, name);
            cells += &value.map_or(" - |".to_owned(), |value| format!(" {} |", short(value * scale)));
            figures.extend(value.map(|value| ((*name).to_owned(), json!(value))));
        }
        println!("| {} | {good}/{} | {load:.1} |{cells}", speaker.name(), own.len());
        let failures: Vec<&String> = own.iter().filter_map(|run| run.result.as_ref().err()).collect();
        document.insert(
            speaker.name().to_owned(),
            json!({ "rounds": own.len(), "ok": good, "load": load, "figures": figures, "failures": failures }),
        );
    }
    let ratios = ratios(&columns, speakers, runs);
    json!({ "speakers": document, "ratios": ratios })
}

/// Ours against the best of the others, figure by figure.
fn ratios(columns: &[&Column], speakers: &[Speaker], runs: &[&Run]) -> Value {
    let of = |kind: Kind, name: &str| {
        let own: Vec<&Run> = runs.iter().copied().filter(|run| run.speaker == kind).collect();
        median_of(&own, name)
    };
    let mut document = Map::new();
    let mut cells = String::new();
    for Column(name, _, _, merit) in columns {
        let others = speakers.iter().map(|speaker| speaker.kind).filter(|kind| *kind != Kind::Cairn);
        let best = others.filter_map(|kind| Some((of(kind, name)?, kind))).min_by(|a, b| a.0.total_cmp(&b.0));
        match (of(Kind::Cairn, name), best) {
            (Some(ours), Some((best, kind))) if *merit && best > 0.0 => {
                cells += &format!(" **{:.2}** of {} |", ours / best, kind.name());
                document.insert((*name).to_owned(), json!({ "ratio": ours / best, "best": kind.name() }));
            }
            _ => cells += " |",
        }
    }
    println!("| ours to the best other | | |{cells}");
    Value::Object(document)
}

fn figure(run: &Run, name: &str) -> Option<f64> {
    run.result.as_ref().ok()?.get(name).copied()
}

fn median_of(runs: &[&Run], name: &str) -> Option<f64> {
    median(runs.iter().filter_map(|run| figure(run, name)).collect())
}

/// The middle one; the mean of the two middle ones of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(upper, values[middle - 1]) })
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}
