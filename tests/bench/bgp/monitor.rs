//! What the peers hear: every prefix is looked up, counted once for each peer, and its AS path compared with the one that was sent.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::table::{Key, each_prefix, fingerprint};

/// Prefix to number. Open addressing: nothing here may cost more than it must, it shares the machine with the speaker.
struct Index {
    slots: Vec<(Key, u32)>,
}

const EMPTY: Key = Key(u64::MAX);

impl Index {
    fn new(prefixes: &[Key]) -> Self {
        let mut index = Self { slots: vec![(EMPTY, 0); (2 * prefixes.len()).next_power_of_two()] };
        for (number, prefix) in (0..).zip(prefixes) {
            let at = index.place(*prefix);
            index.slots[at] = (*prefix, number);
        }
        index
    }

    /// The prefix's slot, or the empty one where it would be.
    fn place(&self, key: Key) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24) as usize & mask;
        while self.slots[at].0 != key && self.slots[at].0 != EMPTY {
            at = (at + 1) & mask;
        }
        at
    }

    fn get(&self, key: Key) -> Option<usize> {
        let (found, number) = self.slots[self.place(key)];
        (found == key).then_some(number as usize)
    }
}

/// One peer's view.
struct View {
    has: Vec<u64>,
    count: usize,
    target: Option<usize>,
    /// Since when the count is the target.
    reached: Option<Instant>,
}

impl View {
    /// Notes that the peer has a prefix, or has it no more.
    fn set(&mut self, number: usize, has: bool) {
        let (word, bit) = (&mut self.has[number / 64], 1 << (number % 64));
        if (*word & bit != 0) != has {
            *word ^= bit;
            self.count = if has { self.count + 1 } else { self.count - 1 };
        }
    }

    fn look(&mut self, now: Instant) {
        match (self.target == Some(self.count), self.reached) {
            (true, None) => self.reached = Some(now),
            (false, Some(_)) => self.reached = None,
            _ => {}
        }
    }
}

/// All views. See the module.
pub(crate) struct Monitor {
    index: Index,
    /// The peer that announces each prefix.
    owners: Vec<u16>,
    paths: Vec<u32>,
    /// What the speaker puts in front of the path.
    own_as: Option<u32>,
    views: Vec<View>,
    pub(crate) announcements: u64,
    pub(crate) updates: u64,
    unknown: u64,
    wrong_paths: u64,
    /// When each prefix was sent, for latencies; empty: not measured, and paths are checked.
    pub(crate) sent: Vec<Option<Instant>>,
    pub(crate) latencies: Vec<f64>,
}

