use super::uapi;
use crate::netlink::{Batch, Frame, Message};

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFamily {
    /// IPv4 and IPv6 (`NFPROTO_INET`).
    Inet,
    /// IPv4 (`NFPROTO_IPV4`).
    Ip,
    /// IPv6 (`NFPROTO_IPV6`).
    Ip6,
    /// Of one device, before routing (`NFPROTO_NETDEV`).
    Netdev,
}

impl TableFamily {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Netdev => 5,
            Self::Ip6 => 10,
        }
    }
}

/// Names a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table {
    /// Its family.
    pub family: TableFamily,
    /// Its name, unique within the family. At most 255 bytes.
    pub name: &'static str,
}

impl Table {
    /// Cairn's own: `inet cairn`.
    pub const CAIRN: Self = Self { family: TableFamily::Inet, name: "cairn" };
    /// Cairn's chains at pods' interfaces: `netdev cairn`.
    pub const CAIRN_INTERFACES: Self = Self { family: TableFamily::Netdev, name: "cairn" };
    /// Cairn's flowtable: `inet cairn-fastpath`.
    pub const CAIRN_FAST_PATH: Self = Self { family: TableFamily::Inet, name: "cairn-fastpath" };

    /// Is a notification about something in this table, or about the table itself?
    pub fn concerns(&self, frame: Frame<'_>) -> bool {
        // The table's name is attribute 1 of tables, chains, rules, sets, elements and all else that is in one.
        frame.kind >> 8 == uapi::SUBSYSTEM
            && frame.kind != uapi::message::NEW_GENERATION
            && frame.byte(0) == Some(self.family.number())
            && frame.attributes(4).find(uapi::table::NAME).is_some_and(|name| name.is_text(self.name))
    }

    /// Begins a message about something in this table.
    pub(super) fn message<'a>(&self, batch: &'a mut Batch, kind: u16, flags: u16) -> Message<'a> {
        batch.message(kind, flags, &header(self.family.number(), 0))
    }

    pub(super) fn encode_get(&self, flags: u16, batch: &mut Batch) {
        self.message(batch, uapi::message::GET_TABLE, flags);
    }

    pub(super) fn encode_create(&self, batch: &mut Batch) {
        let mut message = self.message(batch, uapi::message::NEW_TABLE, uapi::CREATE);
        message.text(uapi::table::NAME, self.name);
    }

    pub(super) fn encode_delete(&self, batch: &mut Batch) {
        let mut message = self.message(batch, uapi::message::DEL_TABLE, 0);
        message.text(uapi::table::NAME, self.name);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = match self.family {
            TableFamily::Inet => "inet",
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
            TableFamily::Netdev => "netdev",
        };
        write!(f, "{family} {}", self.name)
    }
}

/// A `struct nfgenmsg`: family, version 0, a resource number in network order.
pub(super) const fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
