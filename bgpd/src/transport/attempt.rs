//! Connecting to a peer.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bgp_core::speaker::ConnId;
use futures_util::future::{AbortHandle, Aborted, abortable};
use tokio::net::{TcpSocket, TcpStream};

use super::{Event, Events, PeerOptions};

/// An attempt to connect that is under way. Given up when dropped.
pub(crate) struct Attempt {
    /// The peer.
    pub(crate) peer: IpAddr,
    handle: AbortHandle,
}

impl Attempt {
    /// Begins one; `Event::Connected` tells how it ended.
    pub(crate) fn begin(
        events: &Events,
        conn: ConnId,
        remote: SocketAddr,
        local: Option<IpAddr>,
        options: PeerOptions,
    ) -> Self {
        let peer = options.peer;
        let (future, handle) = abortable(connect(remote, local, options));
        events.push(async move {
            match future.await {
                Ok(result) => Event::Connected(conn, result),
                Err(Aborted) => Event::GivenUp,
            }
        });
        Self { peer, handle }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn connect(remote: SocketAddr, local: Option<IpAddr>, options: PeerOptions) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    options.set_all(&socket)?;
    socket.set_nodelay(true)?;
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(remote).await
}
