use cairn_net::Family;

use super::uapi::{self, LIST_ELEMENT, message, set};
use super::{Element, Limit, Table};
use crate::netlink::Batch;

/// What a field of a key, or a value of a map, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// An interface's name, 16 bytes padded with zeros.
    Interface,
    /// An address.
    Address(Family),
    /// A protocol above IP, one byte.
    Protocol,
    /// A port, network order.
    Port,
    /// A packet mark, host order.
    Mark,
    /// An address and a port, each padded: only as a map's value.
    Socket(Family),
    /// What to do with a packet: only as a map's value.
    Verdict,
}

impl DataType {
    /// Bytes.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Interface => 16,
            Self::Address(family) => family.bytes(),
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Mark => 4,
            Self::Socket(family) => family.bytes() + 4,
            Self::Verdict => 0,
        }
    }

    /// Bytes within a concatenation, where each field fills whole 32-bit registers.
    pub(super) const fn padded_len(self) -> usize {
        self.len().next_multiple_of(4)
    }

    /// The number by which `nft` knows how to print it (`enum datatypes` of nftables).
    const fn number(self) -> u32 {
        match self {
            Self::Interface => 41,
            Self::Address(Family::Ipv4) => 7,
            Self::Address(Family::Ipv6) => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            // A concatenation, six bits for each.
            Self::Socket(family) => Self::Address(family).number() << 6 | Self::Port.number(),
            // NFT_DATA_VERDICT, to the kernel itself
            Self::Verdict => 0xffff_ff00,
        }
    }

    const fn is_network_order(self) -> bool {
        matches!(self, Self::Address(_) | Self::Port)
    }
}

/// A named set, or a map if it has values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name, unique among the table's sets. At most 255 bytes.
    pub name: String,
    /// The fields of a key, one or more.
    pub key: Vec<DataType>,
    /// The type of the values of a map.
    pub value: Option<DataType>,
    /// Its elements are prefixes that do not overlap; of keys with several fields the last one is such.
    pub prefixes: bool,
    /// Each element has a [`Limit`] of its own.
    pub limits: bool,
}

impl Set {
    /// A set of keys, looked up by hash.
    pub fn hash(name: impl Into<String>, key: &[DataType]) -> Self {
        Self { name: name.into(), key: key.to_vec(), value: None, prefixes: false, limits: false }
    }

    /// A set of prefixes of a family. No two may overlap.
    pub fn prefixes(name: impl Into<String>, family: Family) -> Self {
        Self {
            name: name.into(),
            key: vec![DataType::Address(family)],
            value: None,
            prefixes: true,
            limits: false,
        }
    }

    /// A set of prefixes of a family behind a packet mark each. No two of one mark may overlap. Needs Linux 5.6.
    pub fn marked_prefixes(name: impl Into<String>, family: Family) -> Self {
        let key = vec![DataType::Mark, DataType::Address(family)];
        Self { name: name.into(), key, value: None, prefixes: true, limits: false }
    }

    /// A map from keys to values, looked up by hash.
    pub fn values(name: impl Into<String>, key: &[DataType], value: DataType) -> Self {
        Self { name: name.into(), key: key.to_vec(), value: Some(value), prefixes: false, limits: false }
    }

    /// A map from keys to verdicts, looked up by hash.
    pub fn verdicts(name: impl Into<String>, key: &[DataType]) -> Self {
        Self {
            name: name.into(),
            key: key.to_vec(),
            value: Some(DataType::Verdict),
            prefixes: false,
            limits: false,
        }
    }

    /// A set of keys with a limit each, looked up by hash: a key is found where its limit is exceeded. Needs Linux 5.7.
    pub fn limits(name: impl Into<String>, key: &[DataType]) -> Self {
        Self { limits: true, ..Self::hash(name, key) }
    }

    fn key_len(&self) -> usize {
        match self.key.as_slice() {
            [single] => single.len(),
            fields => fields.iter().map(|field| field.padded_len()).sum(),
        }
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.prefixes {
            flags |= set::FLAG_INTERVAL;
        }
        if self.value.is_some() {
            flags |= set::FLAG_MAP;
        }
        if self.key.len() > 1 {
            flags |= set::FLAG_CONCAT;
        }
        flags
    }

