//! Second pass: what the attributes mean, and what their faults cost (RFC 7606 sections 3, 5 and 7).

use bytes::Bytes;
use cairn_net::Family;

use super::context::{DecodeContext, PeerKind};
use super::fault::{Consequence, Fault, FaultReason};
use super::merge::FourOctet;
use super::mp::{MpReach, MpUnreach};
use super::structure::{Fields, OPTIONAL, PARTIAL, RawAttribute, TRANSITIVE};
use super::{Reach, Unreach, Update, codec, nlri};
use crate::wire::attribute::{Attributes, NextHop, UnknownAttribute, UnknownAttributes, code};
use crate::wire::notification::{Notification, NotificationCode, UpdateError};

/// Reads an UPDATE's fields.
///
/// # Errors
/// The first fault that resets the session.
pub(super) fn validate(fields: &Fields<'_>, context: &DecodeContext) -> Result<Update, Fault> {
    if fields.is_empty() {
        let end_of_rib = Some(Family::Ipv4).filter(|family| context.families.contains(*family));
        return Ok(Update { end_of_rib, ..Update::default() });
    }
    let mut reading = Reading::new(context);
    reading.withdrawn_field(fields.withdrawn)?;
    for attribute in fields.attributes() {
        match attribute {
            Ok(attribute) => reading.attribute(attribute)?,
            Err(code) => reading.faults.push(Fault {
                consequence: Consequence::TreatAsWithdraw,
                attribute: code,
                reason: FaultReason::AttributeOverrun,
            }),
        }
    }
    reading.nlri_field(fields.nlri)?;
    reading.finish(fields)
}

/// A set of type codes.
#[derive(Debug, Clone, Copy, Default)]
struct Codes([u64; 4]);

impl Codes {
    /// Adds one; false if it was there.
    fn insert(&mut self, code: u8) -> bool {
        let (word, bit) = (usize::from(code >> 6), 1 << (code & 63));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    const fn contains(&self, code: u8) -> bool {
        self.0[(code >> 6) as usize] & (1 << (code & 63)) != 0
    }
}

/// What has been read so far.
struct Reading<'a> {
    context: &'a DecodeContext,
    update: Update,
    attributes: Attributes,
    seen: Codes,
    repeated: Codes,
    next_hop: Option<NextHop>,
    four_octet: FourOctet,
    unknown: Vec<UnknownAttribute<'a>>,
    /// Announced routes were found, perhaps of a family that we pass over.
    announces: bool,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    fn new(context: &'a DecodeContext) -> Self {
        Self {
            context,
            update: Update::default(),
            attributes: Attributes::default(),
            seen: Codes::default(),
            repeated: Codes::default(),
            next_hop: None,
            four_octet: FourOctet::default(),
            unknown: Vec::new(),
            announces: false,
            faults: Vec::new(),
        }
    }

    fn withdrawn_field(&mut self, field: &[u8]) -> Result<(), Fault> {
        let nlri = self.old_field(field)?;
        if !nlri.is_empty() {
            self.update.unreach.push(Unreach { family: Family::Ipv4, nlri });
        }
        Ok(())
    }

    fn nlri_field(&mut self, field: &[u8]) -> Result<(), Fault> {
        self.announces |= !field.is_empty();
        let nlri = self.old_field(field)?;
        if nlri.is_empty() {
            return Ok(());
        }
        if !self.seen.contains(code::NEXT_HOP) {
            self.faults.push(Fault::withdraw(code::NEXT_HOP, FaultReason::Missing));
        } else if self.next_hop.is_some_and(|next_hop| !next_hop.is_usable()) {
            self.faults.push(Fault::withdraw(code::NEXT_HOP, FaultReason::UnusableNextHop));
        }
        // Without a next hop there is a fault, and the routes do not stay announced.
        let next_hop = self.next_hop.unwrap_or(NextHop::new(Family::Ipv4.unspecified()));
        self.update.reach.insert(0, Reach { family: Family::Ipv4, next_hop, nlri });
        Ok(())
    }

    /// Prefixes of one of the two fields outside the attributes; none if IPv4 was not negotiated.
    fn old_field(&mut self, field: &[u8]) -> Result<Vec<nlri::Nlri>, Fault> {
        let prefixes = nlri::decode(field, Family::Ipv4, self.context.add_path.contains(Family::Ipv4));
        let mut prefixes = prefixes
            .map_err(|_| Fault::reset(UpdateError::InvalidNetworkField, None, FaultReason::Prefix, &[]))?;
        if !prefixes.is_empty() && !self.context.families.contains(Family::Ipv4) {
            prefixes.clear();
            self.faults.push(Fault {
                consequence: Consequence::AttributeDiscard,
                attribute: None,
                reason: FaultReason::FamilyNotNegotiated(Family::Ipv4.into()),
            });
        }
        Ok(prefixes)
    }