impl Monitor {
    /// For these prefixes with their announcers and paths. An external speaker puts `own_as` in front.
    pub(crate) fn new(
        peers: usize,
        prefixes: &[Key],
        owners: Vec<u16>,
        paths: Vec<u32>,
        own_as: Option<u32>,
    ) -> Self {
        let words = prefixes.len().div_ceil(64);
        let view = || View { has: vec![0; words], count: 0, target: None, reached: None };
        Self {
            index: Index::new(prefixes),
            owners,
            paths,
            own_as,
            views: (0..peers).map(|_| view()).collect(),
            announcements: 0,
            updates: 0,
            unknown: 0,
            wrong_paths: 0,
            sent: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// How many prefixes a peer is to have; `None`: it does not matter.
    pub(crate) fn expect(&mut self, peer: usize, target: Option<usize>) {
        let view = &mut self.views[peer];
        (view.target, view.reached) = (target, None);
        view.look(Instant::now());
    }

    /// The peer has lost its session and knows nothing.
    pub(crate) fn forget(&mut self, peer: usize) {
        let view = &mut self.views[peer];
        view.has.fill(0);
        view.count = 0;
    }

    /// Has everybody what it is to have?
    pub(crate) fn satisfied(&self) -> bool {
        self.views.iter().all(|view| view.target.is_none() || view.reached.is_some())
    }

    /// When the last peer had what it is to have.
    pub(crate) fn reached(&self) -> Option<Instant> {
        self.views.iter().filter_map(|view| view.reached).max()
    }

    /// When this peer had.
    pub(crate) fn reached_by(&self, peer: usize) -> Option<Instant> {
        self.views[peer].reached
    }

    /// What is missing, in words.
    pub(crate) fn shortfall(&self) -> String {
        let wanted = || self.views.iter().filter(|view| view.target.is_some());
        let least = wanted().map(|view| view.count).min().unwrap_or(0);
        let most = wanted().map(|view| view.count).max().unwrap_or(0);
        let done = wanted().filter(|view| view.reached.is_some()).count();
        format!("{done} of {} peers are complete, they have {least} to {most} prefixes", wanted().count())
    }

    /// Fails if anything was heard that was not sent.
    pub(crate) fn expect_no_mistake(&self) -> Result<()> {
        ensure!(self.unknown == 0, "{} prefixes were never sent", self.unknown);
        ensure!(self.wrong_paths == 0, "{} prefixes had another AS path", self.wrong_paths);
        Ok(())
    }

    /// An UPDATE has come.
    pub(crate) fn update(&mut self, peer: usize, body: &[u8], now: Instant) {
        self.updates += 1;
        let Some(fields) = Fields::split(body) else {
            self.unknown += 1;
            return;
        };
        let Self { index, owners, paths, views, unknown, .. } = self;
        let view = &mut views[peer];
        each_prefix(fields.withdrawn, |key| match index.get(key) {
            Some(number) => view.set(number, false),
            None => *unknown += 1,
        });
        if !fields.nlri.is_empty() {
            let measured = !self.sent.is_empty();
            let path = fields.path(self.own_as);
            each_prefix(fields.nlri, |key| {
                let Some(number) = index.get(key) else {
                    *unknown += 1;
                    return;
                };
                // Some speakers send a route back to whom it came from, who ignores it.
                if usize::from(owners[number]) == peer {
                    return;
                }
                self.announcements += 1;
                if measured {
                    let sent = self.sent[number].take();
                    self.latencies.extend(sent.map(|sent| (now - sent).as_secs_f64()));
                } else {
                    self.wrong_paths += u64::from(path != Some(paths[number]));
                }
                view.set(number, true);
            });
        }
        view.look(now);
    }
}

/// The parts of an UPDATE's body, whichever way the speaker writes it.
#[derive(Default)]
struct Fields<'a> {
    withdrawn: &'a [u8],
    nlri: &'a [u8],
    as_path: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `None` if the lengths do not add up.
    fn split(body: &'a [u8]) -> Option<Self> {
        let (withdrawn, rest) = counted(body)?;
        let (mut attributes, nlri) = counted(rest)?;
        let mut fields = Self { withdrawn, nlri, as_path: &[] };
        while let Some((&[flags, code], rest)) = attributes.split_first_chunk::<2>() {
            let (value, rest) = if flags & 0x10 != 0 {
                counted(rest)?
            } else {
                let (len, rest) = rest.split_first()?;
                rest.split_at_checked(usize::from(*len))?
            };
            match code {
                2 => fields.as_path = value,
                // AFI 1, SAFI 1, the next hop with its length, a reserved octet.
                14 if value.starts_with(&[0, 1, 1]) => {
                    fields.nlri = value.get(5 + usize::from(*value.get(3)?)..)?;
                }
                15 if value.starts_with(&[0, 1, 1]) => fields.withdrawn = value.get(3..)?,
                _ => {}
            }
            attributes = rest;
        }
        Some(fields)
    }

    /// The path's fingerprint without the speaker's own AS, which must be in front.
    fn path(&self, own_as: Option<u32>) -> Option<u32> {
        let mut rest = self.as_path;
        let mut words = Vec::with_capacity(16);
        while let Some((&[_, count], after)) = rest.split_first_chunk::<2>() {
            let (segment, after) = after.split_at_checked(4 * usize::from(count))?;
            words.extend(segment.as_chunks::<4>().0.iter().map(|asn| u32::from_be_bytes(*asn)));
            rest = after;
        }
        let path = match own_as {
            Some(own) => words.strip_prefix(&[own])?,
            None => &words,
        };
        Some(fingerprint(path.iter().copied()))
    }
}

/// A field with its length in two octets before it, and what follows.
fn counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}
