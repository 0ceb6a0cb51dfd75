//! The command line.

use std::net::SocketAddr;

use cairn_api::GoDuration;
use cairn_datastore::StoreUrl;
use clap::{Parser, ValueEnum};

/// Cairn's controller: gives back addresses that leaked, and clears away what gone nodes left.
#[derive(Debug, Clone, Parser)]
#[command(name = "cairn-controller", version, about)]
pub struct Args {
    /// Where the cluster's objects are: kubernetes (as a pod of the cluster), or kubeconfig:/path
    #[arg(long, env = "CAIRN_DATASTORE", value_name = "STORE", default_value = "kubernetes", value_parser = api_server)]
    pub datastore: StoreUrl,
    /// By which name this one is known among several [default: the host's name]
    #[arg(long, env = "CAIRN_CONTROLLER_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// Namespace of the Lease cairn-controller
    #[arg(long, env = "CAIRN_LEASE_NAMESPACE", value_name = "NAMESPACE", default_value = "cairn-system")]
    pub lease_namespace: String,
    /// After how long without renewal another one takes over, in whole seconds
    #[arg(long, env = "CAIRN_LEASE_DURATION", value_name = "DURATION", default_value = "15s")]
    pub lease_duration: GoDuration,
    /// How often everything is looked at
    #[arg(long, env = "CAIRN_INTERVAL", value_name = "DURATION", default_value = "5m")]
    pub interval: GoDuration,
    /// For how long something must look leaked or gone before anything is done about it
    #[arg(long, env = "CAIRN_GRACE", value_name = "DURATION", default_value = "15m")]
    pub grace: GoDuration,
    /// Log what would be done, and do nothing
    #[arg(long, env = "CAIRN_DRY_RUN")]
    pub dry_run: bool,
    /// Where /livez and /metrics are answered over HTTP, such as 127.0.0.1:9095 [default: nowhere]
    #[arg(long, env = "CAIRN_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// How log lines look
    #[arg(long, env = "CAIRN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, also by module
    #[arg(long, env = "CAIRN_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A directory has no pods: every address would look leaked.
fn api_server(text: &str) -> Result<StoreUrl, String> {
    match text.parse()? {
        StoreUrl::Directory(_) => {
            Err("must be an API server: a directory does not know which pods there are".to_owned())
        }
        url @ StoreUrl::Kubernetes(_) => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_without_pods_is_refused() {
        let parsed = |store: &str| Args::try_parse_from(["cairn-controller", "--datastore", store]);
        assert!(parsed("kubernetes").is_ok() && parsed("kubeconfig:/etc/k").is_ok());
        let refused = parsed("dir:/etc/cairn/objects").unwrap_err().to_string();
        assert!(refused.contains("which pods there are"), "{refused}");
    }
}
