//! Whether packets enter VXLAN without the checksum of what is inside, for the network card to add.
//!
//! Cards, and hypervisors that emulate one, are known to spoil it: small packets get through, and connections do not. Where that is said, the
//! kernel adds the checksum before a packet enters the device.

use cairn_kernel::Error;
use cairn_kernel::ethtool::Ethtool;
use cairn_kernel::object::LinkName;
use felix_core::Tunnel;

/// The kernel's side of it, once it was needed.
#[derive(Debug, Default)]
pub(super) struct Offload(Option<Ethtool>);

impl Offload {
    /// Is it as it should be? What cannot be read is nobody's doing.
    pub(super) fn is_as_wanted(&mut self, name: &str, tunnel: &Tunnel) -> bool {
        let Some(vxlan) = tunnel.vxlan else { return true };
        let found = name.parse::<LinkName>().and_then(|name| self.client()?.tx_checksum(&name));
        found.map_or(true, |found| found == vxlan.checksum_offload)
    }

    /// Makes it so.
    ///
    /// Errors: a sentence that says what is in the way. None where it is to be on, as the kernel makes it: one that knows of no such setting does
    /// without.
    pub(super) fn ensure(&mut self, name: &LinkName, tunnel: &Tunnel) -> Result<(), String> {
        let Some(vxlan) = tunnel.vxlan else { return Ok(()) };
        match self.write(name, vxlan.checksum_offload) {
            Err(error) if !vxlan.checksum_offload => Err(format!(
                "{name}: checksums cannot be added before packets enter it (Linux 5.7 or newer is needed): {error}"
            )),
            _ => Ok(()),
        }
    }

    fn write(&mut self, name: &LinkName, on: bool) -> Result<(), Error> {
        let client = self.client()?;
        if client.tx_checksum(name)? == on { Ok(()) } else { client.set_tx_checksum(name, on) }
    }

    fn client(&mut self) -> Result<&mut Ethtool, Error> {
        match &mut self.0 {
            Some(client) => Ok(client),
            none => Ok(none.insert(Ethtool::open()?)),
        }
    }
}
