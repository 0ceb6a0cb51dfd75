//! A batch of routes on their way into messages: packed by attribute set and audience.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::BytesMut;
use cairn_net::{Family, Prefix};
use foldhash::HashMap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::log::{Audience, Entry, Log};
use crate::policy::{Hits, Matched, PrefixClass};
use crate::rib::source::SourceId;
use crate::rib::table::{Best, Table};
use crate::rib::{RouteAttributes, Treatment};
use crate::wire::{Attributes, EncodeContext, EncodedAttributes, NextHop, Nlri, encode_unreach};

/// Octets after which a part of the log is cut, so that it fits a socket's buffer.
const ENTRY_LEN: usize = 16 << 10;
/// Room for the message of a single change, which steady churn mostly makes.
const SMALL_ENTRY: usize = 128;
/// Buckets up to which looking at each is quicker than an index.
const FEW: usize = 8;
/// Prefixes that are encoded before a part may be cut.
const ENTRY_PREFIXES: usize = 1 << 12;

/// Names a [`Bucket`] of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BucketId(u32);

/// Routes that leave with the same attributes from the same source.
#[derive(Debug)]
struct Bucket {
    attributes: Attributes,
    next_hop: NextHop,
    family: Family,
    source: SourceId,
    /// `false`: too long for a message, the routes are not exported (RFC 8654 section 4).
    fits: bool,
    nlri: SmallVec<[Nlri; 2]>,
}

impl Bucket {
    fn is(&self, attributes: &Attributes, next_hop: NextHop, family: Family, source: SourceId) -> bool {
        (self.next_hop, self.family, self.source) == (next_hop, family, source)
            && self.attributes == *attributes
    }

    /// In wire form; `None` if nothing is queued. Many buckets only say what a prefix had before, and are never written.
    fn encode(&self, context: &EncodeContext) -> Option<EncodedAttributes> {
        if self.nlri.is_empty() {
            return None;
        }
        EncodedAttributes::new(&self.attributes, self.family, self.next_hop, context).ok()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    treatment: &'a Treatment,
    buckets: Vec<Bucket>,
    /// The buckets by what they are, once there are more than [`FEW`].
    by_content: HashTable<u32>,
    hasher: RandomState,
    /// What was exported is remembered. Steady churn comes in batches of one route, which is not met again.
    remembers: bool,
    /// What became of an attribute set from a source, by the class of the prefix. Holds the set, so that its address stays its name.
    seen: HashMap<(usize, SourceId, Family, PrefixClass), Seen>,
    withdrawn: Vec<(Audience, Family, Vec<Nlri>)>,
}

#[derive(Debug)]
struct Seen {
    bucket: Option<BucketId>,
    matched: Matched,
    _set: Arc<RouteAttributes>,
}

impl<'a> Batch<'a> {
    /// For about as many routes as `expected`.
    pub(super) fn new(treatment: &'a Treatment, expected: usize) -> Self {
        Self {
            treatment,
            remembers: expected > 2,
            buckets: Vec::new(),
            by_content: HashTable::new(),
            hasher: RandomState::default(),
            seen: HashMap::default(),
            withdrawn: Vec::new(),
        }
    }

    /// The bucket of a route; `None` if it is not exported. Nothing is queued yet. The statements that matched are counted, if there is
    /// something to count them in.
    pub(super) fn export(
        &mut self,
        table: &Table,
        prefix: Prefix,
        best: &Best,
        hits: Option<&Hits>,
    ) -> Option<BucketId> {
        let family = prefix.family();
        let treatment = self.treatment;
        // The prefix decides this alone, so that it must not be remembered for the attributes.
        if treatment.outbound.withholds(prefix) {
            return None;
        }
        let class = self.remembers.then(|| treatment.class(prefix)).flatten();
        let key = class.map(|class| (Arc::as_ptr(&best.attributes) as usize, best.source, family, class));
        if let Some(seen) = key.and_then(|key| self.seen.get(&key)) {
            hits.inspect(|hits| hits.count(&seen.matched));
            return seen.bucket;
        }
        let source = &table.sources[best.source];
        let (filtered, matched) = treatment.filter(prefix, &best.attributes, source);
        hits.inspect(|hits| hits.count(&matched));
        let out =
            filtered.and_then(|filtered| treatment.transform(family, &best.attributes, &filtered, source));
        let bucket = out.and_then(|(attributes, hop)| self.bucket(attributes, hop, family, best.source));
        if let Some(key) = key {
            self.seen.insert(key, Seen { bucket, matched, _set: Arc::clone(&best.attributes) });
        }
        bucket
    }

    /// The bucket of the default route that is ours for this group; `None` without one.
    pub(super) fn export_default(&mut self, family: Family) -> Option<BucketId> {
        let (attributes, next_hop) = self.treatment.default_route(family)?;
        self.bucket(attributes, next_hop, family, SourceId::NONE)
    }

    fn bucket(
        &mut self,
        attributes: Attributes,
        next_hop: NextHop,
        family: Family,
        source: SourceId,
    ) -> Option<BucketId> {
        let id = match self.find(&attributes, next_hop, family, source) {
            Some(id) => id,
            None => {
                let fits = EncodedAttributes::fits(&attributes, family, next_hop, &self.treatment.encode);
                self.add(Bucket { attributes, next_hop, family, source, fits, nlri: SmallVec::new() })
            }
        };
        self.buckets[id as usize].fits.then_some(BucketId(id))
    }

