//! Which node, and which store: options that several subjects have.

use std::path::PathBuf;

use cairn_datastore::DirectoryStore;
use clap::Args;

use crate::Error;

/// Where the directory store is unless told otherwise, as for felix-lite.
const STORE: &str = "/etc/cairn/objects";

#[derive(Args)]
pub(crate) struct Store {
    /// Directory of the store.
    #[arg(long = "store", value_name = "PATH", env = "CAIRN_STORE", global = true, default_value = STORE)]
    pub(crate) path: PathBuf,
}

impl Store {
    /// The store, if its directory is there.
    pub(crate) fn find(&self) -> Option<DirectoryStore> {
        self.path.is_dir().then(|| DirectoryStore::new(self.path.clone()))
    }

    /// The store; an error where its directory is not there.
    pub(crate) fn open(&self) -> Result<DirectoryStore, Error> {
        self.find().ok_or_else(|| Error::File {
            path: self.path.display().to_string(),
            source: std::io::ErrorKind::NotFound.into(),
        })
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
