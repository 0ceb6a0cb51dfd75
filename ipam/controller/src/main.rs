//! Cairn's controller.

use std::process::ExitCode;
use std::sync::Arc;

use cairn_controller::args::Args;
use cairn_controller::health::Status;
use cairn_controller::run::{self, Options};
use cairn_daemon::{http, log};
use cairn_datastore::{AnyStore, ConnectError};
use clap::Parser;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Why the controller cannot run.
#[derive(Debug, Error)]
enum Error {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{0}")]
    System(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = log::start(args.log_format, &args.log) {
        eprintln!("cairn-controller: {error}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(start(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cairn-controller ends");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: Args) -> Result<(), Error> {
    let store = AnyStore::open(&args.datastore).await?;
    let status = Arc::new(Status::default());
    if let Some(address) = args.listen {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let status = Arc::clone(&status);
        tokio::spawn(http::serve(listener, move |path| std::future::ready(status.answer(&path))));
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let identity = match args.identity {
        Some(identity) => identity,
        None => std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned(),
    };
    let options = Options {
        identity,
        lease_namespace: args.lease_namespace,
        lease_duration: args.lease_duration.get(),
        secret_namespace: args.secret_namespace,
        interval: args.interval.get(),
        grace: args.grace.get(),
        release_leaked: args.release_leaked,
        dry_run: args.dry_run,
    };
    run::run(store, options, status, stop).await;
    Ok(())
}
