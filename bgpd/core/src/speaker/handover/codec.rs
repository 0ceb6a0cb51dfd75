//! Fields of the state that only BGP has; the others are in [`cairn_net::handover`].

use cairn_net::handover::{Damaged, Reader, Writer};

use super::TakeOverError;
use crate::wire::Nlri;

pub(super) fn put_nlri(out: &mut Writer, nlri: Nlri) {
    out.prefix(nlri.prefix);
    out.u32(nlri.path_id);
}

pub(super) fn nlri(reader: &mut Reader<'_>) -> Result<Nlri, Damaged> {
    Ok(Nlri { prefix: reader.prefix()?, path_id: reader.u32()? })
}

impl From<Damaged> for TakeOverError {
    fn from(Damaged(why): Damaged) -> Self {
        Self::Damaged(why)
    }
}
