use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use cairn_net::Prefix;

use super::set::DataType;
use super::uapi::{LIST_ELEMENT, data, element};
use super::{Limit, Verdict};
use crate::netlink::{Attribute, Attributes, Message};

/// A field of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An interface's name, at most 15 bytes; a longer one matches nothing.
    Interface(&'a str),
    /// An address.
    Address(IpAddr),
    /// A protocol above IP.
    Protocol(u8),
    /// A port.
    Port(u16),
    /// A packet mark.
    Mark(u32),
    /// An address and a port: only as a map's value.
    Socket(SocketAddr),
}

impl Value<'_> {
    const fn data_type(self) -> DataType {
        match self {
            Self::Interface(_) => DataType::Interface,
            Self::Address(addr) => DataType::Address(cairn_net::Family::of(addr)),
            Self::Protocol(_) => DataType::Protocol,
            Self::Port(_) => DataType::Port,
            Self::Mark(_) => DataType::Mark,
            Self::Socket(socket) => DataType::Socket(cairn_net::Family::of(socket.ip())),
        }
    }

    fn append(self, key: &mut Vec<u8>) {
        match self {
            Self::Interface(name) => key.extend(name.bytes().chain(std::iter::repeat(0)).take(16)),
            Self::Address(IpAddr::V4(addr)) => key.extend_from_slice(&addr.octets()),
            Self::Address(IpAddr::V6(addr)) => key.extend_from_slice(&addr.octets()),
            Self::Protocol(number) => key.push(number),
            Self::Port(port) => key.extend_from_slice(&port.to_be_bytes()),
            Self::Mark(mark) => key.extend_from_slice(&mark.to_ne_bytes()),
            Self::Socket(socket) => {
                Self::Address(socket.ip()).append(key);
                Self::Port(socket.port()).append(key);
                key.extend_from_slice(&[0; 2]);
            }
        }
    }
}

/// An element of a set or a map, as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    key: Vec<u8>,
    /// Whether the key is in the set. Not where it ends an interval, as the first one behind it: such elements sort before one that begins at the same
    /// key, and the kernel takes neighbouring intervals in that order alone.
    inside: bool,
    /// The last key of a range, where keys have several fields.
    last: Option<Vec<u8>>,
    verdict: Option<Verdict>,
    /// The value of a map that has no verdicts.
    value: Option<Vec<u8>>,
    /// How much a set of limits lets pass.
    limit: Option<Limit>,
}

