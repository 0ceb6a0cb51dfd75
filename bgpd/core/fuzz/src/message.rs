use std::sync::Arc;
use std::time::Duration;

use bgp_core::monitor::bmp::{self, PeerHeader, Rib};
use bgp_core::monitor::mrt::{self, Entry};
use bgp_core::monitor::{MonitoredRoute, encode_updates};
use bgp_core::rib::RouteAttributes;
use bgp_core::wire::{
    DecodeContext, EncodeContext, EncodeError, EncodedAttributes, Framer, HEADER_LEN, Message, Negotiated,
    Open, PeerKind, Reach, Update,
};
use bytes::BytesMut;
use cairn_net::{Asn, Families, RouterId};

const EXTERNAL: DecodeContext = DecodeContext {
    peer: PeerKind::External,
    four_octet_as: true,
    families: Families::ALL,
    add_path: Families::NONE,
    extended_next_hop: true,
    first_as: None,
};

/// Sessions of every kind that reads an UPDATE differently.
const CONTEXTS: [DecodeContext; 5] = [
    EXTERNAL,
    DecodeContext { peer: PeerKind::Internal, add_path: Families::ALL, ..EXTERNAL },
    DecodeContext { peer: PeerKind::Internal, four_octet_as: false, ..EXTERNAL },
    DecodeContext { peer: PeerKind::Confederation, extended_next_hop: false, ..EXTERNAL },
    DecodeContext { first_as: Some(Asn(65001)), four_octet_as: false, add_path: Families::ALL, ..EXTERNAL },
];

/// The body of an OPEN: what decodes is encoded in a form that decodes to the same.
pub fn bgp_open(octets: &[u8]) {
    let Ok(open) = Open::decode(octets) else {
        return;
    };
    let _ = Negotiated::between(&open, &open);
    let message = open.encode();
    let again = Open::decode(&message[HEADER_LEN..]).expect("what we encode is valid");
    assert_eq!((again.asn, again.hold_time, again.router_id), (open.asn, open.hold_time, open.router_id));
    // An OPEN in the old format always fits; one in the extended format may hold more than ours can.
    if message.len() < 3000 {
        assert_eq!(again.capabilities, open.capabilities);
    }
}

/// The body of an UPDATE, on sessions of every kind.
pub fn bgp_update(octets: &[u8]) {
    for context in &CONTEXTS {
        match Update::decode(octets, context) {
            Ok(update) => check(&update, context),
            Err(fault) => {
                let _ = fault.to_string();
                let _ = fault.into_notification().encode();
            }
        }
    }
}

/// A byte stream, as from a connection; every message in it.
pub fn bgp_stream(octets: &[u8]) {
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    // The framer must not care where reads break the stream.
    for part in octets.chunks(7) {
        framer.push(part);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => match Message::decode(&frame, &EXTERNAL) {
                    Ok(Message::Notification(notification)) => {
                        let _ = notification.to_string();
                        let _ = notification.into_hard_reset().encode();
                    }
                    Ok(Message::Update(update)) => check(&update, &EXTERNAL),
                    Ok(_) | Err(_) => {}
                },
                Ok(None) => break,
                Err(notification) => {
                    let _ = notification.encode();
                    return;
                }
            }
        }
    }
}

/// What must hold of every UPDATE that is not refused.
fn check(update: &Update, context: &DecodeContext) {
    assert_eq!(update.attributes.is_some(), !update.reach.is_empty());
    assert!(update.end_of_rib.is_none() || update.reach.is_empty() && update.unreach.is_empty());
    for fault in &update.faults {
        let _ = fault.to_string();
    }
    for unreach in &update.unreach {
        assert!(!unreach.nlri.is_empty());
        assert!(unreach.nlri.iter().all(|nlri| nlri.prefix.family() == unreach.family));
    }
    for reach in &update.reach {
        encodes_to_the_same(update, reach, context);
    }
    is_shown_to_recorders(update, context);
}

/// The form of a session of the same kind, with the longest messages.
fn like(context: &DecodeContext) -> EncodeContext {
    EncodeContext { four_octet_as: context.four_octet_as, add_path: context.add_path, max_message_len: 65535 }
}

