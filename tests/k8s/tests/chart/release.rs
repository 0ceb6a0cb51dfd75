//! A release from its installation to its end, in a real API server.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cairn_k8s::ApiServer;
use serde_json::{Value, json};

use super::{Tools, directory};
use crate::cluster::definitions;
use crate::deploy;

/// Everything that a release may have made, by kind, but for definitions and objects of theirs.
const KINDS: &str =
    "daemonsets,deployments,poddisruptionbudgets,configmaps,secrets,serviceaccounts,roles,rolebindings";
const CLUSTER_KINDS: &str = "clusterroles,clusterrolebindings";

/// Where a definition has the fields of `spec`.
const FIELDS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
/// A field that the installed definition of pools does not have yet.
const NEW_FIELD: &str = "natOutgoing";

struct World {
    /// Ends with the value.
    _server: ApiServer,
    tools: Tools,
}

impl World {
    fn new() -> Result<Self> {
        let server = ApiServer::start()?;
        let tools = Tools::of(server.kubeconfig())?;
        Ok(Self { _server: server, tools })
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.tools.kubectl(words, "")
    }

    fn get(&self, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", what, "--output", "json"])?)?)
    }

    /// The names of what there is of some kinds that is Cairn's or Helm's.
    fn names(&self, kinds: &str) -> Result<Vec<String>> {
        let text = self.kubectl(&["get", kinds, "--output", "name"])?;
        let ours = |name: &&str| name.contains("cairn") || name.contains("sh.helm.release");
        Ok(text.lines().filter(ours).map(str::to_owned).collect())
    }

    /// Is nothing left of a release but so many lists of plugins?
    fn has_lists_alone(&self, count: usize) -> Result<()> {
        let left = self.names(KINDS)?;
        let lists = left.iter().filter(|name| name.starts_with("configmap/cairn-cni-"));
        ensure!(left.len() == count && lists.count() == count, "{left:?}");
        assert_eq!(self.names(CLUSTER_KINDS)?, Vec::<String>::new());
        Ok(())
    }

    fn definitions(&self) -> Result<usize> {
        Ok(self.names("customresourcedefinitions")?.len())
    }

    /// Whether the server knows the field that is new.
    fn knows_the_new_field(&self) -> Result<bool> {
        let found = self.get("customresourcedefinition/ippools.cairn.network")?;
        let fields = found.pointer(FIELDS).and_then(Value::as_object).context("fields of a pool")?;
        Ok(fields.contains_key(NEW_FIELD))
    }
}

/// The chart as it was before pools had a field.
fn older_chart(directory_of_copy: &Path) -> Result<()> {
    copy(&directory(), directory_of_copy)?;
    let path = directory_of_copy.join("crds/ippools.yaml");
    let text = fs::read_to_string(&path)?;
    let mut definition: Value = cairn_api::load::value("ippools.yaml", &text)?;
    let fields = definition.pointer_mut(FIELDS).and_then(Value::as_object_mut).context("fields of a pool")?;
    fields.remove(NEW_FIELD).context("the field that is new")?;
    let columns = definition.pointer_mut("/spec/versions/0/additionalPrinterColumns");
    let columns = columns.and_then(Value::as_array_mut).context("columns")?;
    columns.retain(|column| column["jsonPath"] != json!(format!(".spec.{NEW_FIELD}")));
    Ok(fs::write(path, definition.to_string())?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn pool(name: &str, cidr: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "cairn.network/v1alpha1", "kind": "IPPool",
        "metadata": { "name": name, "annotations": annotations }, "spec": { "cidr": cidr }
    })
}

#[test]
#[ignore = "needs Helm and a Kubernetes API server"]
fn a_release_comes_changes_and_goes_and_the_definitions_stay() -> Result<()> {
    let world = World::new()?;
    let scratch = tempfile::tempdir()?;
    let older = scratch.path().join("cairn");
    older_chart(&older)?;
    let kept = pool("kept", "10.244.0.0/16", &json!({ "helm.sh/resource-policy": "keep" }));
    let values = json!({ "objects": [kept, pool("gone", "10.245.0.0/16", &json!({}))] });

    // One command for all of it, objects of kinds that are new to the server among it.
    let notes = world.tools.done(&["install", "cairn", "--create-namespace"], &older, &values)?;
    ensure!(notes.contains("rollout status") && !notes.contains("no IPPool"), "{notes}");
    ensure!(world.definitions()? == definitions()?.len() && !world.knows_the_new_field()?);
    assert_eq!(world.names("ippools")?, ["ippool.cairn.network/gone", "ippool.cairn.network/kept"]);

    upgraded(&world, &values)?;
    rolled_back(&world)?;

    world.tools.release(&["uninstall", "cairn"])?;
    world.has_lists_alone(2)?;
    ensure!(world.definitions()? == definitions()?.len() && world.knows_the_new_field()?);
    assert_eq!(world.names("ippools")?, ["ippool.cairn.network/kept"]);

    // What stayed is in nobody's way.
    world.tools.done(&["install", "cairn"], &directory(), &values)?;
    assert_eq!(world.names("ippools")?.len(), 2);
    Ok(())
}