    fn attribute(&mut self, raw: RawAttribute<'a>) -> Result<(), Fault> {
        if !self.seen.insert(raw.code) {
            return self.repeated(raw);
        }
        let Some(expected) = expected_flags(raw.code) else {
            return self.unknown_attribute(raw);
        };
        let external = self.context.peer == PeerKind::External;
        if external && matches!(raw.code, code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST) {
            self.faults.push(Fault::discard(raw.code, FaultReason::NotFromExternal));
            return Ok(());
        }
        if self.context.four_octet_as && matches!(raw.code, code::AS4_PATH | code::AS4_AGGREGATOR) {
            self.faults.push(Fault::discard(raw.code, FaultReason::NotFromFourOctet));
            return Ok(());
        }
        if raw.flags & (OPTIONAL | TRANSITIVE) != expected {
            self.faults.push(Fault::withdraw(raw.code, FaultReason::Flags(raw.flags)));
            // The routes of the two multiprotocol attributes are needed for the withdrawal.
            if !matches!(raw.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return Ok(());
            }
        }
        match raw.code {
            code::MP_REACH_NLRI => self.mp_reach(raw),
            code::MP_UNREACH_NLRI => self.mp_unreach(raw),
            _ => {
                if let Err(fault) = self.value(raw) {
                    self.faults.push(fault);
                }
                Ok(())
            }
        }
    }

    /// RFC 7606 section 3 g: twice is fatal for the multiprotocol attributes only; else the first one counts.
    fn repeated(&mut self, raw: RawAttribute<'_>) -> Result<(), Fault> {
        if matches!(raw.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
            let error = UpdateError::MalformedAttributeList;
            return Err(Fault::reset(error, Some(raw.code), FaultReason::Repeated, &[]));
        }
        if self.repeated.insert(raw.code) {
            self.faults.push(Fault::discard(raw.code, FaultReason::Repeated));
        }
        Ok(())
    }

    fn unknown_attribute(&mut self, raw: RawAttribute<'a>) -> Result<(), Fault> {
        if raw.flags & OPTIONAL == 0 {
            let (error, reason) =
                (UpdateError::UnrecognizedWellKnownAttribute, FaultReason::UnrecognizedWellKnown);
            return Err(Fault::reset(error, Some(raw.code), reason, raw.whole));
        }
        if raw.flags & TRANSITIVE != 0 {
            let flags = raw.flags & (OPTIONAL | TRANSITIVE | PARTIAL);
            self.unknown.push(UnknownAttribute { code: raw.code, flags, value: raw.value });
        }
        Ok(())
    }

