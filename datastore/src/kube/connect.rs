//! Where the API server is, and who we are to it.

use std::path::PathBuf;
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use thiserror::Error;
use tower::{BoxError, ServiceBuilder};

/// A TCP or TLS connection that takes longer than this is one to a server that is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection over which nothing came for so long is asked whether it lives. All watches share it: one that died without a word takes all
/// of them with it.
const ASK: Duration = Duration::from_secs(30);
/// One that does not answer for so long is dead.
const ANSWER: Duration = Duration::from_secs(15);
/// Octets of an answer that nobody has read yet, and of all of them: as many as all watches and some requests together, so that a slow
/// reader holds nobody else up.
const UNREAD: u32 = 512 << 10;
const ALL_UNREAD: u32 = 32 * UNREAD;

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
    /// The name that the server's certificate should have is none.
    #[error("tls-server-name {name:?} of the kubeconfig is no name of a host")]
    ServerName {
        /// What it says.
        name: String,
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
    stack(&config)
}

/// What kube makes of a configuration, but over HTTP/2 where the server has it: kube itself takes a connection for each watch. Nothing asks
/// again by itself: who asks decides when, watches with back-off, and writes are decided anew.
fn stack(config: &Config) -> Result<Client, ConnectError> {
    let mut tcp = HttpConnector::new();
    // Plain HTTP is told from TLS by the URL.
    tcp.enforce_http(false);
    let tls = config.rustls_client_config().map_err(ConnectError::Client)?;
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let refused = |_| ConnectError::ServerName { name: name.clone() };
        let name = name.clone().try_into().map_err(refused)?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(https.enable_all_versions().wrap_connector(tcp));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let http = Http::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(ASK)
        .http2_keep_alive_timeout(ANSWER)
        .http2_initial_stream_window_size(UNREAD)
        .http2_initial_connection_window_size(ALL_UNREAD)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(ConnectError::Client)?)
        .layer(config.extra_headers_layer().map_err(ConnectError::Client)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