    /// `id` names the set within its transaction.
    #[allow(clippy::cast_possible_truncation)] // keys are at most 64 bytes
    pub(super) fn encode_create(&self, id: u32, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::NEW_SET, uapi::CREATE);
        out.text(set::TABLE, table.name).text(set::NAME, &self.name).be32(set::ID, id);
        out.be32(set::FLAGS, self.flags());
        // nft prints a concatenation by the types packed into six bits each.
        let packed = self.key.iter().fold(0, |packed, field| packed << 6 | field.number());
        out.be32(set::KEY_TYPE, packed).be32(set::KEY_LEN, self.key_len() as u32);
        if let Some(value) = self.value {
            out.be32(set::DATA_TYPE, value.number());
            out.be32(set::DATA_LEN, value.len() as u32);
        }
        if self.key.len() > 1 {
            out.nest(set::DESCRIPTION, |description| {
                description.nest(set::DESCRIPTION_CONCAT, |fields| {
                    for field in &self.key {
                        fields.nest(LIST_ELEMENT, |one| {
                            one.be32(set::FIELD_LEN, field.len() as u32);
                        });
                    }
                });
            });
        }
        let orders = self.byte_orders();
        if !orders.is_empty() {
            out.bytes(set::USERDATA, &orders);
        }
        if self.limits {
            // That of elements which have none: ours all have.
            let least = Limit { bytes_per_second: 1, burst: 0 };
            out.nest(set::EXPRESSION, |expression| least.encode(expression));
        }
    }

    /// For `nft list` alone, which would print numbers with their bytes swapped: `NFTNL_UDATA_SET_KEYBYTEORDER` and
    /// `NFTNL_UDATA_SET_DATABYTEORDER`, where 1 is host order and 2 network order. Of several fields it knows by itself.
    fn byte_orders(&self) -> Vec<u8> {
        let key = match self.key.as_slice() {
            [field] => Some(*field),
            _ => None,
        };
        let value = self.value.filter(|value| *value != DataType::Verdict);
        let entry = |(kind, field): (u8, DataType)| {
            let [a, b, c, d] = (1 + u32::from(field.is_network_order())).to_ne_bytes();
            [kind, 4, a, b, c, d]
        };
        let key = key.map(|key| (0, key));
        key.into_iter().chain(value.map(|value| (1, value))).flat_map(entry).collect()
    }

    pub(super) fn encode_delete(name: &str, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::DEL_SET, 0);
        out.text(set::TABLE, table.name).text(set::NAME, name);
    }

    /// One message, however many elements: the caller keeps them below 64 KiB.
    pub(super) fn encode_elements(
        name: &str,
        elements: &[Element],
        kind: u16,
        table: &Table,
        batch: &mut Batch,
    ) {
        let flags = if kind == message::NEW_ELEMENT { uapi::CREATE } else { 0 };
        let mut out = table.message(batch, kind, flags);
        out.text(uapi::element::LIST_TABLE, table.name).text(uapi::element::LIST_SET, name);
        out.nest(uapi::element::LIST_ELEMENTS, |list| {
            for element in elements {
                element.encode(list);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nft_is_told_the_order_of_bytes_of_key_and_value() {
        let address = DataType::Address(Family::Ipv4);
        let order = |kind: u8, order: u32| [&[kind, 4][..], &order.to_ne_bytes()].concat();
        let (host, network) = (1, 2);
        let marks = Set::values("marks", &[address], DataType::Mark);
        assert_eq!(marks.byte_orders(), [order(0, network), order(1, host)].concat());
        let addresses = Set::values("addresses", &[DataType::Mark], address);
        assert_eq!(addresses.byte_orders(), [order(0, host), order(1, network)].concat());
        assert_eq!(Set::hash("set", &[DataType::Port]).byte_orders(), order(0, network));
        assert_eq!(Set::verdicts("verdicts", &[DataType::Interface]).byte_orders(), order(0, host));
        assert!(Set::marked_prefixes("several", Family::Ipv6).byte_orders().is_empty());
    }
}
