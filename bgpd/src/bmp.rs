//! A connection to a BMP collector: connects, writes what the daemon has for it, and connects again.
//!
//! The daemon never waits for it: it takes messages from a channel with room for a few, and whatever waits beyond is the
//! daemon's, which bounds it (see `daemon::bmp`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::daemon::{Feed, Handle};

/// First wait after a failure, and after a connection that held.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(10);
/// A collector that takes nothing for this long is given up.
const STALLED: Duration = Duration::from_secs(120);

/// Why a connection ended: too much waits for the collector.
const CUT_OFF: &str = "cut off: it reads too slowly";
/// Why a connection ended: the collector is there and takes nothing.
const DEAF: &str = "it reads nothing";

/// The task of one collector. It ends after the last message once this is dropped or [`Link::stop`]ped.
pub(crate) struct Link {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to connect.
    pub(crate) fn start(daemon: Handle, collector: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(());
        Self { stop, task: tokio::spawn(run(daemon, collector, stopped)) }
    }

    /// Ends the task once what waits is written.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.task
    }
}

async fn run(daemon: Handle, collector: SocketAddr, mut stop: watch::Receiver<()>) {
    let mut wait = FIRST_WAIT;
    let mut said = String::new();
    loop {
        let connected = tokio::select! {
            connected = timeout(CONNECT, TcpStream::connect(collector)) => connected,
            _ = stop.changed() => return,
        };
        let reason = match connected {
            Ok(Ok(mut stream)) => {
                let Ok(Some(Feed { messages, cut })) =
                    daemon.call(move |daemon| daemon.bmp_connected(collector)).await
                else {
                    return;
                };
                info!(%collector, "BMP collector connected");
                let begin = Instant::now();
                let reason = tokio::select! {
                    biased;
                    Ok(()) = cut => CUT_OFF.to_owned(),
                    reason = feed(&mut stream, messages) => reason,
                };
                if reason == CUT_OFF || reason == DEAF {
                    reset(&stream);
                }
                if begin.elapsed() >= LONGEST_WAIT {
                    wait = FIRST_WAIT;
                }
                reason
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        // A dropped sender is what ends the task.
        if stop.has_changed().is_err() {
            return;
        }
        // The same failure every minute is one failure.
        if said != reason {
            warn!(%collector, reason, "BMP collector lost or not reached; trying again and again");
            said = reason;
        }
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.changed() => return,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Lets the connection end with a reset: what the kernel still holds for a collector that does not read is of no use to it.
fn reset(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        debug!(%error, "a BMP connection ends, but not by a reset");
    }
}

/// Writes until either side ends; says why it did.
async fn feed(stream: &mut TcpStream, mut messages: mpsc::Receiver<Vec<Bytes>>) -> String {
    let (mut reader, mut writer) = stream.split();
    // A collector says nothing; what it says all the same is not kept.
    let mut ignored = [0; 256];
    loop {
        tokio::select! {
            batch = messages.recv() => {
                let Some(batch) = batch else {
                    // The last bytes may meet a collector that has gone: nothing to be done about it.
                    let _ = writer.shutdown().await;
                    return "closed by bgpd".to_owned();
                };
                for message in batch {
                    match timeout(STALLED, writer.write_all(&message)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return error.to_string(),
                        Err(_) => return DEAF.to_owned(),
                    }
                }
            }
            read = reader.read(&mut ignored) => match read {
                Ok(0) => return "closed by the collector".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
        }
    }
}
