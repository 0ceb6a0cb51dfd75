//! The topologies of the lab are valid for the real containerlab: held against its own JSON schema.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_lab::gotools;

#[test]
#[ignore = "needs Go and its module proxy: run by cargo xtask test --tier lab"]
fn every_topology_is_valid_for_containerlab() -> Result<()> {
    let files = topologies()?;
    ensure!(files.len() >= 10, "only {} topologies were found", files.len());
    validate(&files)
}

#[test]
#[ignore = "needs Go and its module proxy: run by cargo xtask test --tier lab"]
fn a_key_that_containerlab_does_not_know_is_found() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("wrong.clab.yml");
    let topology = "name: wrong\ntopology:\n  nodes:\n    one:\n      kind: linux\n      imagge: debian:12\n";
    std::fs::write(&file, topology)?;
    let error = validate(&[file]).expect_err("`imagge` is no key of containerlab");
    ensure!(error.to_string().contains("imagge"), "{error:#}");
    Ok(())
}

fn topologies() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    let mut files = Vec::new();
    for entry in directory.read_dir().with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".clab.yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn validate(files: &[PathBuf]) -> Result<()> {
    let validator = gotools::directory()?.join("jv");
    let output = Command::new(validator).arg(gotools::containerlab_schema()?).args(files).output()?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}");
    for file in files {
        ensure!(
            text.contains(&format!("{}: ok", file.display())),
            "{} was not looked at: {text}",
            file.display()
        );
    }
    Ok(())
}
