//! Putting the parts together.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use bgpd_api::config::Config;
use cairn_net::Families;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::Cli;
use crate::daemon::{ApplyError, Daemon, End, Handle};
use crate::fib;
use crate::file::{self, ConfigFile, FileError};
use crate::grpc::{self, Service, Socket, SocketError};
use crate::interface;
use crate::log;
use crate::takeover::{self, Parting, TakeOverError, Taken};

/// The program cannot run.
const FAILED: u8 = 1;
/// The command line is wrong; clap uses the same.
const USAGE: u8 = 2;
/// The configuration is not valid.
const INVALID: u8 = 3;

/// Why the daemon does not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("socket {0}")]
    Socket(#[from] SocketError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("take-over: {0}")]
    TakeOver(#[from] TakeOverError),
    #[error("{0}")]
    System(#[from] io::Error),
}

impl StartError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::File(FileError::Invalid(_)) => INVALID,
            Self::File(FileError::Read { .. })
            | Self::Socket(_)
            | Self::Apply(_)
            | Self::TakeOver(_)
            | Self::System(_) => FAILED,
        }
    }
}

/// `bgpd check FILE`.
pub(crate) fn check(path: &Path) -> ExitCode {
    match file::read(path) {
        Ok(config) => {
            print!("{}", file::print(&config));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(if matches!(error, FileError::Invalid(_)) { INVALID } else { FAILED })
        }
    }
}

