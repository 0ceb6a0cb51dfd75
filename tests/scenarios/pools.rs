//! IPPool objects of a lab, edited as an operator would.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::wait::eventually;
use crate::world::{SETTLES, World};

fn directory(world: &World) -> PathBuf {
    world.directory().join("volumes/objects/ippools")
}

/// The file of a pool.
pub(crate) fn path(world: &World, name: &str) -> PathBuf {
    directory(world).join(format!("{name}.yaml"))
}

fn files(world: &World) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let directory = directory(world);
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    ensure!(!found.is_empty(), "no pools in {}", directory.display());
    Ok(found)
}

/// Makes these the modes of every pool, or gives it another field.
pub(crate) fn set_modes(world: &World, modes: &str) -> Result<()> {
    set_modes_of(world, |_| true, modes)
}

/// As [`set_modes`], of the pools with some names. Under the lock of the store, so that no node that writes a status at this moment undoes it.
pub(crate) fn set_modes_of(world: &World, of: impl Fn(&str) -> bool, modes: &str) -> Result<()> {
    let path = directory(world).join(".lock");
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    for path in files(world)? {
        if path.file_stem().and_then(|name| name.to_str()).is_some_and(&of) {
            set(&path, modes)?;
        }
    }
    Ok(())
}

fn set(path: &Path, modes: &str) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let (head, tail) = text.split_once("\nspec:\n").context("a pool has a spec")?;
    // The spec ends where the next key of the document begins; what is in force, in the status, has the same names.
    let end = tail.find("\nstatus:").map_or(tail.len(), |at| at + 1);
    let (spec, rest) = tail.split_at(end);
    let key = modes.split_once(':').map_or(modes, |(key, _)| key);
    let replaced = |line: &str| {
        let (field, _) = line.trim_start().split_once(':').unwrap_or_default();
        field == key || (key.ends_with("Mode") && matches!(field, "ipipMode" | "vxlanMode"))
    };
    let kept: Vec<&str> = spec.lines().filter(|line| !replaced(line)).collect();
    let text = format!("{head}\nspec:\n  {modes}\n{}\n{rest}", kept.join("\n"));
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)?;
    Ok(std::fs::rename(&draft, path)?)
}

/// Waits until a condition of every pool is so.
pub(crate) fn await_condition(world: &World, kind: &str, status: &str, reason: &str) -> Result<()> {
    eventually(SETTLES, || {
        for path in files(world)? {
            let text = std::fs::read_to_string(&path)?;
            let object: Value = serde_yaml::from_str(&text)?;
            let conditions = object["status"]["conditions"].as_array().context("no conditions")?;
            let found = conditions.iter().find(|condition| condition["type"] == kind);
            let found = found.with_context(|| format!("no condition {kind}: {text}"))?;
            ensure!(found["status"] == status && found["reason"] == reason, "{found}");
        }
        Ok(())
    })
    .map(|_| ())
}
