//! Which node, and which store: options that several subjects have.

use cairn_datastore::{AnyStore, StoreUrl};
use clap::Args;

use crate::Error;

/// Where the directory store is unless told otherwise, as for felix-lite.
const STORE: &str = "dir:/etc/cairn/objects";

#[derive(Args)]
pub(crate) struct Store {
    /// Where the cluster's objects are, as for felix-lite: dir:/path or the path alone, kubeconfig:/path, kubernetes.
    #[arg(long = "store", value_name = "STORE", env = "CAIRN_STORE", global = true, default_value = STORE, value_parser = url)]
    pub(crate) url: StoreUrl,
}

/// A path alone is that of a directory.
fn url(text: &str) -> Result<StoreUrl, String> {
    let path = text.starts_with(['/', '.']) || !text.contains(':') && text != "kubernetes";
    if path { Ok(StoreUrl::Directory(text.into())) } else { text.parse() }
}

impl Store {
    /// The store; an error where its directory is not there, or nothing says where the API server is.
    pub(crate) async fn open(&self) -> Result<AnyStore, Error> {
        if let StoreUrl::Directory(path) = &self.url
            && !path.is_dir()
        {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(Error::File { path: path.display().to_string(), source });
        }
        Ok(AnyStore::open(&self.url).await?)
    }
}

#[derive(Args)]
pub(crate) struct ThisNode {
    /// Name of this node's Node object [default: the host's name].
    #[arg(long = "node-name", env = "CAIRN_NODE_NAME", global = true)]
    pub(crate) name: Option<String>,
}

impl ThisNode {
    /// The name given, else the host's.
    pub(crate) fn name(&self) -> Result<String, Error> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let path = "/proc/sys/kernel/hostname";
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(text.trim().to_lowercase())
    }
}
