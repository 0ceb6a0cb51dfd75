use super::Table;
use super::uapi::{self, flowtable, message};
use crate::Error;
use crate::netlink::{Attribute, Batch, Frame, Message, Socket};

/// Length of a `struct nfgenmsg`.
const HEADER: usize = 4;

/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;

/// The kernel's fast path: packets of known connections that come in by one of its devices are forwarded there and then, past all hooks of IP.
///
/// A rule with [`Expression::FlowOffload`](super::Expression::FlowOffload) hands it connections. A device that goes leaves it by itself, and connections through
/// it end there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flowtable {
    /// Its name, unique among the table's flowtables.
    pub name: &'static str,
    /// When it sees packets, relative to others at the ingress of a device: lower is earlier.
    pub priority: i32,
}

impl Flowtable {
    /// Makes it unless it is there, and adds devices, which must be there. Those that it has already are no error.
    pub(super) fn encode_create(&self, devices: &[&str], table: &Table, batch: &mut Batch) {
        self.encode(devices, message::NEW_FLOWTABLE, uapi::CREATE, table, batch);
    }

    /// Takes devices out of it. Each must be in it.
    pub(super) fn encode_delete_devices(&self, devices: &[&str], table: &Table, batch: &mut Batch) {
        self.encode(devices, message::DEL_FLOWTABLE, 0, table, batch);
    }

    fn encode(&self, devices: &[&str], kind: u16, flags: u16, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, kind, flags);
        out.text(flowtable::TABLE, table.name).text(flowtable::NAME, self.name);
        out.nest(flowtable::HOOK, |hook| {
            hook.be32(flowtable::HOOK_NUMBER, INGRESS)
                .be32(flowtable::HOOK_PRIORITY, self.priority.cast_unsigned());
            if !devices.is_empty() {
                hook.nest(flowtable::HOOK_DEVICES, |list| {
                    for device in devices {
                        list.text(flowtable::DEVICE_NAME, device);
                    }
                });
            }
        });
    }
}

/// The devices of a flowtable; `None` if there is no such one.
pub fn flowtable_devices(
    socket: &mut Socket,
    table: Table,
    name: &str,
) -> Result<Option<Vec<String>>, Error> {
    let request = |out: &mut Message<'_>| {
        out.text(flowtable::TABLE, table.name);
    };
    let found = super::list::list(socket, table, "flowtables", message::GET_FLOWTABLE, request, |frame| {
        let text = |kind| frame.attributes(HEADER).find(kind).map(Attribute::text);
        let ours = text(flowtable::TABLE)? == table.name && text(flowtable::NAME)? == name;
        ours.then(|| devices(frame))
    })?;
    Ok(found.into_iter().next())
}

fn devices(frame: Frame<'_>) -> Vec<String> {
    let hook = frame.attributes(HEADER).find(flowtable::HOOK).map(Attribute::nested);
    let list = hook.and_then(|hook| hook.find(flowtable::HOOK_DEVICES)).map(Attribute::nested);
    let names = list.into_iter().flatten().filter(|device| device.kind == flowtable::DEVICE_NAME);
    names.map(Attribute::text).collect()
}
