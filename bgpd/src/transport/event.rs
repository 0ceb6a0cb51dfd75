//! What the daemon waits for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bgp_core::speaker::ConnId;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::net::TcpStream;

use super::{Listener, Place};

/// Something that the daemon waited for.
pub(crate) enum Event {
    /// A connection has bytes, or its end, to be read.
    Readable(ConnId),
    /// A connection that was full takes bytes again.
    Writable(ConnId),
    /// An attempt to connect has succeeded or failed.
    Connected(ConnId, io::Result<TcpStream>),
    /// Lines about this peer may be written again.
    RenewLines(IpAddr),
    /// An attempt was given up, or a listener closed.
    GivenUp,
    /// A peer has connected, or a listener has a problem.
    Accepted(Place, io::Result<(TcpStream, SocketAddr)>),
    /// A message came on an interface that names a neighbour.
    Heard(String, u64),
    /// Time to advertise ourselves on an interface.
    Advertise(String, u64),
    /// Time to try again to listen where an interface was missing.
    ListenAgain,
    /// A connection that was closed has gone.
    Lingered,
    /// A watcher of routes can take a message.
    WatcherReady(u64),
    /// A watcher of routes is gone.
    WatcherGone(u64),
    /// A watcher of peers can take a message.
    PeerWatcherReady(u64),
    /// A watcher of peers is gone.
    PeerWatcherGone(u64),
    /// BFD has something to say.
    Bfd,
    /// A list can take its next page.
    ListReady(u64),
    /// A table dump can take its next page.
    DumpReady(u64),
    /// A BMP collector can take messages.
    BmpReady(u64),
    /// A BMP collector's statistics are due.
    BmpStatistics(u64),
}

type Waiting = Pin<Box<dyn Future<Output = Event>>>;

/// Everything that the daemon waits for. Each future gives one event and is gone; whoever handles the event puts the next one in.
#[derive(Default)]
pub(crate) struct Events {
    waiting: FuturesUnordered<Waiting>,
}

impl Events {
    /// The next event; waits for it. Pending for ever while nothing is waited for.
    pub(crate) async fn next(&mut self) -> Event {
        match self.waiting.next().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// The next event if there is one already.
    pub(crate) fn take_ready(&mut self) -> Option<Event> {
        self.waiting.next().now_or_never().flatten()
    }

    /// Waits for anything.
    pub(crate) fn push(&self, future: impl Future<Output = Event> + 'static) {
        self.waiting.push(Box::pin(future));
    }

    /// Waits for bytes. A connection that is gone meanwhile was shut down, which ends this, too.
    pub(crate) fn readable(&self, conn: ConnId, stream: &Rc<TcpStream>) {
        let stream = Rc::clone(stream);
        self.push(async move {
            // An error is found, with its name, by the read that follows.
            let _ = stream.readable().await;
            Event::Readable(conn)
        });
    }

    /// Waits for room in the send buffer.
    pub(crate) fn writable(&self, conn: ConnId, stream: &Rc<TcpStream>) {
        let stream = Rc::clone(stream);
        self.push(async move {
            let _ = stream.writable().await;
            Event::Writable(conn)
        });
    }

    /// Waits for a peer's connection, until the listener is closed; not before this time is over.
    pub(crate) fn acceptable(&self, listener: &Listener, rest: Duration) {
        let (place, socket) = (listener.place.clone(), Rc::clone(&listener.socket));
        let closed = Rc::clone(&listener.closed);
        self.push(async move {
            let accept = async {
                if !rest.is_zero() {
                    tokio::time::sleep(rest).await;
                }
                socket.accept().await
            };
            tokio::select! {
                result = accept => Event::Accepted(place, result),
                () = closed.notified() => Event::GivenUp,
            }
        });
    }
}
