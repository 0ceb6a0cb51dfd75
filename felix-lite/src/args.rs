use std::net::SocketAddr;
use std::path::PathBuf;

use cairn_daemon::log::LogFormat;
use cairn_datastore::StoreUrl;
use clap::Parser;

/// Cairn's node daemon: routes, links, firewall and the CNI server of one node.
#[derive(Debug, Clone, Parser)]
#[command(name = "felix-lite", version, about)]
pub struct Args {
    /// Name of this node's Node object [default: the host's name]
    #[arg(long, env = "CAIRN_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Where the cluster's objects are: dir:/path, kubernetes (as a pod of the cluster), or kubeconfig:/path
    #[arg(long, env = "CAIRN_DATASTORE", value_name = "STORE", default_value = "dir:/etc/cairn/objects")]
    pub datastore: StoreUrl,
    /// Socket of bgpd
    #[arg(long, env = "CAIRN_BGPD_SOCKET", value_name = "PATH", default_value = bgpd_api::DEFAULT_SOCKET)]
    pub bgpd_socket: PathBuf,
    /// Socket that the CNI plugin speaks to
    #[arg(long, env = "CAIRN_CNI_SOCKET", value_name = "PATH", default_value = felix_api::DEFAULT_SOCKET)]
    pub cni_socket: PathBuf,
    /// Where journals are kept
    #[arg(long, env = "CAIRN_DATA_DIR", value_name = "DIR", default_value = "/var/lib/cairn")]
    pub data_dir: PathBuf,
    /// Namespace of the Secrets that BGP passwords are in
    #[arg(long, env = "CAIRN_SECRET_NAMESPACE", value_name = "NAMESPACE", default_value = "cairn-system")]
    pub secret_namespace: String,
    /// Where /livez and /readyz are answered over HTTP, such as 127.0.0.1:9099 [default: nowhere]
    #[arg(long, env = "CAIRN_HEALTH_ADDRESS", value_name = "ADDRESS:PORT")]
    pub health_address: Option<SocketAddr>,
    /// Where the kernel's settings can be written: the host's, mounted elsewhere in a container
    #[arg(long, env = "CAIRN_PROC_SYS", value_name = "DIR", default_value = cairn_kernel::sysctl::ROOT)]
    pub proc_sys: PathBuf,
    /// How log lines look
    #[arg(long, env = "CAIRN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, also by module
    #[arg(long, env = "CAIRN_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_store_or_no_address_is_refused() {
        let parsed =
            Args::try_parse_from(["felix-lite", "--datastore", "dir:/tmp/x", "--log-format", "json"])
                .unwrap();
        assert_eq!(parsed.datastore, StoreUrl::Directory("/tmp/x".into()));
        assert_eq!(parsed.log_format, LogFormat::Json);
        for bad in ["", "dir:relative", "etcd:/x"] {
            assert!(Args::try_parse_from(["felix-lite", "--datastore", bad]).is_err(), "{bad}");
        }
        for bad in ["", "9099", "localhost:9099", "127.0.0.1:x"] {
            assert!(Args::try_parse_from(["felix-lite", "--health-address", bad]).is_err(), "{bad}");
        }
    }
}