/// Runs the daemon to its end.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    if let Err(error) = log::start(cli.log_format, &cli.log) {
        eprintln!("--log {:?}: {error}", cli.log);
        return ExitCode::from(USAGE);
    }
    cairn_kernel::allocator::give_back_large();
    if let Err(error) = cairn_kernel::limit::raise_open_files() {
        warn!(%error, "there may be too few for many neighbors");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(StartError::from).and_then(|runtime| runtime.block_on(serve(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A line each, so that every fault of a document has its own.
            for line in error.to_string().lines() {
                error!("{line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// A daemon before it runs, with its sockets.
struct Begun {
    socket: Socket,
    grpc: UnixListener,
    takeover: UnixListener,
    daemon: Daemon,
    handle: Handle,
    file: Option<ConfigFile>,
}

/// A daemon with nothing but its configuration.
fn begin(cli: &Cli) -> Result<Begun, StartError> {
    let (socket, grpc) = Socket::open(&cli.socket)?;
    let takeover = takeover::listen(&cli.socket)?;
    let (mut daemon, handle) = Daemon::new(kept(cli), cli.metrics);
    daemon.set_interfaces(interface::list());
    let mut file = cli.config.as_deref().map(ConfigFile::watch).transpose()?;
    if let (Some(file), Some(path)) = (&mut file, &cli.config) {
        daemon.apply(file.read()?, &path.display().to_string())?;
    }
    Ok(Begun { socket, grpc, takeover, daemon, handle, file })
}

/// A daemon that goes on with the sessions of the running one. What can fail is done before that one lets go.
fn adopt(cli: &Cli, taken: Taken) -> Result<Begun, StartError> {
    let adopted = || -> Result<(Begun, Option<Config>), StartError> {
        let mut file = cli.config.as_deref().map(ConfigFile::watch).transpose()?;
        let config = file.as_mut().map(ConfigFile::read).transpose()?;
        let (daemon, handle, [grpc, lock, takeover]) = Daemon::take_over(&taken, kept(cli), cli.metrics)?;
        let takeover = UnixListener::from_std(takeover.into())?;
        // Last: dropped, it would take the other one's socket away.
        let (socket, grpc) = Socket::adopt(&cli.socket, grpc, lock)?;
        Ok((Begun { socket, grpc, takeover, daemon, handle, file }, config))
    };
    let (mut begun, config) = match adopted() {
        Ok(adopted) => adopted,
        Err(error) => {
            taken.refuse(&error.to_string());
            return Err(error);
        }
    };
    match taken.go() {
        Ok(bfd) => begun.daemon.take_over_bfd(bfd),
        Err(error) => {
            // The gRPC socket is still the other one's.
            begun.socket.leave();
            return Err(error.into());
        }
    }
    info!("the sessions of the running bgpd are taken over");
    if let (Some(config), Some(path)) = (config, &cli.config) {
        let source = path.display().to_string();
        if let Err(error) = begun.daemon.apply(config, &source) {
            error!(source, %error, "configuration refused: the one that was handed over stays in force");
        }
    }
    Ok(begun)
}

/// Families whose routes the kernel has kept. Who has a file and writes no routes has nobody who does it for him: felix-lite hands over
/// its document.
fn kept(cli: &Cli) -> Families {
    let bystander = cli.config.is_some() && !cli.install_routes;
    if bystander { Families::ALL } else { fib::kept() }
}

async fn serve(cli: &Cli) -> Result<(), StartError> {
    let taken = if cli.take_over { takeover::ask(&cli.socket)? } else { None };
    let begun = taken.map_or_else(|| begin(cli), |taken| adopt(cli, taken))?;
    let Begun { socket, grpc, takeover, daemon, handle, file } = begun;
    let parting = Parting {
        grpc: grpc.as_fd().try_clone_to_owned()?,
        lock: socket.lock()?,
        takeover: takeover.as_fd().try_clone_to_owned()?,
    };
    let source = cli.config.as_ref().map(|path| path.display().to_string());
    info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        socket = %cli.socket.display(),
        config = source.as_deref().unwrap_or("none yet, waiting for Apply"),
        "bgpd started"
    );
    tokio::spawn(grpc::serve(grpc, Service::new(handle.clone(), source.clone())));
    tokio::spawn(interface::follow(handle.clone()));
    tokio::spawn(takeover::serve(takeover, parting, handle.clone()));
    tokio::spawn(stop_on_signal(
        handle.clone(),
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ));
    if cli.install_routes {
        fib::start(handle.clone())?;
    }
    tokio::spawn(follow(handle, file, source, signal(SignalKind::hangup())?));
    match daemon.run().await {
        End::Stopped => info!("bgpd stopped"),
        End::HandedOver => {
            socket.leave();
            info!("bgpd ends: another process goes on with its sessions");
        }
    }
    Ok(())
}

async fn stop_on_signal(daemon: Handle, mut terminate: Signal, mut interrupt: Signal) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    // An error means that it has stopped already.
    let _ = daemon.call(|daemon| daemon.shut_down(String::new())).await;
}

/// Applies the file whenever it changes, and on SIGHUP.
async fn follow(daemon: Handle, file: Option<ConfigFile>, source: Option<String>, mut hangup: Signal) {
    let (Some(mut file), Some(source)) = (file, source) else {
        while hangup.recv().await.is_some() {
            info!("SIGHUP ignored: there is no configuration file");
        }
        return;
    };
    loop {
        let config = tokio::select! {
            config = file.changed() => config,
            signal = hangup.recv() => match signal {
                Some(()) => file.read(),
                None => return,
            },
        };
        match config {
            Ok(config) => reapply(&daemon, config, source.clone()).await,
            Err(error) => {
                for line in error.to_string().lines() {
                    error!("{line}");
                }
                error!(source, "configuration refused: the old one stays in force");
            }
        }
    }
}

async fn reapply(daemon: &Handle, config: Config, source: String) {
    let name = source.clone();
    match daemon.call(move |daemon| daemon.apply(config, &source)).await {
        Ok(Ok(changes)) if changes.is_empty() => info!(source = name, "configuration read: nothing changed"),
        Ok(Ok(changes)) => info!(source = name, changes = changes.len(), "configuration applied"),
        Ok(Err(error)) => error!(source = name, %error, "configuration refused: the old one stays in force"),
        Err(_stopped) => {}
    }
}