    fn find(
        &self,
        attributes: &Attributes,
        next_hop: NextHop,
        family: Family,
        source: SourceId,
    ) -> Option<u32> {
        if self.buckets.len() <= FEW {
            let mut numbered = (0u32..).zip(&self.buckets);
            let found = numbered.find(|(_, bucket)| bucket.is(attributes, next_hop, family, source));
            return found.map(|(id, _)| id);
        }
        let hash = self.hasher.hash_one((attributes, next_hop, family, source));
        let same = |id: &u32| self.buckets[*id as usize].is(attributes, next_hop, family, source);
        self.by_content.find(hash, same).copied()
    }

    fn add(&mut self, bucket: Bucket) -> u32 {
        let Self { buckets, by_content, hasher, .. } = self;
        let id = u32::try_from(buckets.len()).expect("a batch is smaller than the table");
        buckets.push(bucket);
        let hash = |id: &u32| {
            let bucket = &buckets[*id as usize];
            hasher.hash_one((&bucket.attributes, bucket.next_hop, bucket.family, bucket.source))
        };
        // The first one too many brings the others along.
        let due = match buckets.len() {
            ..=FEW => id + 1..id + 1,
            len if len == FEW + 1 => 0..id + 1,
            _ => id..id + 1,
        };
        for id in due {
            by_content.insert_unique(hash(&id), id, hash);
        }
        id
    }

    /// Queues an announcement.
    pub(super) fn announce(&mut self, nlri: Nlri, bucket: BucketId) {
        self.buckets[bucket.0 as usize].nlri.push(nlri);
    }

    /// Queues a withdrawal.
    pub(super) fn withdraw(&mut self, withdrawn: Nlri, audience: Audience) {
        let family = withdrawn.prefix.family();
        // Withdrawals of one audience come in a row where a session ends.
        let same = |(to, of, _): &&mut (Audience, Family, Vec<Nlri>)| *to == audience && *of == family;
        match self.withdrawn.iter_mut().rev().find(same) {
            Some((_, _, nlri)) => nlri.push(withdrawn),
            None => self.withdrawn.push((audience, family, vec![withdrawn])),
        }
    }

    /// Queues what a change means, given what was and what is exported, and from which source.
    pub(super) fn queue(
        &mut self,
        nlri: Nlri,
        old: Option<(BucketId, SourceId)>,
        new: Option<(BucketId, SourceId)>,
    ) {
        match (old, new) {
            (Some((_, from)), None) => self.withdraw(nlri, Audience::AllBut(from)),
            // The bucket says it all: attributes and source.
            (Some((old, _)), Some((new, _))) if old == new => {}
            (Some((_, from)), Some((new, to))) => {
                self.announce(nlri, new);
                if from != to {
                    self.withdraw(nlri, Audience::Only(to));
                }
            }
            (None, Some((new, _))) => self.announce(nlri, new),
            (None, None) => {}
        }
    }

    /// Writes everything to the log. True if there was anything.
    pub(super) fn encode(self, log: &mut Log) -> bool {
        let mut writer = Writer::new(log);
        let context = self.treatment.encode;
        for (audience, family, nlri) in self.withdrawn {
            for part in nlri.chunks(ENTRY_PREFIXES) {
                writer.put(audience, |out| encode_unreach(family, part.iter().copied(), &context, out));
            }
        }
        for bucket in self.buckets {
            if let Some(encoded) = bucket.encode(&context) {
                for part in bucket.nlri.chunks(ENTRY_PREFIXES) {
                    writer
                        .put(Audience::AllBut(bucket.source), |out| encoded.reach(part.iter().copied(), out));
                }
            }
        }
        writer.finish()
    }

    /// Writes everything into one buffer, whoever it is for; returns how many messages.
    pub(super) fn encode_for_one(self, out: &mut BytesMut) -> usize {
        let context = self.treatment.encode;
        let mut messages = 0;
        for (_, family, nlri) in self.withdrawn {
            messages += encode_unreach(family, nlri, &context, out);
        }
        for bucket in self.buckets {
            if let Some(encoded) = bucket.encode(&context) {
                messages += encoded.reach(bucket.nlri, out);
            }
        }
        messages
    }
}

/// Collects messages of one audience into parts of the log.
struct Writer<'a> {
    log: &'a mut Log,
    buffer: BytesMut,
    audience: Option<Audience>,
    messages: u32,
    wrote: bool,
}

impl<'a> Writer<'a> {
    fn new(log: &'a mut Log) -> Self {
        Self { log, buffer: BytesMut::new(), audience: None, messages: 0, wrote: false }
    }

    fn put(&mut self, audience: Audience, encode: impl FnOnce(&mut BytesMut) -> usize) {
        if self.audience != Some(audience) || self.buffer.len() >= ENTRY_LEN {
            self.cut();
            self.audience = Some(audience);
            self.buffer.reserve(SMALL_ENTRY);
        }
        self.messages += u32::try_from(encode(&mut self.buffer)).unwrap_or(u32::MAX);
    }

    fn cut(&mut self) {
        if let Some(audience) = self.audience
            && !self.buffer.is_empty()
        {
            let bytes = self.buffer.split().freeze();
            self.log.push(Entry { bytes, audience, messages: self.messages });
            self.messages = 0;
            self.wrote = true;
        }
    }

    fn finish(mut self) -> bool {
        self.cut();
        self.wrote
    }
}
