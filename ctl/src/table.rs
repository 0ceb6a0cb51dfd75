//! Tables for people: columns as wide as what is in them.

use cairn_net::Asn;

use crate::Error;
use crate::output::Output;

/// Rows with a heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&text| text.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self, output: &mut Output) -> Result<(), Error> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A neighbour's AS: none is known of an external one before its first session.
pub(crate) fn remote_as(asn: Asn) -> String {
    if asn == Asn::ZERO { "external".to_owned() } else { asn.to_string() }
}

/// A time as people read it: `47s`, `12m3s`, `5h2m`, `3d4h`.
pub(crate) fn age(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86400 => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_with_two_units() {
        let texts = [0, 59, 60, 3599, 3600, 86399, 86400, 1_000_000].map(|s| age(Duration::from_secs(s)));
        assert_eq!(texts, ["0s", "59s", "1m0s", "59m59s", "1h0m", "23h59m", "1d0h", "11d13h"]);
    }
}
