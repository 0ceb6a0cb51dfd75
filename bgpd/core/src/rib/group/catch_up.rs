//! What a member is sent from the table instead of from the log.

use bytes::{Bytes, BytesMut};
use cairn_net::{Families, Family, Prefix};
use foldhash::HashSet;

use super::batch::Batch;
use super::log::Audience;
use crate::policy::Hits;
use crate::rib::Treatment;
use crate::rib::slab::SlabId;
use crate::rib::source::SourceId;
use crate::rib::table::{NetId, Table};
use crate::wire::{DecodeContext, Framer, Message, PeerKind};

/// Places of the table that are looked at in one go: enough to pack well, little enough to stay in the cache and to keep no
/// peer waiting.
const DUMP_CHUNK: u32 = 1 << 14;
/// Missed prefixes that are sent in one go.
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
    let mut batch = Batch::new(treatment);
    for place in from..to {
        let id = NetId::from_place(place);
        let Some(net) = table.nets.get(id).filter(|net| net.prefix.family() == family) else { continue };
        if let Some(best) = table.best(id).filter(|best| best.source != me)
            && let Some(bucket) = batch.export(table, net.prefix, &best, Some(hits))
        {
            batch.announce(net.prefix, bucket);
        }
    }
    ((to < end).then_some(to), encode(batch))
}

/// Sends what became of some of the prefixes, and takes them out of the set.
pub(super) fn missed(
    (treatment, hits): (&Treatment, &Hits),
    table: &Table,
    me: SourceId,
    prefixes: &mut HashSet<Prefix>,
) -> Option<(Bytes, u32)> {
    let some: Vec<Prefix> = prefixes.iter().take(MISSED_CHUNK).copied().collect();
    let mut batch = Batch::new(treatment);
    for prefix in some {
        prefixes.remove(&prefix);
        let best = table.find(prefix).and_then(|net| table.best(net)).filter(|best| best.source != me);
        match best.and_then(|best| batch.export(table, prefix, &best, Some(hits))) {
            Some(bucket) => batch.announce(prefix, bucket),
            None => batch.withdraw(prefix, Audience::Only(me)),
        }
    }
    encode(batch)
}

fn encode(batch: Batch<'_>) -> Option<(Bytes, u32)> {
    let mut out = BytesMut::new();
    let messages = batch.encode_for_one(&mut out);
    (messages > 0).then(|| (out.freeze(), u32::try_from(messages).unwrap_or(u32::MAX)))
}

/// The prefixes in messages of our own.
pub(super) fn prefixes_in(messages: &Bytes, treatment: &Treatment) -> Vec<Prefix> {
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
    let mut prefixes = Vec::new();
    while let Ok(Some(frame)) = framer.next_frame() {
        if let Ok(Message::Update(update)) = Message::decode(&frame, &context) {
            prefixes.extend(update.unreach.iter().flat_map(|part| &part.nlri).map(|nlri| nlri.prefix));
            prefixes.extend(update.reach.iter().flat_map(|part| &part.nlri).map(|nlri| nlri.prefix));
        }
    }
    prefixes
}