/// The newer chart brings its definitions, and the values what they say.
fn upgraded(world: &World, values: &Value) -> Result<()> {
    let mut values = values.clone();
    values["node"] = json!({ "maxUnavailable": 2 });
    values["cni"] = json!({ "chainedPlugins": [{ "type": "tuning" }] });
    let lists = world.names("configmaps")?;
    world.tools.done(&["upgrade", "cairn"], &directory(), &values)?;
    ensure!(world.definitions()? == definitions()?.len() && world.knows_the_new_field()?);
    let daemons = world.get("daemonset/cairn-node")?;
    assert_eq!(daemons["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 2);
    // Pods that mount the list of before run, or are started again, until their node has its turn.
    let now = world.names("configmaps")?;
    ensure!(lists.len() == 1 && now.len() == 2 && now.contains(&lists[0]), "{lists:?}, then {now:?}");
    let used = list_in_use(&daemons)?;
    ensure!(now.contains(&used) && used != lists[0], "{used} of {now:?}");

    // Whoever sees to the definitions himself says so.
    let mut own = values.clone();
    own["crds"] = json!({ "upgrade": false });
    let rendered = world.tools.done(&["upgrade", "cairn", "--dry-run=server"], &directory(), &own)?;
    ensure!(!rendered.contains("kind: CustomResourceDefinition"), "{rendered}");
    Ok(())
}

/// The list of plugins that a DaemonSet mounts.
fn list_in_use(daemons: &Value) -> Result<String> {
    let volumes = daemons["spec"]["template"]["spec"]["volumes"].as_array().context("volumes")?;
    let list = volumes.iter().find(|volume| volume["name"] == "cni-list").context("a list of plugins")?;
    Ok(format!("configmap/{}", list["configMap"]["name"].as_str().context("its name")?))
}

/// The older release is back, and takes the list that stayed; the field stays known, so that no object loses it.
fn rolled_back(world: &World) -> Result<()> {
    let newer = list_in_use(&world.get("daemonset/cairn-node")?)?;
    world.tools.release(&["rollback", "cairn", "1"])?;
    let daemons = world.get("daemonset/cairn-node")?;
    assert_eq!(daemons["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 1);
    let (used, lists) = (list_in_use(&daemons)?, world.names("configmaps")?);
    ensure!(used != newer && lists.contains(&used) && lists.contains(&newer), "{used} of {lists:?}");
    ensure!(world.knows_the_new_field()?);
    Ok(())
}

#[test]
#[ignore = "needs Helm and a Kubernetes API server"]
fn what_kustomize_installed_becomes_a_release_and_nothing_restarts() -> Result<()> {
    let world = World::new()?;
    let path = deploy::directory();
    let path = path.to_str().context("a path")?;
    world.kubectl(&["apply", "--kustomize", path])?;
    // Not by the generation: that of a Deployment goes on with each annotation, too.
    let workloads = ["daemonset/cairn-node", "deployment/cairn-controller"];
    let before = [world.get(workloads[0])?, world.get(workloads[1])?];

    let refused = world.tools.run(&["install", "cairn"], &directory(), &Value::Null)?;
    ensure!(!refused.status.success(), "somebody else's objects are taken unasked");
    world.tools.done(
        &["install", "cairn", "--take-ownership", "--force-conflicts"],
        &directory(),
        &Value::Null,
    )?;
    for (workload, before) in workloads.into_iter().zip(before) {
        let after = world.get(workload)?;
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "{workload}");
        assert_eq!(after["spec"], before["spec"], "{workload}");
    }
    // All of it is the release's now.
    world.tools.release(&["uninstall", "cairn"])?;
    world.has_lists_alone(1)?;
    ensure!(world.definitions()? == definitions()?.len());
    Ok(())
}
