//! What neighbours and forwarding entries have in common: both are messages with a `struct ndmsg`, told apart by its family.
//!
//! Spec: rtnetlink(7), `linux/neighbour.h`.

pub(super) const NEW: u16 = 28;
pub(super) const DEL: u16 = 29;
pub(super) const GET: u16 = 30;
/// `struct ndmsg`.
pub(super) const HEADER: usize = 12;
pub(super) const DST: u16 = 1;
pub(super) const LLADDR: u16 = 2;
pub(super) const NUD_PERMANENT: u16 = 0x80;

/// Family, interface (0: any), `NUD_*` and `NTF_*`.
pub(super) const fn header(family: u8, link: u32, state: u16, flags: u8) -> [u8; HEADER] {
    let [a, b, c, d] = link.to_ne_bytes();
    let [low, high] = state.to_ne_bytes();
    [family, 0, 0, 0, a, b, c, d, low, high, flags, 0]
}
