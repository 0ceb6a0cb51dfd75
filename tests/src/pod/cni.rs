//! A CNI chain as a runtime runs it (CNI specification 1.1.0, sections 2 to 4).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::netns;

/// Where a node keeps its network configurations.
const CONFIGURATIONS: &str = "/etc/cni/net.d";

/// Where plugins are looked for: ours, then those of Debian's containernetworking-plugins.
const PLUGINS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];

/// The pod's interface.
const INTERFACE: &str = "eth0";

/// The plugins of a `.conflist`.
pub(super) struct Chain {
    name: String,
    version: String,
    plugins: Vec<Value>,
}

/// A pod as plugins are told of it.
pub(super) struct Attachment {
    pub(super) container: String,
    pub(super) pod: String,
    pub(super) arguments: Vec<String>,
    /// What the runtime gives to plugins that declare the capability, by its name.
    pub(super) capabilities: Map<String, Value>,
}

impl Chain {
    /// Reads the first configuration list in the order of the files' names.
    pub(super) fn load() -> Result<Self> {
        let entries =
            std::fs::read_dir(CONFIGURATIONS).with_context(|| format!("there is no {CONFIGURATIONS}"))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "conflist"));
        files.sort();
        let file = files.first().with_context(|| format!("there is no *.conflist in {CONFIGURATIONS}"))?;
        Self::parse(&std::fs::read_to_string(file)?).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let list: Value = serde_json::from_str(text)?;
        let field =
            |name: &str| list[name].as_str().map(ToOwned::to_owned).with_context(|| format!("no `{name}`"));
        let plugins = list["plugins"].as_array().context("no `plugins`")?.clone();
        Ok(Self { name: field("name")?, version: field("cniVersion")?, plugins })
    }

    /// ADD: each plugin gets the result of the one before. When one fails, the whole chain is deleted again.
    pub(super) fn add(&self, attachment: &Attachment) -> Result<Value> {
        let mut previous = Value::Null;
        for plugin in &self.plugins {
            match self.execute("ADD", plugin, attachment, &previous) {
                Ok(result) => previous = result,
                Err(error) => {
                    // The first error is the one that tells why.
                    let _ = self.delete(attachment, &Value::Null);
                    return Err(error);
                }
            }
        }
        Ok(previous)
    }

    /// DEL: the plugins in reverse order, each with the result that ADD had.
    pub(super) fn delete(&self, attachment: &Attachment, result: &Value) -> Result<()> {
        for plugin in self.plugins.iter().rev() {
            self.execute("DEL", plugin, attachment, result)?;
        }
        Ok(())
    }

    fn execute(
        &self,
        command: &str,
        plugin: &Value,
        attachment: &Attachment,
        previous: &Value,
    ) -> Result<Value> {
        let kind = plugin["type"].as_str().context("a plugin has no `type`")?;
        let program =
            PLUGINS.iter().map(|directory| Path::new(directory).join(kind)).find(|path| path.is_file());
        let program =
            program.with_context(|| format!("there is no plugin `{kind}` in {}", PLUGINS.join(", ")))?;
        let mut config = plugin.clone();
        config["name"] = json!(self.name);
        config["cniVersion"] = json!(self.version);
        let given = attachment.declared(plugin);
        if let Some(object) = config.as_object_mut() {
            object.remove("capabilities");
        }
        if !given.is_empty() {
            config["runtimeConfig"] = given.into();
        }
        if !previous.is_null() {
            config["prevResult"] = previous.clone();
        }
        let mut child = Command::new(program)
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &attachment.container)
            .env("CNI_NETNS", netns(&attachment.pod))
            .env("CNI_IFNAME", INTERFACE)
            .env("CNI_PATH", PLUGINS.join(":"))
            .env("CNI_ARGS", attachment.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start plugin `{kind}`"))?;
        child.stdin.take().context("standard input is piped")?.write_all(config.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{kind} {command}: {}: {}", output.status, text.trim());
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{kind} {command} did not print JSON: {text}"))
    }
}

impl Attachment {
    /// What a plugin is given of the capabilities: those that it declares.
    fn declared(&self, plugin: &Value) -> Map<String, Value> {
        let declares = |name: &str| plugin["capabilities"][name] == true;
        let given = self.capabilities.iter().filter(|(name, _)| declares(name));
        given.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// `CNI_ARGS`, with what Kubernetes' runtimes put there.
    fn variables(&self) -> String {
        let mut variables = vec![
            "IgnoreUnknown=1".to_owned(),
            "K8S_POD_NAMESPACE=default".to_owned(),
            format!("K8S_POD_NAME={}", self.pod),
            format!("K8S_POD_INFRA_CONTAINER_ID={}", self.container),
        ];
        variables.extend(self.arguments.iter().cloned());
        variables.join(";")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Attachment, Chain};

    #[test]
    fn a_plugin_is_given_what_it_declares() {
        let capabilities = json!({ "portMappings": [], "bandwidth": {} });
        let attachment = Attachment {
            container: "c".to_owned(),
            pod: "p".to_owned(),
            arguments: Vec::new(),
            capabilities: capabilities.as_object().expect("an object").clone(),
        };
        let declaring = json!({ "capabilities": { "bandwidth": true, "portMappings": false, "mac": true } });
        let given = attachment.declared(&declaring);
        assert_eq!(given.keys().collect::<Vec<_>>(), ["bandwidth"]);
        assert!(attachment.declared(&json!({})).is_empty());
    }

    #[test]
    fn a_configuration_list_names_its_network_and_version() {
        let chain = Chain::parse(r#"{"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"cairn-cni"}]}"#);
        let chain = chain.expect("the list is right");
        assert_eq!((chain.name.as_str(), chain.version.as_str(), chain.plugins.len()), ("pods", "1.1.0", 1));
        assert!(Chain::parse(r#"{"cniVersion":"1.1.0","plugins":[]}"#).is_err());
    }
}