impl Element {
    /// An element of a hash set. The fields are in the order of the set's key.
    pub fn new(fields: &[Value<'_>]) -> Self {
        let mut key = Vec::with_capacity(fields.iter().map(|field| field.data_type().padded_len()).sum());
        for field in fields {
            field.append(&mut key);
            if fields.len() > 1 {
                key.resize(key.len().next_multiple_of(4), 0);
            }
        }
        Self { key, inside: true, last: None, verdict: None, value: None, limit: None }
    }

    /// An element of a map of values.
    pub fn with_value(fields: &[Value<'_>], value: Value<'_>) -> Self {
        let mut bytes = Vec::new();
        value.append(&mut bytes);
        Self { value: Some(bytes), ..Self::new(fields) }
    }

    /// An element of a set of limits.
    pub fn with_limit(fields: &[Value<'_>], limit: Limit) -> Self {
        Self { limit: Some(limit), ..Self::new(fields) }
    }

    /// A prefix in a set of prefixes behind marks.
    pub fn marked_prefix(mark: u32, prefix: Prefix) -> Self {
        let at = |address| Self::new(&[Value::Mark(mark), Value::Address(address)]);
        Self { last: Some(at(prefix.last()).key), ..at(prefix.addr()) }
    }

    /// An element of a verdict map.
    pub fn with_verdict(fields: &[Value<'_>], verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..Self::new(fields) }
    }

    /// The elements of a prefix in a set of prefixes: where it begins and, unless it reaches to the last address
    /// of all, where it has ended.
    pub fn prefix(prefix: Prefix) -> impl Iterator<Item = Self> {
        let begin = Self::new(&[Value::Address(prefix.addr())]);
        let end =
            successor(prefix.last()).map(|addr| Self { inside: false, ..Self::new(&[Value::Address(addr)]) });
        std::iter::once(begin).chain(end)
    }

    /// The key's bytes, each field padded to four bytes where there are several.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Those of a hash set or map whose key is this one's, whatever their value or limit.
    pub fn of_same_key<'a>(&self, among: &'a BTreeSet<Self>) -> impl Iterator<Item = &'a Self> {
        let first = Self {
            key: self.key.clone(),
            inside: false,
            last: None,
            verdict: None,
            value: None,
            limit: None,
        };
        let key = self.key.clone();
        among.range(first..).take_while(move |element| element.key == key)
    }

    /// Roughly what it takes in a message.
    pub(super) fn encoded_len(&self) -> usize {
        let verdict = self.verdict.as_ref().map_or(0, |verdict| 24 + verdict.chain().map_or(0, str::len));
        let more = [&self.last, &self.value].map(|bytes| bytes.as_ref().map_or(0, |bytes| bytes.len() + 8));
        let limit = self.limit.map_or(0, |_| 72);
        self.key.len() + 24 + verdict + limit + more.iter().sum::<usize>()
    }

    pub(super) fn encode(&self, list: &mut Message<'_>) {
        list.nest(LIST_ELEMENT, |out| {
            out.nest(element::KEY, |key| {
                key.bytes(data::VALUE, &self.key);
            });
            if let Some(last) = &self.last {
                out.nest(element::KEY_END, |key| {
                    key.bytes(data::VALUE, last);
                });
            }
            if !self.inside {
                out.be32(element::FLAGS, element::FLAG_INTERVAL_END);
            }
            if let Some(verdict) = &self.verdict {
                out.nest(element::DATA, |value| verdict.encode(value));
            }
            if let Some(bytes) = &self.value {
                out.nest(element::DATA, |value| {
                    value.bytes(data::VALUE, bytes);
                });
            }
            if let Some(limit) = self.limit {
                out.nest(element::EXPRESSION, |expression| limit.encode(expression));
            }
        });
    }

    /// Reads one member of an element list; `None` if it has no key.
    pub(super) fn decode(member: Attribute<'_>) -> Option<Self> {
        let attributes = member.nested();
        let key = attributes.find(element::KEY)?.nested().find(data::VALUE)?.value.to_vec();
        let flags = attributes.find(element::FLAGS).and_then(Attribute::be32).unwrap_or(0);
        let bytes = |found: Attribute<'_>| Some(found.nested().find(data::VALUE)?.value.to_vec());
        let last = attributes.find(element::KEY_END).and_then(bytes);
        let value = attributes.find(element::DATA);
        let verdict = value.map(Attribute::nested).and_then(|value: Attributes<'_>| Verdict::decode(value));
        let inside = flags & element::FLAG_INTERVAL_END == 0;
        let limit = attributes.find(element::EXPRESSION).and_then(|found| Limit::decode(found.nested()));
        Some(Self { key, inside, last, verdict, value: value.and_then(bytes), limit })
    }
}

fn successor(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => u32::from(addr).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(addr) => u128::from(addr).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Vec<Element> {
        Element::prefix(text.parse().unwrap()).collect()
    }

    #[test]
    fn a_prefix_has_a_begin_and_an_end_behind_it() {
        let elements = prefix("10.1.0.0/16");
        assert_eq!(elements[0].key(), [10, 1, 0, 0]);
        assert_eq!((elements[1].key(), elements[1].inside), ([10, 2, 0, 0].as_slice(), false));
        assert_eq!(prefix("255.0.0.0/8").len(), 1, "there is no address behind the last one");
        assert_eq!(prefix("::/0").len(), 1);
    }

    #[test]
    fn fields_of_a_concatenation_fill_whole_registers() {
        let element =
            Element::new(&[Value::Address("10.0.0.1".parse().unwrap()), Value::Protocol(6), Value::Port(80)]);
        assert_eq!(element.key(), [10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(Element::new(&[Value::Port(80)]).key(), [0, 80]);
    }

    #[test]
    fn an_address_with_a_port_fills_whole_registers() {
        let value = |text: &str| {
            Element::with_value(&[Value::Port(80)], Value::Socket(text.parse().unwrap())).value.unwrap()
        };
        assert_eq!(value("10.0.0.1:8080"), [10, 0, 0, 1, 0x1f, 0x90, 0, 0]);
        assert_eq!(value("[::1]:8080").len(), 20);
    }

    #[test]
    fn a_limit_survives_its_message() {
        let limit = Limit { bytes_per_second: 2_500_000, burst: 131_072 };
        let element = Element::with_limit(&[Value::Interface("crn1")], limit);
        let mut batch = crate::netlink::Batch::new();
        element.encode(&mut batch.message(1000, 0, &[]));
        let frame = crate::netlink::Frames::new(batch.as_bytes()).next().unwrap();
        let member = frame.attributes(0).find(LIST_ELEMENT).unwrap();
        assert_eq!(Element::decode(member), Some(element.clone()));
        assert!(batch.as_bytes().len() - 16 <= element.encoded_len());
    }

    #[test]
    fn the_key_finds_an_element_whatever_its_value() {
        let at = |port, target: &str| {
            Element::with_value(&[Value::Port(port)], Value::Socket(target.parse().unwrap()))
        };
        let all = BTreeSet::from([at(79, "10.0.0.1:1"), at(80, "10.0.0.2:1"), at(81, "10.0.0.3:1")]);
        let found: Vec<_> = at(80, "10.0.0.9:9").of_same_key(&all).collect();
        assert_eq!(found, [&at(80, "10.0.0.2:1")]);
        assert_eq!(at(82, "10.0.0.2:1").of_same_key(&all).count(), 0);
    }
}