    /// Reads the value of an attribute whose flags are right.
    fn value(&mut self, raw: RawAttribute<'_>) -> Result<(), Fault> {
        let value = raw.value;
        let attributes = &mut self.attributes;
        match raw.code {
            code::ORIGIN => attributes.origin = codec::origin(value)?,
            code::AS_PATH => attributes.as_path = codec::as_path(value, self.context)?,
            code::NEXT_HOP => self.next_hop = Some(codec::next_hop(value)?),
            code::MULTI_EXIT_DISC => attributes.med = Some(codec::number(raw.code, value)?),
            code::LOCAL_PREF => attributes.local_pref = Some(codec::number(raw.code, value)?),
            code::ATOMIC_AGGREGATE => attributes.atomic_aggregate = codec::atomic_aggregate(value)?,
            code::AGGREGATOR => {
                let aggregator = codec::aggregator(raw.code, value, self.context.four_octet_as)?;
                attributes.aggregator = Some(aggregator);
            }
            code::COMMUNITIES => attributes.communities = codec::list(raw.code, value)?,
            code::ORIGINATOR_ID => {
                attributes.originator_id = Some(codec::number(raw.code, value)?.into());
            }
            code::CLUSTER_LIST => attributes.cluster_list = codec::list(raw.code, value)?,
            code::EXTENDED_COMMUNITIES => attributes.extended_communities = codec::list(raw.code, value)?,
            code::IPV6_EXTENDED_COMMUNITIES => {
                attributes.ipv6_extended_communities = codec::list(raw.code, value)?;
            }
            code::LARGE_COMMUNITIES => attributes.large_communities = codec::list(raw.code, value)?,
            code::ONLY_TO_CUSTOMER => {
                attributes.only_to_customer = Some(cairn_net::Asn(codec::number(raw.code, value)?));
            }
            code::AS4_PATH => self.four_octet.path = Some(codec::as4_path(value)?),
            code::AS4_AGGREGATOR => {
                self.four_octet.aggregator = Some(codec::aggregator(raw.code, value, true)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn mp_reach(&mut self, raw: RawAttribute<'_>) -> Result<(), Fault> {
        let mp = MpReach::split(raw)?;
        self.announces |= !mp.nlri.is_empty();
        let Some(family) = mp.family.family().filter(|family| self.context.families.contains(*family)) else {
            self.faults.push(Fault::discard(raw.code, FaultReason::FamilyNotNegotiated(mp.family)));
            return Ok(());
        };
        let next_hop = mp.next_hop(raw, family, self.context)?;
        let nlri = mp.nlri(raw, family, self.context)?;
        if nlri.is_empty() {
            return Ok(());
        }
        if !next_hop.is_usable() {
            self.faults.push(Fault::withdraw(raw.code, FaultReason::UnusableNextHop));
        }
        self.update.reach.push(Reach { family, next_hop, nlri });
        Ok(())
    }

    fn mp_unreach(&mut self, raw: RawAttribute<'_>) -> Result<(), Fault> {
        let mp = MpUnreach::split(raw)?;
        let Some(family) = mp.family.family().filter(|family| self.context.families.contains(*family)) else {
            self.faults.push(Fault::discard(raw.code, FaultReason::FamilyNotNegotiated(mp.family)));
            return Ok(());
        };
        let nlri = mp.nlri(raw, family, self.context)?;
        if nlri.is_empty() {
            self.update.end_of_rib = Some(family);
        } else {
            self.update.unreach.push(Unreach { family, nlri });
        }
        Ok(())
    }

    /// Everything that depends on several attributes.
    fn finish(mut self, fields: &Fields<'_>) -> Result<Update, Fault> {
        if !self.update.reach.is_empty() {
            for mandatory in [code::ORIGIN, code::AS_PATH] {
                if !self.seen.contains(mandatory) {
                    self.faults.push(Fault::withdraw(mandatory, FaultReason::Missing));
                }
            }
            self.four_octet.merge_into(&mut self.attributes);
            if !self.faults.iter().any(|fault| *fault == Fault::withdraw(code::AS_PATH, fault.reason)) {
                self.faults.extend(codec::first_as(&self.attributes.as_path, self.context).err());
            }
        }
        if !self.announces {
            self.refuse_errors_without_routes(fields)?;
        }
        // An End-of-RIB has nothing but the empty MP_UNREACH_NLRI.
        let mp_unreach_only = self.seen.0 == [1 << code::MP_UNREACH_NLRI, 0, 0, 0];
        if !mp_unreach_only
            || !fields.withdrawn.is_empty()
            || !fields.nlri.is_empty()
            || !self.faults.is_empty()
        {
            self.update.end_of_rib = None;
        }
        if self.faults.iter().any(|fault| fault.consequence == Consequence::TreatAsWithdraw) {
            let reach = std::mem::take(&mut self.update.reach);
            self.update
                .unreach
                .extend(reach.into_iter().map(|Reach { family, nlri, .. }| Unreach { family, nlri }));
        } else if !self.update.reach.is_empty() {
            self.attributes.unknown = UnknownAttributes::from_iter(self.unknown);
            self.update.attributes = Some(self.attributes);
        }
        self.update.faults = self.faults;
        Ok(self.update)
    }

    /// RFC 7606 section 5.2: without announced routes one cannot trust that all were found.
    fn refuse_errors_without_routes(&self, fields: &Fields<'_>) -> Result<(), Fault> {
        let worst = self.faults.iter().find(|fault| fault.consequence == Consequence::TreatAsWithdraw);
        let Some(fault) = worst else {
            return Ok(());
        };
        let attribute = fields.attributes().flatten().find(|raw| Some(raw.code) == fault.attribute);
        let notification = Notification {
            code: NotificationCode::Update(subcode(fault)),
            data: attribute.map(|raw| Bytes::copy_from_slice(raw.whole)).unwrap_or_default(),
        };
        Err(Fault { consequence: Consequence::SessionReset(notification), ..fault.clone() })
    }
}

/// The optional and transitive bits by definition; `None` for a type that we do not speak.
const fn expected_flags(code: u8) -> Option<u8> {
    Some(match code {
        code::ORIGIN | code::AS_PATH | code::NEXT_HOP | code::LOCAL_PREF | code::ATOMIC_AGGREGATE => {
            TRANSITIVE
        }
        code::MULTI_EXIT_DISC
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH_NLRI
        | code::MP_UNREACH_NLRI => OPTIONAL,
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXTENDED_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::IPV6_EXTENDED_COMMUNITIES
        | code::LARGE_COMMUNITIES
        | code::ONLY_TO_CUSTOMER => OPTIONAL | TRANSITIVE,
        _ => return None,
    })
}

/// The subcode of RFC 4271 section 6.3 for a fault in an attribute's value.
fn subcode(fault: &Fault) -> UpdateError {
    match fault.reason {
        FaultReason::Flags(_) => UpdateError::AttributeFlagsError,
        FaultReason::Length(_) | FaultReason::AttributeOverrun => UpdateError::AttributeLengthError,
        FaultReason::UndefinedOrigin(_) => UpdateError::InvalidOriginAttribute,
        FaultReason::AsPath(_) | FaultReason::FirstAs(_) | FaultReason::Confederation(_) => {
            UpdateError::MalformedAsPath
        }
        FaultReason::UnusableNextHop => UpdateError::InvalidNextHopAttribute,
        FaultReason::Missing => UpdateError::MissingWellKnownAttribute,
        _ => UpdateError::MalformedAttributeList,
    }
}
