//! The table for people and the line for programs.

use std::time::Duration;

use anyhow::Result;
use cairn_net::Family;
use serde_json::{Map, Value, json};

use crate::measure::{Costs, percentile};

/// One way, one verb.
pub(crate) struct Row {
    way: &'static str,
    verb: &'static str,
    mode: &'static str,
    p50: Duration,
    p99: Duration,
    cpu: Duration,
    per_second: Option<f64>,
}

impl Row {
    /// `daemon` is the CPU time that a daemon used for all of it; `wall` how long it took where calls ran side by side.
    pub(crate) fn new(
        way: &'static str,
        verb: &'static str,
        mode: &'static str,
        mut costs: Costs,
        daemon: Duration,
        wall: Option<Duration>,
    ) -> Self {
        let walls = &mut costs.walls;
        walls.sort_unstable();
        let count = u32::try_from(walls.len()).unwrap_or(u32::MAX).max(1);
        let cpu = (costs.cpu + daemon) / count;
        let per_second = wall.map(|wall| f64::from(count) / wall.as_secs_f64());
        Self { way, verb, mode, p50: percentile(walls, 50), p99: percentile(walls, 99), cpu, per_second }
    }
}

/// Prints both.
pub(crate) fn print(rows: &[Row], families: &[Family]) -> Result<()> {
    let names: Vec<String> = families.iter().map(ToString::to_string).collect();
    println!(
        "\nCNI, {}: milliseconds; ratios to one-shot, the kernel's work in a process of its own",
        names.join("+")
    );
    println!(
        "{:<11} {:<4} {:<9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "mode", "verb", "way", "p50", "p99", "cpu", "pods/s", "wall x", "cpu x"
    );
    let mut figures = Map::new();
    for row in rows {
        let base =
            rows.iter().find(|base| base.way == "one-shot" && base.verb == row.verb && base.mode == row.mode);
        let ratio = |of: fn(&Row) -> Duration| {
            base.map_or(f64::NAN, |base| of(row).as_secs_f64() / of(base).as_secs_f64())
        };
        let (wall_ratio, cpu_ratio) = (ratio(|row| row.p50), ratio(|row| row.cpu));
        let per_second = row.per_second.map_or(String::new(), |rate| format!("{rate:.0}"));
        println!(
            "{:<11} {:<4} {:<9} {:>8.2} {:>8.2} {:>8.2} {:>8} {:>9.2} {:>9.2}",
            row.mode,
            row.verb,
            row.way,
            ms(row.p50),
            ms(row.p99),
            ms(row.cpu),
            per_second,
            wall_ratio,
            cpu_ratio
        );
        let key = format!("{}_{}_{}", row.mode, row.verb.to_lowercase(), row.way);
        figures.insert(key, json!({
            "p50_ms": round(ms(row.p50)), "p99_ms": round(ms(row.p99)), "cpu_ms": round(ms(row.cpu)),
            "pods_per_second": row.per_second.map(round), "wall_ratio": round(wall_ratio), "cpu_ratio": round(cpu_ratio),
        }));
    }
    println!();
    println!("{}", json!({ "bench": "cni", "families": names, "figures": Value::Object(figures) }));
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
