//! The files of `deploy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_api::load;
use http::Method;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The directory of manifests.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Creates the objects of a file of `deploy`, each where its kind belongs.
pub(crate) async fn apply(cluster: &Cluster, file: &str) -> Result<()> {
    let text = std::fs::read_to_string(directory().join(file))?;
    for part in text.split("\n---\n") {
        let object: Value = load::value(file, part)?;
        let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let (version, kind) = version.zip(kind).context("apiVersion and kind")?;
        let root = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let scope = object["metadata"]["namespace"].as_str().map(|name| format!("/namespaces/{name}"));
        let path = format!("{root}{}/{}s", scope.unwrap_or_default(), kind.to_lowercase());
        cluster.send(Method::POST, &path, &object).await.with_context(|| format!("{file}: {kind}"))?;
    }
    Ok(())
}

/// A kubeconfig file of an account of `cairn-system`.
pub(crate) async fn account(cluster: &Cluster, name: &str) -> Result<PathBuf> {
    let path = format!("/api/v1/namespaces/cairn-system/serviceaccounts/{name}/token");
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let answer = cluster.send(Method::POST, &path, &request).await?;
    cluster.server.kubeconfig_of_token(name, answer["status"]["token"].as_str().context("a token")?)
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

#[test]
fn the_overlay_beside_calico_is_of_all_that_there_is_and_confines_the_daemons() -> Result<()> {
    let read = |file: &str| -> Result<Value> {
        let text = std::fs::read_to_string(directory().join(file))?;
        Ok(load::value(file, &text)?)
    };
    let overlay = read("beside-calico/kustomization.yaml")?;
    // What the parent becomes, by `kubectl kustomize`: kustomize takes no directory that contains the overlay, and the file is in nobody's way.
    assert_eq!(overlay["resources"], json!(["all.yaml"]));
    let ignored = std::fs::read_to_string(directory().join("beside-calico/.gitignore"))?;
    assert!(ignored.lines().any(|line| line == "all.yaml"));
    let text = std::fs::read_to_string(directory().join("beside-calico/kustomization.yaml"))?;
    assert!(text.contains("kubectl kustomize deploy > deploy/beside-calico/all.yaml"), "how it is made");

    let daemons = read("daemonset.yaml")?;
    let [entry] = overlay["patches"].as_array().context("patches")?.as_slice() else {
        anyhow::bail!("one patch: {overlay}");
    };
    let patch: Value = load::value("patch", entry["patch"].as_str().context("patch")?)?;
    for field in ["apiVersion", "kind"] {
        assert_eq!(patch[field], daemons[field]);
    }
    assert_eq!(entry["target"]["kind"], daemons["kind"]);
    for field in ["name", "namespace"] {
        assert_eq!(patch["metadata"][field], daemons["metadata"][field]);
        assert_eq!(entry["target"][field], daemons["metadata"][field]);
    }
    // The guide's labels are those of the overlay.
    let confined = &patch["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(confined, &json!({ "cairn.network/moved": "to-cairn" }));
    let guide = std::fs::read_to_string(directory().join("../docs/guide/migrate-from-calico.md"))?;
    for said in [
        "kubectl apply -k deploy/beside-calico",
        "cairn.network/moved=to-cairn",
        r#""key":"cairn.network/moved","operator":"DoesNotExist""#,
    ] {
        assert!(guide.contains(said), "{said}");
    }
    Ok(())
}
