//! `cargo xtask gen`: files that are generated and kept in the tree, so that building needs nothing but cargo and installing nothing but
//! `kubectl`.
//!
//! - Every `<room>/api/proto/**/*.proto` becomes one file in `<room>/api/src/generated/`, named after its protobuf package.
//! - Every kind of `cairn.network/v1alpha1` becomes one CustomResourceDefinition in `deploy/crds/`, named after its plural.
//! - What the chart in `deploy/chart` has in common with `deploy` is copied into it ([`chart`]).

mod chart;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// What `gen` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Writes all generated files.
pub(crate) fn run(_: &Arguments) -> Result<()> {
    for (path, text) in generated()? {
        let path = workspace::root().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Fails where a generated file is not what its schema says.
pub(crate) fn check() -> Result<()> {
    let files = generated()?;
    for (path, text) in &files {
        let there = std::fs::read_to_string(workspace::root().join(path)).unwrap_or_default();
        if there != *text {
            bail!("{} is not what its schema says; run `cargo xtask gen`", path.display());
        }
    }
    println!("      {} generated files are current", files.len());
    Ok(())
}

/// Path below the root and text of every generated file.
fn generated() -> Result<BTreeMap<PathBuf, String>> {
    let mut files = protocols()?;
    let manifests = cairn_api::schema::manifests()?;
    for (name, text) in manifests {
        files.insert(Path::new(chart::DIRECTORY).join("crds").join(&name), text.clone());
        files.insert(Path::new("deploy/crds").join(name), text);
    }
    files.extend(chart::files()?);
    Ok(files)
}

fn protocols() -> Result<BTreeMap<PathBuf, String>> {
    let mut schemas: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in workspace::files()? {
        let is_schema = file.extension().is_some_and(|extension| extension == "proto");
        if let (true, Some(room)) = (is_schema, file.ancestors().find(|part| part.ends_with("proto"))) {
            schemas.entry(room.to_owned()).or_default().push(file);
        }
    }
    let mut files = BTreeMap::new();
    for (directory, schemas) in schemas {
        let room = directory.parent().context("a proto directory lies in a package")?.join("src/generated");
        files.extend(compile(&directory, &schemas)?.into_iter().map(|(name, text)| (room.join(name), text)));
    }
    Ok(files)
}

/// Compiles the schemas of one directory into a scratch directory and reads the result back.
fn compile(directory: &Path, schemas: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let root = workspace::root();
    let absolute = schemas.iter().map(|schema| root.join(schema));
    let descriptors = protox::compile(absolute, [root.join(directory)])?;
    let scratch = std::env::temp_dir().join(format!("cairn-gen-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = tonic_prost_build::configure()
        .out_dir(&scratch)
        .emit_rerun_if_changed(false)
        // Addresses are slices of the message that they came in, not allocations of their own.
        .bytes(".")
        .compile_fds(descriptors)
        .context("code generation failed")
        .and_then(|()| collect(&scratch));
    std::fs::remove_dir_all(&scratch)?;
    result
}

fn collect(scratch: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(scratch)? {
        let path = entry?.path();
        process::run(
            Command::new("rustfmt")
                .args(["--edition", "2024", "--config-path", "rustfmt.toml"])
                .arg(&path)
                .current_dir(workspace::root()),
        )?;
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        files.push((name, std::fs::read_to_string(&path)?));
    }
    Ok(files)
}
