//! The files of `deploy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_api::load;
use serde_json::Value;

/// The directory of manifests.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

#[test]
fn the_kustomization_names_every_manifest() -> Result<()> {
    let text = std::fs::read_to_string(directory().join("kustomization.yaml"))?;
    let kustomization: Value = load::value("kustomization.yaml", &text)?;
    let named = kustomization["resources"].as_array().context("resources")?;
    let named: BTreeSet<&str> = named.iter().filter_map(Value::as_str).collect();
    let mut there = BTreeSet::new();
    for part in ["", "crds/"] {
        for entry in std::fs::read_dir(directory().join(part))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".yaml") && name != "kustomization.yaml" {
                there.insert(format!("{part}{name}"));
            }
        }
    }
    assert_eq!(named, there.iter().map(String::as_str).collect());
    Ok(())
}
