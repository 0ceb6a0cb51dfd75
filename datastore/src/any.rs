//! The store that a command line names.

use std::path::PathBuf;
use std::str::FromStr;

use cairn_api::{Kind, Object};

use crate::{
    Access, ConnectError, Datastore, DirectoryStore, Key, KubeStore, List, Precondition, Query, StoreError,
    Watch,
};

/// Where objects are, as text: `dir:/path`, `kubernetes`, `kubeconfig:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// YAML files in a directory.
    Directory(PathBuf),
    /// A Kubernetes API server.
    Kubernetes(Access),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "kubernetes" {
            return Ok(Self::Kubernetes(Access::InCluster));
        }
        match text.split_once(':') {
            Some(("dir", path)) if path.starts_with('/') => Ok(Self::Directory(path.into())),
            Some(("kubeconfig", path)) if path.starts_with('/') => {
                Ok(Self::Kubernetes(Access::Kubeconfig(path.into())))
            }
            _ => Err("must be dir: or kubeconfig: and an absolute path, such as dir:/etc/cairn/objects, or kubernetes \
                      (as a pod of the cluster)"
                .to_owned()),
        }
    }
}

/// One of the stores that outlive a process.
#[derive(Debug, Clone)]
pub enum AnyStore {
    /// YAML files in a directory.
    Directory(DirectoryStore),
    /// A Kubernetes API server.
    Kube(KubeStore),
}

impl AnyStore {
    /// Opens a store. To be called inside of a runtime.
    ///
    /// # Errors
    /// The API server cannot be looked for: see [`ConnectError`]. A directory is made when it is needed.
    pub async fn open(url: &StoreUrl) -> Result<Self, ConnectError> {
        Ok(match url {
            StoreUrl::Directory(root) => Self::Directory(DirectoryStore::new(root)),
            StoreUrl::Kubernetes(access) => Self::Kube(KubeStore::connect(access).await?),
        })
    }
}

impl Datastore for AnyStore {
    async fn get<K: Kind>(&self, key: &Key) -> Result<Object<K>, StoreError> {
        match self {
            Self::Directory(store) => store.get(key).await,
            Self::Kube(store) => store.get(key).await,
        }
    }

    async fn list<K: Kind>(&self, query: &Query) -> Result<List<K>, StoreError> {
        match self {
            Self::Directory(store) => store.list(query).await,
            Self::Kube(store) => store.list(query).await,
        }
    }

    fn watch<K: Kind>(&self, query: Query) -> Watch<K> {
        match self {
            Self::Directory(store) => store.watch(query),
            Self::Kube(store) => store.watch(query),
        }
    }

    async fn create<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        match self {
            Self::Directory(store) => store.create(object).await,
            Self::Kube(store) => store.create(object).await,
        }
    }

    async fn update<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        match self {
            Self::Directory(store) => store.update(object).await,
            Self::Kube(store) => store.update(object).await,
        }
    }

    async fn update_status<K: Kind>(&self, object: &Object<K>) -> Result<Object<K>, StoreError> {
        match self {
            Self::Directory(store) => store.update_status(object).await,
            Self::Kube(store) => store.update_status(object).await,
        }
    }

    async fn delete<K: Kind>(&self, key: &Key, precondition: &Precondition) -> Result<(), StoreError> {
        match self {
            Self::Directory(store) => store.delete::<K>(key, precondition).await,
            Self::Kube(store) => store.delete::<K>(key, precondition).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_directory_or_a_cluster() {
        let parsed = |text: &str| text.parse::<StoreUrl>();
        assert_eq!(parsed("dir:/tmp/x"), Ok(StoreUrl::Directory("/tmp/x".into())));
        assert_eq!(parsed("kubernetes"), Ok(StoreUrl::Kubernetes(Access::InCluster)));
        let file = Access::Kubeconfig("/etc/cairn/kubeconfig".into());
        assert_eq!(parsed("kubeconfig:/etc/cairn/kubeconfig"), Ok(StoreUrl::Kubernetes(file)));
        for bad in
            ["", "dir:", "dir:relative", "kubeconfig:", "kubeconfig:x", "/tmp/x", "etcd:/x", "kubernetes:/x"]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
