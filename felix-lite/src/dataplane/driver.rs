//! Drivers of the kernel that attachments need: asked for once a pool does, for that loads modules.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use cairn_api::kinds::AttachmentMode;
use cairn_kernel::object::{IpvlanMode, StackedKind};
use cairn_kernel::{Error, Rtnl};

/// Which of those that were asked for the kernel has.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    known: BTreeMap<AttachmentMode, bool>,
}

impl Drivers {
    /// Asks for one, unless it is known to be there; true if that gave another answer than before.
    ///
    /// Errors: the kernel cannot be asked.
    pub(super) fn ask(&mut self, rtnl: &mut Rtnl, mode: AttachmentMode) -> Result<bool, Error> {
        let kind = match mode {
            AttachmentMode::Routed => return Ok(false),
            AttachmentMode::Macvlan => StackedKind::Macvlan,
            AttachmentMode::Ipvlan => StackedKind::Ipvlan(IpvlanMode::L2),
        };
        if self.known.get(&mode) == Some(&true) {
            return Ok(false);
        }
        let is_there = rtnl.has_driver(kind)?;
        Ok(self.known.insert(mode, is_there) != Some(is_there))
    }

    /// Those that are not there.
    pub(super) fn lacking(&self) -> BTreeSet<AttachmentMode> {
        self.known.iter().filter(|(_, is_there)| !**is_there).map(|(mode, _)| *mode).collect()
    }
}
