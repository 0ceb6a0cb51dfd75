//! Workload interfaces by name, and those that are to be deleted.

use std::collections::HashSet;

use cairn_kernel::object::{Kind, Link, LinkChange, LinkName};
use cairn_kernel::{Error, Requests, Rtnl};

use super::WiringError;
use crate::cni::name::is_host_ifname;

/// The interface group of what is to be deleted (docs/adr/0013); it fits iproute2's signed numbers.
const DOOMED: u32 = 0x0CA0_0001;

/// Marks an interface for [`reap`]; false if it is gone.
pub(super) fn doom(rtnl: &mut Rtnl, interface: &str) -> Result<bool, WiringError> {
    let name: LinkName = interface.parse()?;
    let change = LinkChange { group: Some(DOOMED), ..LinkChange::default() };
    match rtnl.change_link(&name, &change) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Deletes all that is marked, and waits for the kernel.
pub(super) fn reap(rtnl: &mut Rtnl) -> Result<(), Error> {
    match rtnl.execute_all(Requests::new().delete_link_group(DOOMED)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes an interface, and waits for the kernel.
pub(super) fn remove(rtnl: &mut Rtnl, interface: &str) -> Result<(), WiringError> {
    let name: LinkName = interface.parse()?;
    rtnl.delete_link(&name)?;
    Ok(())
}

/// The names of all workload interfaces that are not marked.
pub(super) fn names(rtnl: &mut Rtnl) -> Result<HashSet<String>, Error> {
    let links: Vec<Link> = rtnl.list(None)?;
    let ours = |link: &Link| link.kind == Kind::Veth && link.group != DOOMED && is_host_ifname(&link.name);
    Ok(links.into_iter().filter(ours).map(|link| link.name).collect())
}