/// What BMP and MRT are written of the routes: whole messages and records, and in those of BMP the routes as they came.
fn is_shown_to_recorders(update: &Update, context: &DecodeContext) {
    const AT: Duration = Duration::from_secs(1);
    let withdrawn: Vec<_> = update.unreach.iter().flat_map(|part| &part.nlri).copied().collect();
    let (mut announced, mut routes) = (Vec::new(), Vec::new());
    routes.extend(withdrawn.iter().map(|nlri| MonitoredRoute { nlri: *nlri, route: None }));
    for Reach { family, next_hop, nlri } in &update.reach {
        let attributes = update.attributes.as_ref().expect("checked by the caller");
        if EncodedAttributes::new(attributes, *family, *next_hop, &like(context)).is_ok() {
            announced.extend(nlri.iter().copied());
        }
        let route = Arc::new(RouteAttributes::detached(attributes.clone(), *next_hop));
        let shown = |nlri| MonitoredRoute { nlri, route: Some(Arc::clone(&route)) };
        routes.extend(nlri.iter().copied().map(shown));
        // Each prefix has all attributes in its record: the first one speaks for all.
        let Some(first) = nlri.first() else { continue };
        let entry = Entry { peer: 1, since: AT, path_id: first.path_id, route: &route };
        if let Some(record) = mrt::rib_entries(0, first.prefix, &[entry], AT) {
            let len = record[8..12].iter().fold(0_usize, |len, octet| len << 8 | usize::from(*octet));
            assert_eq!(len, record.len() - 12);
        }
    }
    let messages = encode_updates(&routes, &like(context));
    let context = DecodeContext { extended_next_hop: true, ..*context };
    let (mut reach, mut unreach) = (Vec::new(), Vec::new());
    for message in &messages {
        let again = Update::decode(&message[HEADER_LEN..], &context).expect("what we encode is valid");
        reach.extend(again.reach.into_iter().flat_map(|part| part.nlri));
        unreach.extend(again.unreach.into_iter().flat_map(|part| part.nlri));
    }
    assert_eq!((reach, unreach), (announced, withdrawn));
    let header = PeerHeader::loc_rib(Asn(65001), RouterId::new(1).expect("not zero"));
    let mut all = BytesMut::new();
    messages.iter().for_each(|message| all.extend_from_slice(message));
    let monitored = bmp::route_monitoring(&header, Rib::PrePolicy, all.freeze(), AT);
    assert_eq!(monitored.len(), messages.len());
    assert!(monitored.iter().zip(&messages).all(|(whole, update)| whole.ends_with(update)));
}

/// Sends the routes on over a session of the same kind, and reads them there.
fn encodes_to_the_same(update: &Update, reach: &Reach, context: &DecodeContext) {
    let attributes = update.attributes.as_ref().expect("checked by the caller");
    let Reach { family, next_hop, nlri } = reach;
    assert!(next_hop.is_usable() && !nlri.is_empty());
    let encoded = match EncodedAttributes::new(attributes, *family, *next_hop, &like(context)) {
        Ok(encoded) => encoded,
        // Widened numbers and the AS4 attributes can make a message of the longest kind longer.
        Err(EncodeError::TooLong { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let mut out = BytesMut::new();
    encoded.reach(nlri.iter().copied(), &mut out);
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    framer.push(&out);
    let mut received = Vec::new();
    let context = DecodeContext { extended_next_hop: true, ..*context };
    while let Some(frame) = framer.next_frame().expect("what we encode is valid") {
        let again = Update::decode(&frame.body, &context).expect("what we encode is valid");
        assert_eq!(again.faults, []);
        let mut got = again.attributes.expect("the message announces something");
        // Passing on sets the partial bit, and nothing else.
        assert!(
            got.unknown
                .iter()
                .zip(attributes.unknown.iter())
                .all(|(got, sent)| got.flags == sent.flags | 0x20
                    && (got.code, got.value) == (sent.code, sent.value))
        );
        got.unknown = attributes.unknown.clone();
        if !context.four_octet_as {
            // AS4_PATH has no confederation segments, so those behind the first others are lost with it.
            assert_eq!(got.as_path.without_confederation(), attributes.as_path.without_confederation());
            got.as_path = attributes.as_path.clone();
        }
        assert_eq!(&got, attributes);
        for reach in again.reach {
            assert_eq!((reach.family, reach.next_hop), (*family, *next_hop));
            received.extend(reach.nlri);
        }
    }
    assert_eq!(&received, nlri);
}
