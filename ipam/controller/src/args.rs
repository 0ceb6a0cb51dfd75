//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_api::GoDuration;
use cairn_daemon::log::LogFormat;
use cairn_datastore::StoreUrl;
use clap::Parser;

/// Cairn's controller: gives back what gone nodes left, and reports addresses that leaked.
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
    /// Namespace of the Secrets that BGP passwords are in, as felix-lite has it
    #[arg(long, env = "CAIRN_SECRET_NAMESPACE", value_name = "NAMESPACE", default_value = "cairn-system")]
    pub secret_namespace: String,
    /// How often everything is looked at
    #[arg(long, env = "CAIRN_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = at_least_a_second)]
    pub interval: GoDuration,
    /// For how long something must look leaked or gone before anything is done about it
    #[arg(long, env = "CAIRN_GRACE", value_name = "DURATION", default_value = "15m")]
    pub grace: GoDuration,
    /// Release also addresses on nodes that are there, if their pod is gone
    ///
    /// Without it they are only reported. Containers that run without a Pod object would lose their addresses: static pods without mirror
    /// pod, sandboxes made by hand, containers that a node cannot end. What really leaked is given back by the garbage collection of CNI in
    /// the usual case.
    #[arg(long, env = "CAIRN_RELEASE_LEAKED")]
    pub release_leaked: bool,
    /// Log what would be done, and do nothing
    #[arg(long, env = "CAIRN_DRY_RUN")]
    pub dry_run: bool,
    /// Where /livez, /readyz and /metrics are answered over HTTP, such as 127.0.0.1:9095 [default: nowhere]
    #[arg(long, env = "CAIRN_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// How log lines look
    #[arg(long, env = "CAIRN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, also by module
    #[arg(long, env = "CAIRN_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
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

/// Every round reads all pods: none may follow another at once.
fn at_least_a_second(text: &str) -> Result<GoDuration, String> {
    let interval = text.parse::<GoDuration>().map_err(|error| error.to_string())?;
    if interval.get() < Duration::from_secs(1) {
        return Err("must be at least 1s: every round reads all pods".to_owned());
    }
    Ok(interval)
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

    #[test]
    fn rounds_without_a_pause_are_refused_and_nothing_that_leaked_is_released_unasked() {
        let parsed = |args: &[&str]| {
            Args::try_parse_from(std::iter::once("cairn-controller").chain(args.iter().copied()))
        };
        for value in ["0s", "999ms"] {
            let refused = parsed(&["--interval", value]).unwrap_err().to_string();
            let told = ["--interval", value, "at least 1s"].iter().all(|part| refused.contains(part));
            assert!(told, "{refused}");
        }
        let refused = parsed(&["--interval", "soon"]).unwrap_err().to_string();
        assert!(refused.contains("--interval") && refused.contains("soon"), "{refused}");
        assert_eq!(parsed(&["--interval", "1s"]).unwrap().interval.get(), Duration::from_secs(1));
        assert!(!parsed(&[]).unwrap().release_leaked);
        assert!(parsed(&["--release-leaked"]).unwrap().release_leaked);
    }
}
