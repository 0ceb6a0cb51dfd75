//! Waiting for several descriptors with a time limit finer than milliseconds, for a thread that runs without a runtime.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// Waits until one of the descriptors can be read or has an error, or until the time is over (`None`: for ever). Says which can.
/// A signal ends the wait early, with none.
///
/// # Errors
/// If a descriptor is not one.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, timeout.map(TimeSpec::from_duration), None) {
        Ok(_) => Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_one_that_can_be_read_is_named_and_the_time_limit_ends_the_wait() {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (_c, d) = UnixStream::pair().unwrap();
        assert_eq!(wait(&[b.as_fd(), d.as_fd()], Some(Duration::from_micros(300))).unwrap(), [false, false]);
        a.write_all(b"x").unwrap();
        assert_eq!(wait(&[b.as_fd(), d.as_fd()], None).unwrap(), [true, false]);
    }
}
