//! An API server that knows Cairn's kinds, and what tests need beside the store that they test.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cairn_api::load;
use cairn_datastore::{Access, KubeStore};
use cairn_k8s::ApiServer;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

/// The path of all definitions.
pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// How long a server may take to serve a new kind.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    /// The store that is tested.
    pub(crate) store: KubeStore,
    /// An administrator's client, for what no store does.
    client: Client,
}

impl Cluster {
    /// A server with the definitions of `deploy/crds`, all of them served.
    pub(crate) async fn start() -> Result<Self> {
        let server = tokio::task::spawn_blocking(ApiServer::start).await??;
        let store = KubeStore::connect(&Access::Kubeconfig(server.kubeconfig().to_owned())).await?;
        let file = Kubeconfig::read_from(server.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let cluster = Self { server, store, client: Client::try_from(config)? };
        let definitions = definitions()?;
        for (name, definition) in &definitions {
            cluster.send(Method::POST, DEFINITIONS, definition).await.with_context(|| name.clone())?;
        }
        for (name, definition) in &definitions {
            cluster.await_served(definition).await.with_context(|| name.clone())?;
        }
        Ok(cluster)
    }

    /// A request as anybody may send it; what the server refuses is an error.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", "application/json")
            .body(body)?;
        Ok(serde_json::from_str(&self.client.request_text(request).await?)?)
    }

    async fn await_served(&self, definition: &Value) -> Result<()> {
        let started = Instant::now();
        let name = definition["metadata"]["name"].as_str().context("a name")?;
        loop {
            let found = self.send(Method::GET, &format!("{DEFINITIONS}/{name}"), &Value::Null).await?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let holds = |kind: &str| {
                conditions.iter().any(|found| found["type"] == kind && found["status"] == "True")
            };
            ensure!(!holds("NonStructuralSchema"), "not structural: {conditions:?}");
            let plural = definition["spec"]["names"]["plural"].as_str().context("a plural")?;
            let list = format!("/apis/cairn.network/v1alpha1/{plural}?limit=1");
            if holds("Established")
                && holds("NamesAccepted")
                && self.send(Method::GET, &list, &Value::Null).await.is_ok()
            {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("not served after {} s: {conditions:?}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The manifests of `deploy/crds` by name.
pub(crate) fn definitions() -> Result<Vec<(String, Value)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        let manifest: Value = load::value(&name, &std::fs::read_to_string(&path)?)?;
        if manifest["kind"] == "CustomResourceDefinition" {
            found.push((name, manifest));
        }
    }
    ensure!(found.len() >= 11, "only {} definitions", found.len());
    Ok(found)
}
