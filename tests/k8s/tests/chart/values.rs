//! What can be chosen, and what is refused.

use anyhow::{Context, Result, ensure};
use cairn_api::load;
use serde_json::{Value, json};

use super::{NAMESPACE, Tools, directory, objects};
use crate::cluster::Cluster;
use crate::deploy;

/// Values, an object, and what is where in it.
const CHOSEN: &str = include_str!("chosen.yaml");
/// Values, and what is said.
const REFUSED: &str = include_str!("refused.yaml");

fn entries(name: &str, text: &str) -> Result<Vec<Value>> {
    Ok(load::value(name, text)?)
}

#[test]
#[ignore = "needs Helm"]
fn values_are_rendered_where_they_belong() -> Result<()> {
    let tools = Tools::new()?;
    for choice in entries("chosen.yaml", CHOSEN)? {
        let rendered = tools.rendered(&choice["values"])?;
        let object = choice["object"].as_str().and_then(|name| rendered.get(name));
        let object = object.with_context(|| choice.to_string())?;
        for (place, wanted) in choice["makes"].as_object().context("makes")? {
            let found = object.pointer(place).unwrap_or(&Value::Null);
            assert_eq!(found, wanted, "{}: {place}", choice["values"]);
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn what_is_wrong_is_refused_with_field_and_rule() -> Result<()> {
    let tools = Tools::new()?;
    for case in entries("refused.yaml", REFUSED)? {
        let values = &case["values"];
        let output = tools.run(&["template", "cairn"], &directory(), values)?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success(), "{values} is accepted");
        for part in case["said"].as_array().context("said")? {
            let part = part.as_str().context("a text")?;
            ensure!(text.contains(part), "{values}: not a word of {part}: {text}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn another_list_of_plugins_is_another_configmap_and_the_one_before_stays() -> Result<()> {
    let tools = Tools::new()?;
    let rendered = |values: Value| -> Result<(String, Value)> {
        let objects = tools.rendered(&values)?;
        let (name, list) =
            objects.iter().find(|(name, _)| name.starts_with("ConfigMap/")).context("a list")?;
        let text = list["data"]["10-cairn.conflist"].as_str().context("its text")?;
        let used = &objects["DaemonSet/cairn-node"]["spec"]["template"]["spec"]["volumes"][6];
        ensure!(name.strip_prefix("ConfigMap/") == used["configMap"]["name"].as_str(), "{name}, {used}");
        ensure!(list["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", "{list}");
        Ok((name.clone(), serde_json::from_str(text)?))
    };
    let (name, plain) = rendered(json!({}))?;
    let plugin = json!({ "type": "tuning", "sysctl": { "net.core.somaxconn": "500" } });
    let (longer, chained) = rendered(json!({ "cni": { "chainedPlugins": [plugin] } }))?;
    assert_ne!(name, longer);
    let mut wanted = plain;
    wanted["plugins"].as_array_mut().context("plugins")?.push(plugin);
    assert_eq!(chained, wanted);
    Ok(())
}

#[test]
#[ignore = "needs Helm"]
fn in_another_namespace_daemons_are_told_so() -> Result<()> {
    let mut tools = Tools::new()?;
    let usual = tools.done(&["template", "cairn"], &directory(), &Value::Null)?;
    assert!(!usual.contains("-namespace="), "{usual}");
    tools.namespace = "elsewhere";
    let text = tools.done(&["template", "cairn"], &directory(), &Value::Null)?;
    assert!(!text.contains(NAMESPACE), "{text}");
    let objects = objects(&text)?;
    for (object, container, wanted) in [
        ("DaemonSet/cairn-node", 1, "--secret-namespace=elsewhere"),
        ("Deployment/cairn-controller", 0, "--lease-namespace=elsewhere"),
        ("Deployment/cairn-controller", 0, "--secret-namespace=elsewhere"),
    ] {
        let arguments = &objects[object]["spec"]["template"]["spec"]["containers"][container]["args"];
        let given = arguments.as_array().is_some_and(|arguments| arguments.contains(&json!(wanted)));
        assert!(given, "{object}: {arguments}");
    }
    Ok(())
}

/// The server's own reading of each object, strict about fields, of all choices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Helm and a Kubernetes API server"]
async fn whatever_is_rendered_a_server_takes() -> Result<()> {
    let cluster = Cluster::start().await?;
    deploy::apply(&cluster, "namespace.yaml").await?;
    let tools = Tools::of(cluster.server.kubeconfig())?;
    let choices = entries("chosen.yaml", CHOSEN)?.into_iter().map(|choice| choice["values"].clone());
    for values in std::iter::once(json!({})).chain(choices) {
        let text = tools.done(&["template", "cairn", "--include-crds"], &directory(), &values)?;
        let words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts"];
        let words = [&words[..], &["--filename", "-"]].concat();
        let said = tools.kubectl(&words, &text).with_context(|| values.to_string())?;
        assert_eq!(said.lines().count(), objects(&text)?.len(), "{said}");
    }
    Ok(())
}
