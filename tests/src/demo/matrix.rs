//! Who reaches whom, and how fast.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;

use crate::lab::Lab;
use crate::pod::Pod;
use crate::probe::Report;

/// A pod and its node.
pub(super) struct DemoPod {
    pub(super) node: String,
    pub(super) pod: Pod,
}

/// One measurement of all ordered pairs.
pub(super) struct Matrix {
    names: Vec<String>,
    /// A row for each sender; `None` on the diagonal.
    cells: Vec<Vec<Option<Cell>>>,
}

/// What one pod got from another: the mean round trip to each address, in microseconds, where all requests were answered.
struct Cell {
    times: Vec<Option<u64>>,
}

impl Cell {
    fn is_reached(&self) -> bool {
        !self.times.is_empty() && self.times.iter().all(Option::is_some)
    }
}

impl Matrix {
    /// Pings from every pod to all addresses of every other.
    pub(super) fn measure(lab: &Lab, pods: &[DemoPod], count: u64) -> Result<Self> {
        let mut cells = Vec::new();
        for from in pods {
            let mut row = Vec::new();
            for to in pods {
                let same = from.pod.name == to.pod.name;
                row.push(if same { None } else { Some(ping(lab, from, to, count)?) });
            }
            cells.push(row);
        }
        Ok(Self { names: pods.iter().map(|pod| pod.pod.name.clone()).collect(), cells })
    }

    fn pairs(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().flatten().flatten()
    }

    /// Whether every pod reached every other on all of its addresses.
    pub(super) fn is_complete(&self) -> bool {
        self.pairs().all(Cell::is_reached)
    }

    /// The last line of the demo.
    pub(super) fn verdict(&self) -> String {
        let reached = self.pairs().filter(|cell| cell.is_reached()).count();
        format!("reachability: {reached}/{} pairs", self.pairs().count())
    }

    /// The table.
    pub(super) fn text(&self) -> String {
        let mut text =
            "Round trips from row to column in milliseconds, IPv4/IPv6 (mean of 5; -- is unreachable)\n\n"
                .to_owned();
        let _ = write!(text, "  {:<10}", "");
        for name in &self.names {
            let _ = write!(text, "{name:>13}");
        }
        for (name, row) in self.names.iter().zip(&self.cells) {
            let _ = write!(text, "\n  {name:<10}");
            for cell in row {
                let shown = cell.as_ref().map_or(String::from("."), show);
                let _ = write!(text, "{shown:>13}");
            }
        }
        text.push('\n');
        text
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of a ping
fn show(cell: &Cell) -> String {
    let times = cell
        .times
        .iter()
        .map(|time| time.map_or("--".to_owned(), |time| format!("{:.2}", time as f64 / 1000.0)));
    times.collect::<Vec<_>>().join("/")
}

fn ping(lab: &Lab, from: &DemoPod, to: &DemoPod, count: u64) -> Result<Cell> {
    let time = |address: &IpAddr| -> Result<Option<u64>> {
        let (address, count) = (address.to_string(), count.to_string());
        let words = [
            "cairn-lab",
            "probe",
            "ping",
            &address,
            "--count",
            &count,
            "--interval",
            "2",
            "--patience",
            "200",
        ];
        let output = lab.exec_in(&from.node, Some(&from.pod.name), &words)?;
        // No report at all: there was no route.
        let report = Report::parse(&output.stdout).ok();
        Ok(report.filter(|report| report.received > 0 && report.lost() == 0).map(|report| report.mean_us))
    };
    let times = to.pod.addresses.iter().map(time).collect::<Result<_>>()?;
    Ok(Cell { times })
}
