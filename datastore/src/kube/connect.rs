//! Where the API server is, and who we are to it.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;

/// A TCP or TLS connection that takes longer than this is one to a server that is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// How to find the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// As a pod: `KUBERNETES_SERVICE_HOST`, and the service account's files, which are read again as they are renewed.
    InCluster,
    /// By a kubeconfig file and its current context.
    Kubeconfig(PathBuf),
}

/// Why there can be no client. Whether a server answers shows later.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// We are no pod, or one without a service account.
    #[error("the API server cannot be found as a pod finds it: {0}")]
    InCluster(#[source] kube::config::InClusterError),
    /// The file cannot be used.
    #[error("kubeconfig {path}: {source}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// Certificates or keys cannot be used.
    #[error("no client for the API server: {0}")]
    Client(#[source] kube::Error),
}

/// Makes a client. Must be called inside of a runtime; connects to nobody yet.
pub(super) async fn client(access: &Access) -> Result<Client, ConnectError> {
    let mut config = match access {
        Access::InCluster => Config::incluster_env().map_err(ConnectError::InCluster)?,
        Access::Kubeconfig(path) => {
            let refused = |source| ConnectError::Kubeconfig { path: path.clone(), source };
            let file = Kubeconfig::read_from(path).map_err(refused)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(refused)?
        }
    };
    config.connect_timeout = Some(CONNECT);
    // Who asks decides when to ask again: watches do, with back-off, and writes are decided anew.
    config.default_retry = false;
    Client::try_from(config).map_err(ConnectError::Client)
}
