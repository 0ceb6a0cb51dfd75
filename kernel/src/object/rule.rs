//! Rules: which routing table is looked up for which packets.

use std::fmt;

use cairn_net::{Family, Prefix};

use super::{Change, LinkName, Object, PROTOCOL, TableId, Verb, af, family_of};
use crate::netlink::{Batch, Frame};

const NEW: u16 = 32;
const DEL: u16 = 33;
const GET: u16 = 34;
/// `struct fib_rule_hdr`.
const HEADER: usize = 12;
const DST: u16 = 1;
const SRC: u16 = 2;
const IIFNAME: u16 = 3;
const PRIORITY: u16 = 6;
const FWMARK: u16 = 10;
const TABLE: u16 = 15;
const FWMASK: u16 = 16;
const RULE_PROTOCOL: u16 = 21;
const TO_TABLE: u8 = 1;
const BLACKHOLE: u8 = 6;
const UNREACHABLE: u8 = 7;
const PROHIBIT: u8 = 8;

/// What a rule does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleAction {
    /// Look the destination up in a table; go on with the next rule if it has no route.
    Lookup(TableId),
    /// Drop in silence.
    Blackhole,
    /// Drop, and tell the sender that there is no way.
    Unreachable,
    /// Drop, and tell the sender that it may not.
    Prohibit,
}

/// A rule; it is its own key, since the kernel deletes by comparing everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The family of the packets.
    pub family: Family,
    /// The order: lower first. 0 is the rule of the local table.
    pub priority: u32,
    /// Packets from here; `None`: from anywhere.
    pub from: Option<Prefix>,
    /// Packets to here; `None`: to anywhere.
    pub to: Option<Prefix>,
    /// Packets that came in on this interface.
    pub iif: Option<LinkName>,
    /// Packets with this mark under this mask.
    pub mark: Option<(u32, u32)>,
    /// What to do.
    pub action: RuleAction,
    /// Who made it, as a routing protocol number.
    pub protocol: u8,
}

impl Rule {
    /// A rule of ours for every packet of a family.
    pub const fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Self { family, priority, from: None, to: None, iif: None, mark: None, action, protocol: PROTOCOL }
    }

    fn write(&self, kind: u16, flags: u16, batch: &mut Batch) {
        let (action, table) = match self.action {
            RuleAction::Lookup(table) => (TO_TABLE, Some(table)),
            RuleAction::Blackhole => (BLACKHOLE, None),
            RuleAction::Unreachable => (UNREACHABLE, None),
            RuleAction::Prohibit => (PROHIBIT, None),
        };
        let length = |prefix: Option<Prefix>| prefix.map_or(0, Prefix::len);
        let small = table.and_then(|table| u8::try_from(table.0).ok()).unwrap_or(0);
        let head = [af(Some(self.family)), length(self.to), length(self.from), 0, small, 0, 0, action];
        let mut message = batch.message(kind, flags, &[head.as_slice(), &[0; 4]].concat());
        message.u32(PRIORITY, self.priority).u8(RULE_PROTOCOL, self.protocol);
        for (kind, prefix) in [(SRC, self.from), (DST, self.to)] {
            if let Some(prefix) = prefix {
                message.addr(kind, prefix.addr());
            }
        }
        if let Some(iif) = &self.iif {
            message.text(IIFNAME, iif.as_str());
        }
        if let Some((mark, mask)) = self.mark {
            message.u32(FWMARK, mark).u32(FWMASK, mask);
        }
        if let Some(table) = table {
            message.u32(TABLE, table.0);
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {} {:?}", self.family, self.priority, self.action)
    }
}

impl Object for Rule {
    type Key = Self;

    fn key(&self) -> Self {
        self.clone()
    }

    fn encode(&self, verb: Verb, batch: &mut Batch) {
        self.write(NEW, verb.flags(), batch);
    }

    fn encode_delete(key: &Self, batch: &mut Batch) {
        key.write(DEL, 0, batch);
    }

    fn encode_list(family: Option<Family>, flags: u16, batch: &mut Batch) {
        batch.message(GET, flags, &[af(family), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    fn decode(frame: Frame<'_>) -> Option<Change<Self>> {
        if !matches!(frame.kind, NEW | DEL) {
            return None;
        }
        let (mut from, mut to, mut iif, mut mark, mut mask) = (None, None, None, 0, None);
        let (mut priority, mut protocol, mut table) = (0, 0, u32::from(frame.byte(4)?));
        for attribute in frame.attributes(HEADER) {
            match attribute.kind {
                DST => to = Prefix::containing(attribute.addr()?, frame.byte(1)?),
                SRC => from = Prefix::containing(attribute.addr()?, frame.byte(2)?),
                IIFNAME => iif = attribute.text().parse().ok(),
                PRIORITY => priority = attribute.u32()?,
                FWMARK => mark = attribute.u32()?,
                FWMASK => mask = Some(attribute.u32()?),
                TABLE => table = attribute.u32()?,
                RULE_PROTOCOL => protocol = attribute.u8()?,
                _ => {}
            }
        }
        let action = match frame.byte(7)? {
            TO_TABLE => RuleAction::Lookup(TableId(table)),
            BLACKHOLE => RuleAction::Blackhole,
            UNREACHABLE => RuleAction::Unreachable,
            PROHIBIT => RuleAction::Prohibit,
            _ => return None,
        };
        let family = family_of(frame.byte(0)?)?;
        // The kernel leaves a mark of 0 out, and tells the mask of every rule that has a mark.
        let mark = mask.map(|mask| (mark, mask));
        let rule = Self { family, priority, from, to, iif, mark, action, protocol };
        Some(if frame.kind == NEW { Change::Present(rule) } else { Change::Gone(rule) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Frames;

    #[test]
    fn a_rule_survives_its_message() {
        let plain = Rule::new(Family::Ipv6, 100, RuleAction::Lookup(TableId(1000)));
        let full = Rule {
            from: Some("10.0.0.0/8".parse().unwrap()),
            to: Some("10.1.0.0/16".parse().unwrap()),
            iif: Some("eth0".parse().unwrap()),
            mark: Some((0xca, 0xff)),
            ..Rule::new(Family::Ipv4, 7, RuleAction::Prohibit)
        };
        for rule in [plain, full] {
            let mut batch = Batch::new();
            rule.encode(Verb::Create, &mut batch);
            let frame = Frames::new(batch.as_bytes()).next().unwrap();
            assert_eq!(Rule::decode(frame), Some(Change::Present(rule)));
        }
    }
}
