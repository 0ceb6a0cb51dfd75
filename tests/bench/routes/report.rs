//! The table for people and the line for programs.

use cairn_net::Family;
use serde_json::{Map, json};

use crate::path::Walk;

/// Seconds.
pub(crate) struct Cost {
    pub(crate) add: f64,
    pub(crate) delete: f64,
    /// One change among all of them.
    pub(crate) one: Option<f64>,
}

/// Both ways, one after the other.
pub(crate) struct Round {
    pub(crate) family: Family,
    pub(crate) raw: Cost,
    pub(crate) ours: Cost,
}

type Take = fn(&Cost) -> f64;

const VERBS: [(&str, Take); 2] = [("add", |cost| cost.add), ("delete", |cost| cost.delete)];

/// Prints both.
pub(crate) fn print(rounds: &[Round], walks: &[(Family, Walk)], prefixes: u32) {
    println!(
        "\nRoutes, {prefixes} prefixes of each family: medians; ratio of wall time to raw, least to most"
    );
    println!(
        "{:<6} {:<7} {:>12} {:>14} {:>8} {:>13} {:>14}",
        "family", "verb", "raw/s", "reconciler/s", "ratio", "range", "one change us"
    );
    let mut figures = Map::new();
    for family in Family::ALL {
        let rounds: Vec<_> = rounds.iter().filter(|round| round.family == family).collect();
        let one = median(rounds.iter().filter_map(|round| round.ours.one).collect()) * 1e6;
        for (verb, take) in VERBS {
            let rate = |cost: fn(&Round) -> &Cost| {
                median(rounds.iter().map(|round| f64::from(prefixes) / take(cost(round))).collect())
            };
            let (raw, ours) = (rate(|round| &round.raw), rate(|round| &round.ours));
            let ratios: Vec<_> = rounds.iter().map(|round| take(&round.ours) / take(&round.raw)).collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            let ratio = median(ratios);
            println!(
                "{family:<6} {verb:<7} {raw:>12.0} {ours:>14.0} {ratio:>8.2} {:>13} {one:>14.1}",
                format!("{least:.2}-{most:.2}")
            );
            figures.insert(
                format!("{family}_{verb}"),
                json!({
                    "raw_per_second": raw.round(), "reconciler_per_second": ours.round(), "ratio": round(ratio),
                    "ratio_least": round(least), "ratio_most": round(most), "one_change_us": round(one),
                }),
            );
        }
    }
    println!(
        "\nThe whole way, neighbour to kernel: seconds, and microseconds of CPU a prefix on the node that learns"
    );
    println!(
        "{:<6} {:<7} {:>8} {:>9} {:>11} {:>14}",
        "family", "verb", "wall s", "bgpd us", "felix us", "prefixes/s"
    );
    for (family, walk) in walks {
        for (verb, cost) in [("add", &walk.add), ("delete", &walk.delete)] {
            let each = |seconds: f64| seconds * 1e6 / f64::from(prefixes);
            let rate = f64::from(prefixes) / cost.wall;
            println!(
                "{family:<6} {verb:<7} {:>8.2} {:>9.1} {:>11.1} {rate:>14.0}",
                cost.wall,
                each(cost.bgpd),
                each(cost.felix)
            );
            figures.insert(
                format!("{family}_path_{verb}"),
                json!({
                    "wall_seconds": round(cost.wall), "bgpd_cpu_us": round(each(cost.bgpd)),
                    "felix_cpu_us": round(each(cost.felix)), "per_second": rate.round(),
                }),
            );
        }
    }
    println!();
    println!("{}", json!({ "bench": "routes", "prefixes": prefixes, "figures": figures }));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
