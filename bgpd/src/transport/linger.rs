//! The end of a connection that still has something to say.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Event, Events};

/// How long a peer may take to read the last bytes and to close its end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes what is left, then closes.
///
/// A socket that is closed with unread bytes in it makes the kernel send a reset, and a reset can overtake the NOTIFICATION. So
/// the peer's bytes are read away until it closes its end.
pub(crate) fn linger(events: &Events, stream: Rc<TcpStream>, rest: VecDeque<Bytes>) {
    events.push(async move {
        // What a peer that is being left does not take is lost; there is nobody to tell.
        let _ = timeout(PATIENCE, say_farewell(&stream, rest)).await;
        // Ends the future that still waits for bytes of this socket.
        let _ = SockRef::from(&*stream).shutdown(Shutdown::Both);
        Event::Lingered
    });
}

/// Writes what goes without waiting, then closes.
pub(crate) fn farewell(stream: &TcpStream, rest: &VecDeque<Bytes>) {
    for bytes in rest {
        if stream.try_write(bytes).is_ok_and(|written| written == bytes.len()) {
            continue;
        }
        break;
    }
    // Ends the future that still waits for bytes of this socket.
    let _ = SockRef::from(stream).shutdown(Shutdown::Both);
}

async fn say_farewell(stream: &TcpStream, rest: VecDeque<Bytes>) -> io::Result<()> {
    for mut bytes in rest {
        while !bytes.is_empty() {
            stream.writable().await?;
            match stream.try_write(&bytes) {
                Ok(written) => drop(bytes.split_to(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
    SockRef::from(stream).shutdown(Shutdown::Write)?;
    let mut scratch = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
