//! Every path that ARCHITECTURE.md names in backquotes exists, so that the map does not rot.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Documents that are maps of the repository.
const MAPS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];

/// Checks all maps.
pub(super) fn run() -> Result<()> {
    let mut missing = Vec::new();
    let mut count = 0;
    for map in MAPS {
        let path = workspace::root().join(map);
        if !path.exists() && map != "ARCHITECTURE.md" {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {map}"))?;
        for (number, line) in text.lines().enumerate() {
            for name in named(line) {
                count += 1;
                if !exists(name) {
                    missing.push(format!("{map}:{}: {name}", number + 1));
                }
            }
        }
    }
    if !missing.is_empty() {
        bail!("paths that do not exist:\n  {}", missing.join("\n  "));
    }
    println!("      {count} paths exist");
    Ok(())
}

/// The paths in backquotes on one line: relative, with a slash, below a directory that the repository has.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| {
        let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
        let first = text.split('/').next().unwrap_or_default();
        plain && !first.is_empty() && text.contains('/') && workspace::root().join(first).is_dir()
    })
}

fn exists(name: &str) -> bool {
    workspace::root().join(Path::new(name)).exists()
}
