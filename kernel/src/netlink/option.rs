//! Options of netlink sockets that no library has.
//!
//! Invariant: each option is set through one function whose argument type is the kernel's.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// A yes-or-no option of netlink sockets.
pub(crate) fn netlink_flag(fd: BorrowedFd<'_>, name: libc::c_int, on: bool) -> Result<(), Errno> {
    set(fd, libc::SOL_NETLINK, name, &libc::c_int::from(on))
}

/// `SO_SNDBUFFORCE`: a send buffer beyond the system's limit. Needs `CAP_NET_ADMIN`.
pub(crate) fn force_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| Errno::EMSGSIZE)?;
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
}

/// Sets an option whose value the kernel reads as a `T`.
fn set<T: Copy>(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> Result<(), Errno> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the descriptor is borrowed, so it is open; the pointer and the length describe `value`, which lives
    // through the call; the kernel only reads from it.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const *value).cast(), len) };
    Errno::result(result).map(drop)
}

/// Joins a multicast group.
pub(crate) fn join(fd: BorrowedFd<'_>, group: libc::c_int) -> Result<(), Errno> {
    set(fd, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &group)
}

/// Lets the kernel drop messages whose header names one of these ports as the requester's.
///
/// Errors: `EINVAL` for more than 200 ports.
pub(crate) fn drop_requests_of(fd: BorrowedFd<'_>, ports: &[u32]) -> Result<(), Errno> {
    let mut program = program(ports)?;
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // The kernel copies the program during the call, in which `program` is alive.
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// A classic BPF program: load `nlmsg_pid`, compare it with each port, and keep nothing or everything.
fn program(ports: &[u32]) -> Result<Vec<libc::sock_filter>, Errno> {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const PID_OFFSET: u32 = 12;
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    if ports.len() > 200 {
        return Err(Errno::EINVAL); // a jump reaches 255 steps
    }
    let mut program = vec![step(LOAD_WORD, 0, PID_OFFSET)];
    for (index, port) in ports.iter().enumerate() {
        let to_the_end = u8::try_from(ports.len() - index).map_err(|_| Errno::EINVAL)?;
        // The load reads network order, the header is in host order.
        program.push(step(JUMP_EQUAL, to_the_end, port.to_be()));
    }
    program.extend([step(RETURN, 0, u32::MAX), step(RETURN, 0, 0)]);
    Ok(program)
}
