//! What a member is sent from the table instead of from the log.

use bytes::{Bytes, BytesMut};
use cairn_net::{Families, Family};
use foldhash::HashSet;

use super::batch::Batch;
use super::log::Audience;
use crate::policy::Hits;
use crate::rib::slab::SlabId;
use crate::rib::source::SourceId;
use crate::rib::table::{NetId, Table};
use crate::rib::{Treatment, default_nlri};
use crate::wire::{DecodeContext, Framer, Message, Nlri, PeerKind};

/// Places of the table that are looked at in one go: enough to pack well, little enough to stay in the cache and to keep no
/// peer waiting.
const DUMP_CHUNK: u32 = 1 << 14;
/// Missed routes that are sent in one go.
const MISSED_CHUNK: usize = 1 << 12;

/// Sends a part of the table. Returns where to go on, if anywhere, and the messages.
///
/// Changes in what was already looked at are in the log, after the place where the member began.
pub(super) fn dump(
    (treatment, hits): (&Treatment, &Hits),
    table: &Table,
    me: SourceId,
    family: Family,
    from: u32,
) -> (Option<u32>, Option<(Bytes, u32)>) {
    let end = u32::try_from(table.nets.places()).expect("places are numbered with 32 bits");
    let to = from.saturating_add(DUMP_CHUNK).min(end);
    let mut batch = Batch::new(treatment, DUMP_CHUNK as usize);
    if from == 0
        && let Some((nlri, bucket)) = default_nlri(family).zip(batch.export_default(family))
    {
        batch.announce(nlri, bucket);
    }
    for place in from..to {
        let id = NetId::from_place(place);
        if table.nets.get(id).is_none_or(|net| net.prefix.family() != family) {
            continue;
        }
        treatment.each_route(table, id, |nlri, route| {
            if route.source != me
                && let Some(bucket) = batch.export(table, nlri.prefix, &route, Some(hits))
            {
                batch.announce(nlri, bucket);
            }
        });
    }
    ((to < end).then_some(to), encode(batch))
}

/// Sends what became of some of the routes, and takes them out of the set.
pub(super) fn missed(
    (treatment, hits): (&Treatment, &Hits),
    table: &Table,
    me: SourceId,
    routes: &mut HashSet<Nlri>,
) -> Option<(Bytes, u32)> {
    let some: Vec<Nlri> = routes.iter().take(MISSED_CHUNK).copied().collect();
    let mut batch = Batch::new(treatment, some.len());
    for nlri in some {
        routes.remove(&nlri);
        let route = treatment.route(table, nlri).filter(|route| route.source != me);
        let family = nlri.prefix.family();
        let ours = batch.export_default(family).filter(|_| default_nlri(family) == Some(nlri));
        match ours.or_else(|| batch.export(table, nlri.prefix, &route?, Some(hits))) {
            Some(bucket) => batch.announce(nlri, bucket),
            None => batch.withdraw(nlri, Audience::Only(me)),
        }
    }
    encode(batch)
}

fn encode(batch: Batch<'_>) -> Option<(Bytes, u32)> {
    let mut out = BytesMut::new();
    let messages = batch.encode_for_one(&mut out);
    (messages > 0).then(|| (out.freeze(), u32::try_from(messages).unwrap_or(u32::MAX)))
}

/// The routes in messages of our own.
pub(super) fn routes_in(messages: &Bytes, treatment: &Treatment) -> Vec<Nlri> {
    let context = DecodeContext {
        peer: PeerKind::Internal,
        four_octet_as: treatment.encode.four_octet_as,
        families: Families::ALL,
        add_path: treatment.encode.add_path,
        extended_next_hop: true,
        first_as: None,
    };
    let mut framer = Framer::default();
    framer.allow_extended_messages();
    framer.push(messages);
    let mut routes = Vec::new();
    while let Ok(Some(frame)) = framer.next_frame() {
        if let Ok(Message::Update(update)) = Message::decode(&frame, &context) {
            routes.extend(update.unreach.into_iter().flat_map(|part| part.nlri));
            routes.extend(update.reach.into_iter().flat_map(|part| part.nlri));
        }
    }
    routes
}
