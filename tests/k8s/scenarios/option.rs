//! How long and how often some scenarios do what they do: little by default, for all of them run at every commit.

use std::env::{self, VarError};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};

/// How often the DaemonSet is rolled out.
pub(crate) fn rollouts() -> Result<u64> {
    number("CAIRN_ROLLOUTS", 2, 1..=100)
}

/// How long the API server is away at least, in seconds.
pub(crate) fn outage_seconds() -> Result<u64> {
    number("CAIRN_OUTAGE_SECONDS", 20, 1..=1200)
}

fn number(name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
    let text = match env::var(name) {
        Ok(text) => text,
        Err(VarError::NotPresent) => return Ok(default),
        Err(VarError::NotUnicode(text)) => bail!("{name}: `{}` is no number", text.display()),
    };
    let number = text.parse().with_context(|| format!("{name}: `{text}` is no number"))?;
    let (least, most) = (range.start(), range.end());
    ensure!(range.contains(&number), "{name}: {number} is not from {least} to {most}");
    Ok(number)
}
