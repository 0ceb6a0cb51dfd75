//! Licences of all dependencies: by `cargo deny` where it is installed (advisories and duplicates too), and always by a look
//! at what the packages declare.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::{process, workspace};

/// The list of licences that Apache-2.0 software may include is in there.
const DENY: &str = include_str!("../../../deny.toml");

/// The texts between the brackets of `allow`.
fn allowed() -> impl Iterator<Item = &'static str> {
    let list = DENY.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map(|(list, _)| list).unwrap_or_default().split('"').skip(1).step_by(2)
}

/// Checks every package in Cargo.lock.
pub(super) fn run() -> Result<()> {
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or_default();
            (!acceptable(licence))
                .then(|| format!("{} {}: `{licence}`", text(package, "name"), text(package, "version")))
        })
        .collect();
    if !refused.is_empty() {
        bail!("licences that are not on the list:\n  {}", refused.join("\n  "));
    }
    println!("      {} packages, all under permissive licences", packages.len());
    if process::find("cargo-deny").is_none() {
        println!("      note: cargo-deny is not installed, so advisories and duplicates were not looked at");
        return Ok(());
    }
    process::run(workspace::cargo().args(["deny", "check"]))
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Judges an SPDX expression of licences joined by OR (or the older slash), AND and parentheses.
fn acceptable(expression: &str) -> bool {
    let flat = expression.replace('/', " OR ");
    match outer_split(&flat, " AND ") {
        parts if parts.len() > 1 => parts.iter().all(|part| acceptable(part)),
        _ => match outer_split(&flat, " OR ") {
            parts if parts.len() > 1 => parts.iter().any(|part| acceptable(part)),
            _ => {
                let one = flat.trim();
                match one.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
                    Some(inner) => acceptable(inner),
                    None => allowed().any(|licence| licence == one),
                }
            }
        },
    }
}

/// Splits at a word, outside of parentheses.
fn outer_split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(word) => {
                parts.push(&text[start..at]);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::acceptable;

    #[test]
    fn one_alternative_is_enough_and_every_conjunct_is_needed() {
        assert!(acceptable("MIT OR GPL-3.0"));
        assert!(acceptable("MIT/Apache-2.0"));
        assert!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(acceptable("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
        assert!(!acceptable("MIT AND GPL-2.0-only"));
        assert!(!acceptable("GPL-3.0-or-later"));
        assert!(!acceptable(""));
    }
}
