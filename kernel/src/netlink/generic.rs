//! Generic netlink: families of messages that have a name, and a number that the kernel gives them at run time.
//!
//! Spec: `linux/genetlink.h`.

use nix::errno::Errno;

use super::{Attribute, Batch, Socket};
use crate::error::Refusal;

/// `struct genlmsghdr`: command, version, and two octets that are zero.
pub(crate) const HEADER: usize = 4;

/// `GENL_ID_CTRL`, the one number that is fixed.
const CONTROL: u16 = 16;
/// `CTRL_CMD_GETFAMILY` and its version.
const GET_FAMILY: u8 = 3;
const VERSION: u8 = 2;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// The fixed header of a command.
pub(crate) const fn header(command: u8, version: u8) -> [u8; HEADER] {
    [command, version, 0, 0]
}

/// The number of a family; the kernel loads the module that has it.
///
/// Errors: `ENOENT` where the kernel has no such family.
pub(crate) fn family(socket: &mut Socket, name: &str) -> Result<u16, Refusal> {
    let mut batch = Batch::new();
    batch.message(CONTROL, 0, &header(GET_FAMILY, VERSION)).text(FAMILY_NAME, name);
    let mut number = None;
    socket.query(&mut batch, |frame| {
        let found = frame.attributes(HEADER).find(FAMILY_ID).and_then(Attribute::u16);
        number = number.or(found);
    })?;
    number.ok_or_else(|| Errno::ENOENT.into())
}
