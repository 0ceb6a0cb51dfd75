//! Open files on their way to another process (unix(7), `SCM_RIGHTS`).
//!
//! Shape: messages of one octet with up to 128 files each, in order. The files' own state (offset, locks, socket options,
//! membership of a connection) goes along: both processes have the same file.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Files in one message; the kernel's limit is 253.
const AT_ONCE: usize = 128;

/// Sends files. Whoever receives them must know how many there are.
///
/// # Errors
/// If the other side is gone, or does not read within the socket's time limit.
pub fn send_files(socket: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    for part in files.chunks(AT_ONCE) {
        let numbers: Vec<RawFd> = part.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&numbers)];
        let payload = [IoSlice::new(&[0])];
        while let Err(errno) =
            sendmsg::<()>(socket.as_raw_fd(), &payload, &control, MsgFlags::MSG_NOSIGNAL, None)
        {
            if errno != Errno::EINTR {
                return Err(errno.into());
            }
        }
    }
    Ok(())
}

/// Receives so many files. They are closed when a program is executed.
///
/// # Errors
/// If the other side is gone, sends none within the socket's time limit, or other than what was agreed on.
pub fn receive_files(socket: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut files = Vec::new();
    while files.len() < count {
        let wanted = (count - files.len()).min(AT_ONCE);
        let received = receive_message(socket)?;
        if received.len() != wanted {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} files came where {wanted} should", received.len()),
            ));
        }
        files.extend(received);
    }
    Ok(files)
}

#[allow(unsafe_code)]
fn receive_message(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut octet = [0];
    let mut room = nix::cmsg_space!([RawFd; AT_ONCE]);
    let mut files = Vec::new();
    let mut payload = [IoSliceMut::new(&mut octet)];
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut payload, Some(&mut room), flags) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    if message.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened these descriptors for this process, and nobody else knows them.
            files.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_files_arrive_in_order() {
        let (left, right) = UnixStream::pair().unwrap();
        let files: Vec<File> = (0..300u32)
            .map(|number| {
                let memory = nix::sys::memfd::memfd_create("test", nix::sys::memfd::MFdFlags::empty());
                let mut file = File::from(memory.unwrap());
                file.write_all(&number.to_be_bytes()).unwrap();
                file
            })
            .collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let sender = std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_files(&left, &borrowed));
            let received = receive_files(&right, 300).unwrap();
            for (number, file) in (0u32..).zip(received) {
                let (mut file, mut bytes) = (File::from(file), [0; 4]);
                file.seek(SeekFrom::Start(0)).unwrap();
                file.read_exact(&mut bytes).unwrap();
                assert_eq!(u32::from_be_bytes(bytes), number);
            }
            sending.join().unwrap()
        });
        sender.unwrap();
    }

    #[test]
    fn files_that_do_not_come_are_missed() {
        let (left, right) = UnixStream::pair().unwrap();
        right.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        assert!(receive_files(&right, 1).is_err());
        (&left).write_all(&[0]).unwrap();
        assert_eq!(receive_files(&right, 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(left);
        assert_eq!(receive_files(&right, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
