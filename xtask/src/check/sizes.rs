//! A report of file sizes: a habit to watch, no gate.

use anyhow::Result;

use crate::workspace;

/// Past this many lines a file is usually two rooms.
const LONG: usize = 500;

/// Prints the totals and every long file of production code.
pub(super) fn run() -> Result<()> {
    let mut sizes = Vec::new();
    let mut test_lines = 0;
    for file in workspace::files()? {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(workspace::root().join(&file))?;
        let name = file.to_string_lossy().into_owned();
        let lines = text.lines().count();
        if name.ends_with("/tests.rs") || name.contains("/tests/") || name.contains("/generated/") {
            test_lines += lines;
            continue;
        }
        let production = text.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(lines);
        test_lines += lines - production;
        sizes.push((production, name));
    }
    sizes.sort_unstable_by(|left, right| right.cmp(left));
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    println!(
        "      {} files, {total} lines, median {median}; tests and generated code: {test_lines} lines",
        sizes.len()
    );
    for (lines, name) in sizes.iter().take_while(|(lines, _)| *lines > LONG) {
        println!("      long: {lines:>5} lines  {name}");
    }
    Ok(())
}
