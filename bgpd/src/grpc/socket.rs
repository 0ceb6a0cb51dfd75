//! The Unix socket: one daemon each, nobody but its user and group may open it, and what a crash left is no obstacle.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

/// Why the socket cannot be had.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    /// Another daemon has it.
    #[error("{}: another bgpd is running with this socket", .0.display())]
    Taken(PathBuf),
    /// The system says no.
    #[error("{}: {source}", path.display())]
    System {
        /// The socket or its lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The socket's place, held until dropped.
///
/// The lock on the file beside it is what tells a living daemon from a left-over: the kernel drops it with the process.
pub(crate) struct Socket {
    path: PathBuf,
    lock: File,
    /// Another process goes on with it.
    left: bool,
}

impl Socket {
    /// Listens. Only user and group of the daemon may connect.
    ///
    /// # Errors
    /// If another daemon has it, or the system says no.
    pub(crate) fn open(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(system(directory))?;
        }
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = lock(Path::new(&lock_path), path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system(path)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(system(path))?;
        fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(system(path))?;
        Ok((Self { path: path.to_owned(), lock, left: false }, listener))
    }

    /// Goes on with what another process has handed over: its listening socket, and the lock, which both hold for a moment.
    ///
    /// # Errors
    /// If the file is no listening socket.
    pub(crate) fn adopt(path: &Path, listener: OwnedFd, lock: OwnedFd) -> io::Result<(Self, UnixListener)> {
        let listener = UnixListener::from_std(listener.into())?;
        Ok((Self { path: path.to_owned(), lock: lock.into(), left: false }, listener))
    }

    /// The lock, for another process.
    ///
    /// # Errors
    /// If there are too many open files.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }

    /// Leaves everything in place for the process that goes on with it.
    pub(crate) fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        // The lock's file stays: were it removed, two daemons could lock two files of one name.
        let _ = fs::remove_file(&self.path);
    }
}

fn lock(path: &Path, socket: &Path) -> Result<File, SocketError> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(system(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::Taken(socket.to_owned())),
        Err(TryLockError::Error(error)) => Err(system(path)(error)),
    }
}

fn system(path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::System { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_a_left_over_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/bgpd.sock");
        let (first, listener) = Socket::open(&path).unwrap();
        assert!(matches!(Socket::open(&path), Err(SocketError::Taken(_))));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        drop((first, listener));
        // As a crash leaves it: the socket's file is there, nobody holds the lock.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Socket::open(&path).unwrap();
    }
}
