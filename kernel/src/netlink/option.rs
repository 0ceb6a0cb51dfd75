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

/// What the kernel leaves out of a subscription.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Messages whose header names one of these ports as the requester's. At most 200.
    pub(crate) ports: Vec<u32>,
    /// Routes of this protocol, but for those that took another route's place.
    pub(crate) routes_of: Option<u8>,
}

/// Lets the kernel drop messages.
///
/// Errors: `EINVAL` for more than 200 ports.
pub(crate) fn drop_messages(fd: BorrowedFd<'_>, filter: &Filter) -> Result<(), Errno> {
    let mut program = program(filter)?;
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // The kernel copies the program during the call, in which `program` is alive.
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// A classic BPF program: load `nlmsg_pid`, compare it with each port; load type, flags and protocol of a route and compare them;
/// keep nothing or everything.
fn program(filter: &Filter) -> Result<Vec<libc::sock_filter>, Errno> {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const TYPE_OFFSET: u32 = 4;
    const FLAGS_OFFSET: u32 = 6;
    const PID_OFFSET: u32 = 12;
    // `struct nlmsghdr` has 16 octets, `rtm_protocol` is the sixth after it.
    const PROTOCOL_OFFSET: u32 = 21;
    const NEW_ROUTE: u16 = 24;
    const DELETED_ROUTE: u16 = 25;
    const REPLACE: u16 = 0x100;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The load reads network order, the header is in host order.
    let half = |number: u16| u32::from(number.to_be());
    if filter.ports.len() > 200 {
        return Err(Errno::EINVAL); // a jump reaches 255 steps
    }
    let routes = match filter.routes_of {
        None => Vec::new(),
        // A step's jump counts the steps that are left out; after the last one come those that keep and drop.
        Some(protocol) => vec![
            step(LOAD_HALF, 0, 0, TYPE_OFFSET),
            step(JUMP_EQUAL, 1, 0, half(NEW_ROUTE)),
            step(JUMP_EQUAL, 2, 4, half(DELETED_ROUTE)),
            step(LOAD_HALF, 0, 0, FLAGS_OFFSET),
            step(JUMP_SET, 2, 0, half(REPLACE)),
            step(LOAD_BYTE, 0, 0, PROTOCOL_OFFSET),
            step(JUMP_EQUAL, 1, 0, protocol.into()),
        ],
    };
    let mut program = vec![step(LOAD_WORD, 0, 0, PID_OFFSET)];
    let steps = filter.ports.len() + routes.len();
    for (index, port) in filter.ports.iter().enumerate() {
        let to_the_end = u8::try_from(steps - index).map_err(|_| Errno::EINVAL)?;
        program.push(step(JUMP_EQUAL, to_the_end, 0, port.to_be()));
    }
    program.extend(routes);
    program.extend([step(RETURN, 0, 0, u32::MAX), step(RETURN, 0, 0, 0)]);
    Ok(program)
}
