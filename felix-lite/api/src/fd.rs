//! Bytes over a Unix stream with at most one file descriptor beside them (unix(7), `SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends some of the bytes, and the descriptor with the first of them. Returns how many went.
pub fn send(socket: impl AsFd, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::NOBUFS.into());
    }
    retry(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL))
}

/// Receives into the buffer. Returns how many bytes came (0: the peer closed), and the first descriptor that came with them.
///
/// Whatever descriptors come beyond the first are closed. Fails with `EBADMSG` if the kernel cut the ancillary data off.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> std::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = retry(|| recvmsg(&socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let mut fds = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = fds.by_ref().flatten().next();
    fds.for_each(drop);
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::BADMSG.into());
    }
    Ok((message.bytes, fd))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_with_the_bytes() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        assert_eq!(send(&near, b"abc", Some(writer.as_fd())).unwrap(), 3);
        let mut buffer = [0; 16];
        let (len, fd) = receive(&far, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"abc");
        let mut theirs = std::fs::File::from(fd.expect("sent one"));
        theirs.write_all(b"x").unwrap();
        drop((theirs, writer.write(b"y").unwrap(), writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "xy");
    }

    #[test]
    fn too_many_descriptors_are_refused() {
        let (near, far) = UnixStream::pair().unwrap();
        let fds = [near.as_fd(); 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&near, &[IoSlice::new(b"a")], &mut ancillary, SendFlags::empty()).unwrap();
        assert!(receive(&far, &mut [0; 4]).is_err());
    }
}
