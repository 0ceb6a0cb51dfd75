//! The chart in `deploy/chart`, by the real Helm: it says what `deploy` says.

mod release;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use cairn_api::load;
use cairn_k8s::program::Program;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy;

/// The namespace of `deploy`.
const NAMESPACE: &str = "cairn-system";

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

/// The chart.
fn directory() -> PathBuf {
    deploy::directory().join("chart/cairn")
}

/// Helm and kubectl, with caches of their own; they know no cluster unless they are given one.
struct Tools {
    home: TempDir,
    kubeconfig: PathBuf,
    namespace: &'static str,
}

impl Tools {
    fn new() -> Result<Self> {
        Self::of("/dev/null")
    }

    /// With the cluster of a kubeconfig file.
    fn of(kubeconfig: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { home: tempfile::tempdir()?, kubeconfig: kubeconfig.into(), namespace: NAMESPACE })
    }

    fn command(&self, program: Program, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(program.path()?);
        for kind in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"] {
            command.env(kind, self.home.path().join(kind));
        }
        command.env("KUBECONFIG", &self.kubeconfig).args(words);
        // What is applied says itself where it belongs: not all of it is in one namespace.
        if program == Program::Helm || words.first() == Some(&"get") {
            command.args(["--namespace", self.namespace]);
        }
        Ok(command)
    }

    /// Has Helm do something with a chart; values that are not null come by its input.
    fn run(&self, words: &[&str], chart: &Path, values: &Value) -> Result<Output> {
        let mut helm = self.command(Program::Helm, words)?;
        helm.arg(chart);
        if !values.is_null() {
            helm.args(["--values", "-"]);
        }
        with_input(helm, &values.to_string())
    }

    /// As [`Tools::run`]; what fails is an error.
    fn done(&self, words: &[&str], chart: &Path, values: &Value) -> Result<String> {
        printed(self.run(words, chart, values)?).with_context(|| format!("helm {words:?} {values}"))
    }

    /// Has Helm do something with a release that is there.
    fn release(&self, words: &[&str]) -> Result<String> {
        let helm = self.command(Program::Helm, words)?;
        printed(with_input(helm, "")?).with_context(|| format!("helm {words:?}"))
    }

    fn kubectl(&self, words: &[&str], input: &str) -> Result<String> {
        let kubectl = self.command(Program::Kubectl, words)?;
        printed(with_input(kubectl, input)?).with_context(|| format!("kubectl {words:?}"))
    }

    /// What kustomize makes of a directory.
    fn kustomized(&self, directory: &Path) -> Result<String> {
        self.kubectl(&["kustomize", directory.to_str().context("a path that is text")?], "")
    }

    /// What the chart renders with some values, without the definitions.
    fn rendered(&self, values: &Value) -> Result<Objects> {
        objects(&self.done(&["template", "cairn"], &directory(), values)?)
    }
}

fn with_input(mut command: Command, input: &str) -> Result<Output> {
    // A file, and no pipe: whoever reads nothing of it is no error.
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    command.stdin(file).output().context("cannot start it")
}

fn printed(output: Output) -> Result<String> {
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// Reads manifests; none is there twice.
fn objects(manifests: &str) -> Result<Objects> {
    let mut found = Objects::new();
    for object in load::dump("manifests", manifests)? {
        let name = |value: &Value| value.as_str().map(str::to_owned);
        let (kind, name) =
            name(&object["kind"]).zip(name(&object["metadata"]["name"])).context("kind, name")?;
        let twice = found.insert(format!("{kind}/{name}"), object);
        ensure!(twice.is_none(), "{kind} {name} is there twice");
    }
    Ok(found)
}

/// Each object of the one is the same in the other, field by field.
fn same(chart: &Objects, kustomized: &Objects) {
    for (name, object) in kustomized {
        assert_eq!(chart.get(name), Some(object), "{name}: left of the chart, right of `deploy`");
    }
    assert!(chart.keys().eq(kustomized.keys()), "objects of the chart alone: {:?}", chart.keys());
}

/// Without what Helm alone has to be told: that a list of plugins stays when another takes its place. `kubectl apply` deletes nothing.
fn as_kustomize_has_it(mut objects: Objects) -> Result<Objects> {
    let lists = objects.iter_mut().filter(|(name, _)| name.starts_with("ConfigMap/"));
    for (name, list) in lists {
        let metadata = list["metadata"].as_object_mut().context("metadata")?;
        let told = metadata.remove("annotations");
        ensure!(told == Some(json!({ "helm.sh/resource-policy": "keep" })), "{name}: {told:?}");
    }
    Ok(objects)
}

#[test]
fn the_version_is_that_of_the_programs() -> Result<()> {
    let text = fs::read_to_string(directory().join("Chart.yaml"))?;
    let chart: Value = load::value("Chart.yaml", &text)?;
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn lint_finds_nothing() -> Result<()> {
    let text = Tools::new()?.done(&["lint", "--strict"], &directory(), &json!({}))?;
    assert!(text.contains("1 chart(s) linted, 0 chart(s) failed"), "{text}");
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn with_its_own_values_it_is_what_kustomize_makes() -> Result<()> {
    let tools = Tools::new()?;
    let words = ["template", "cairn", "--include-crds"];
    let chart = as_kustomize_has_it(objects(&tools.done(&words, &directory(), &Value::Null)?)?)?;
    let mut kustomized = objects(&tools.kustomized(&deploy::directory())?)?;
    // `helm install --create-namespace` makes it.
    assert!(kustomized.remove("Namespace/cairn-system").is_some());
    same(&chart, &kustomized);
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn beside_calico_it_is_what_the_overlay_makes() -> Result<()> {
    let tools = Tools::new()?;
    let scratch = tempfile::tempdir()?;
    fs::write(scratch.path().join("all.yaml"), tools.kustomized(&deploy::directory())?)?;
    let overlay = deploy::directory().join("beside-calico/kustomization.yaml");
    fs::copy(overlay, scratch.path().join("kustomization.yaml"))?;
    let mut kustomized = objects(&tools.kustomized(scratch.path())?)?;
    kustomized.retain(|name, _| !name.starts_with("Namespace/") && !name.starts_with("CustomResource"));
    same(&as_kustomize_has_it(tools.rendered(&json!({ "besideCalico": true }))?)?, &kustomized);
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn a_package_has_everything() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let tools = Tools::new()?;
    let target = scratch.path().to_str().context("a path")?;
    tools.done(&["package", "--destination", target], &directory(), &Value::Null)?;
    let package = scratch.path().join(concat!("cairn-", env!("CARGO_PKG_VERSION"), ".tgz"));
    let words = ["template", "cairn", "--include-crds"];
    let (packed, tree) =
        (tools.done(&words, &package, &Value::Null)?, tools.done(&words, &directory(), &Value::Null)?);
    same(&objects(&packed)?, &objects(&tree)?);
    Ok(())
}
