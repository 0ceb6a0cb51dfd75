//! AS_PATH (RFC 4271 section 5.1.2; confederation segments of RFC 5065; four octets by RFC 6793).
//!
//! Shape: segments of `[kind: u8][count: u8][count x u32]`.
//! Invariants: every segment is whole, of a known kind and not empty; no AS is zero.

use std::fmt;

use cairn_net::Asn;
use smallvec::SmallVec;
use thiserror::Error;

use super::octets::Octets;
use crate::wire::parse::Reader;

/// Most AS numbers in one segment.
const MAX_SEGMENT: usize = 255;

/// What a segment of an AS path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// 1: unordered, left by aggregation.
    Set,
    /// 2: ordered, the latest AS first.
    Sequence,
    /// 3: ordered member AS of the local confederation.
    ConfedSequence,
    /// 4: unordered member AS of the local confederation.
    ConfedSet,
}

impl SegmentKind {
    const fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Set,
            2 => Self::Sequence,
            3 => Self::ConfedSequence,
            4 => Self::ConfedSet,
            _ => return None,
        })
    }

    const fn to_wire(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Sequence => 2,
            Self::ConfedSequence => 3,
            Self::ConfedSet => 4,
        }
    }

    /// Inside a confederation only?
    pub const fn is_confederation(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }
}

/// One segment of an AS path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// What it is.
    pub kind: SegmentKind,
    /// Four octets for each AS.
    wire: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Number of AS, 1 to 255.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub const fn len(self) -> usize {
        self.wire.len() / 4
    }

    /// The AS numbers in the order of the wire.
    pub fn asns(self) -> impl DoubleEndedIterator<Item = Asn> + Clone + use<'a> {
        self.wire.as_chunks::<4>().0.iter().map(|asn| Asn(u32::from_be_bytes(*asn)))
    }
}

/// Why octets are no AS path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AsPathError {
    /// A segment's head or its numbers are cut short, or one octet is left.
    #[error("a segment runs beyond the end of the attribute")]
    Overrun,
    /// The kind of a segment is none of 1 to 4.
    #[error("segment type {0} is not defined")]
    UnknownSegment(u8),
    /// A segment has no AS.
    #[error("a segment is empty")]
    EmptySegment,
    /// AS 0 (RFC 7607).
    #[error("AS 0 in the path")]
    ZeroAs,
}

/// An AS path in wire form with four-octet numbers.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct AsPath(Octets);

impl AsPath {
    /// A path of one sequence (of several, beyond 255), the latest AS first.
    pub fn sequence(asns: impl IntoIterator<Item = Asn>) -> Self {
        let asns: Vec<Asn> = asns.into_iter().collect();
        let mut bytes = Vec::with_capacity(2 + 4 * asns.len());
        for chunk in asns.chunks(MAX_SEGMENT) {
            push_head(&mut bytes, SegmentKind::Sequence, chunk.len());
            chunk.iter().for_each(|asn| bytes.extend_from_slice(&asn.0.to_be_bytes()));
        }
        Self(bytes.into())
    }

    /// From an attribute's value with four-octet numbers.
    ///
    /// # Errors
    /// See [`AsPathError`].
    pub fn from_wire(bytes: &[u8]) -> Result<Self, AsPathError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (_, numbers) = read_segment(&mut reader, 4)?;
            if numbers.as_chunks::<4>().0.contains(&[0; 4]) {
                return Err(AsPathError::ZeroAs);
            }
        }
        Ok(Self(bytes.into()))
    }

    /// From an attribute's value with two-octet numbers.
    ///
    /// # Errors
    /// See [`AsPathError`].
    pub fn from_two_octet_wire(bytes: &[u8]) -> Result<Self, AsPathError> {
        let mut reader = Reader::new(bytes);
        let mut wide = Vec::with_capacity(2 * bytes.len());
        while !reader.is_empty() {
            let (kind, numbers) = read_segment(&mut reader, 2)?;
            push_head(&mut wide, kind, numbers.len() / 2);
            for number in numbers.as_chunks::<2>().0 {
                if *number == [0; 2] {
                    return Err(AsPathError::ZeroAs);
                }
                wide.extend_from_slice(&[0, 0]);
                wide.extend_from_slice(number);
            }
        }
        Ok(Self(wide.into()))
    }

    /// The attribute's value with four-octet numbers.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// No segment: the route comes from the local AS.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The segments, the latest first.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || {
            let (kind, wire) = read_segment(&mut reader, 4).ok()?;
            Some(Segment { kind, wire })
        })
    }

    /// Every AS in the path, sets and confederation segments included.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + Clone + '_ {
        self.segments().flat_map(Segment::asns)
    }

    /// The length that best-path selection compares: a set counts one, confederation segments nothing
    /// (RFC 4271 section 9.1.2.2 a, RFC 5065 section 5.3).
    pub fn hop_count(&self) -> usize {
        let hops = |segment: Segment<'_>| match segment.kind {
            SegmentKind::Sequence => segment.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        };
        self.segments().map(hops).sum()
    }

    /// The AS that the route was learned from: first of the path if that begins with a sequence. Confederation segments
    /// in front are passed over (RFC 5065 section 5.3), so that MED is compared between real neighbours.
    pub fn neighbor_as(&self) -> Option<Asn> {
        let first = self.segments().find(|segment| !segment.kind.is_confederation())?;
        if first.kind == SegmentKind::Sequence { first.asns().next() } else { None }
    }

    /// The very first AS of the path if it begins with a sequence of either kind: what an external peer must have
    /// put there.
    pub fn first_as(&self) -> Option<Asn> {
        let first = self.segments().next()?;
        matches!(first.kind, SegmentKind::Sequence | SegmentKind::ConfedSequence)
            .then(|| first.asns().next())
            .flatten()
    }

    /// The AS that originated the route: the last of the path if that ends with a sequence.
    pub fn origin_as(&self) -> Option<Asn> {
        let last = self.segments().last()?;
        if last.kind == SegmentKind::Sequence { last.asns().next_back() } else { None }
    }

    /// Is the AS anywhere in the path?
    pub fn contains(&self, asn: Asn) -> bool {
        self.asns().any(|other| other == asn)
    }

    /// Does the path begin with these AS in this order? A set in the path matches nothing.
    pub fn starts_with(&self, front: &[Asn]) -> bool {
        let mut ordered = self
            .segments()
            .take_while(|segment| matches!(segment.kind, SegmentKind::Sequence | SegmentKind::ConfedSequence))
            .flat_map(Segment::asns);
        front.iter().all(|asn| ordered.next() == Some(*asn))
    }

    /// How often the AS is in the path.
    pub fn occurrences(&self, asn: Asn) -> usize {
        self.asns().filter(|other| *other == asn).count()
    }

    /// The path with an AS in front `count` times: how a speaker leaves its AS (RFC 4271 section 5.1.2).
    #[must_use]
    pub fn prepended(&self, asn: Asn, count: usize) -> Self {
        self.prepended_in(SegmentKind::Sequence, asn, count)
    }

    /// The path with a member AS in front: how a speaker leaves its member AS inside a confederation (RFC 5065
    /// section 4).
    #[must_use]
    pub fn prepended_confederation(&self, asn: Asn) -> Self {
        self.prepended_in(SegmentKind::ConfedSequence, asn, 1)
    }

    /// The path without confederation segments: how it leaves the confederation (RFC 5065 section 4).
    #[must_use]
    pub fn without_confederation(&self) -> Self {
        if !self.segments().any(|segment| segment.kind.is_confederation()) {
            return self.clone();
        }
        let mut bytes = Vec::with_capacity(self.0.len());
        for segment in self.segments().filter(|segment| !segment.kind.is_confederation()) {
            push_head(&mut bytes, segment.kind, segment.len());
            bytes.extend_from_slice(segment.wire);
        }
        Self(bytes.into())
    }

    /// The path with every AS replaced by what the function says of it; AS 0 is never put in.
    #[must_use]
    pub fn mapped(&self, replaced: impl Fn(Asn) -> Asn) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for segment in self.segments() {
            push_head(&mut bytes, segment.kind, segment.len());
            for asn in segment.asns() {
                let new = replaced(asn);
                let new = if new == Asn::ZERO { asn } else { new };
                bytes.extend_from_slice(&new.0.to_be_bytes());
            }
        }
        Self(bytes.into())
    }

    /// The path of an aggregate (RFC 4271 section 9.2.2.2): what all paths begin with in the same order, then a set of all other AS.
    /// Confederation segments are passed over.
    #[must_use]
    pub fn aggregated<'a>(paths: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let ordered = |path: &'a Self| {
            let outside = path.segments().filter(|segment| !segment.kind.is_confederation());
            let sequences = outside.take_while(|segment| segment.kind == SegmentKind::Sequence);
            sequences.flat_map(Segment::asns)
        };
        let Some(first) = paths.clone().next() else { return Self::default() };
        let common = paths.clone().fold(usize::MAX, |common, path| {
            let same = ordered(first).zip(ordered(path)).take_while(|(a, b)| a == b).count();
            common.min(same)
        });
        let front = Self::sequence(ordered(first).take(common));
        let rest: std::collections::BTreeSet<Asn> = paths
            .flat_map(|path| {
                let outside = path.segments().filter(|segment| !segment.kind.is_confederation());
                outside.flat_map(Segment::asns).skip(common)
            })
            .filter(|asn| !front.contains(*asn))
            .collect();
        let mut bytes = front.0.to_vec();
        let rest: Vec<Asn> = rest.into_iter().collect();
        for chunk in rest.chunks(MAX_SEGMENT) {
            push_head(&mut bytes, SegmentKind::Set, chunk.len());
            chunk.iter().for_each(|asn| bytes.extend_from_slice(&asn.0.to_be_bytes()));
        }
        Self(bytes.into())
    }

    /// The path with each AS replaced by what `becomes` says; `None`: it goes, and a segment without any goes, too.
    #[must_use]
    pub fn rewritten(&self, becomes: impl Fn(Asn) -> Option<Asn>) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for segment in self.segments() {
            let head = bytes.len();
            push_head(&mut bytes, segment.kind, segment.len());
            let asns = segment.asns().filter_map(&becomes);
            let count = asns.map(|asn| bytes.extend_from_slice(&asn.0.to_be_bytes())).count();
            match u8::try_from(count) {
                Ok(0) | Err(_) => bytes.truncate(head),
                Ok(count) => bytes[head + 1] = count,
            }
        }
        Self(bytes.into())
    }

    fn prepended_in(&self, kind: SegmentKind, asn: Asn, count: usize) -> Self {
        if count == 0 {
            return self.clone();
        }
        let first = self.segments().next().filter(|segment| segment.kind == kind);
        let (joined, rest) = match first {
            Some(first) => (first.wire, &self.0[2 + first.wire.len()..]),
            None => (&[][..], &*self.0),
        };
        // Done for each attribute set that leaves the AS, most of which are short: put together on the stack.
        let mut bytes: SmallVec<[u8; 128]> = SmallVec::new();
        // The old first segment is topped up to 255, as RFC 4271 section 5.1.2 has it; the rest goes before it.
        let room = MAX_SEGMENT - joined.len() / 4;
        let mut ahead = count.saturating_sub(room);
        let topped_up = count - ahead;
        let mut heads = Vec::new();
        while ahead > 0 {
            let len = ahead.min(MAX_SEGMENT);
            heads.push(len);
            ahead -= len;
        }
        for len in heads.into_iter().rev() {
            push_head(&mut bytes, kind, len);
            (0..len).for_each(|_| bytes.extend_from_slice(&asn.0.to_be_bytes()));
        }
        push_head(&mut bytes, kind, topped_up + joined.len() / 4);
        (0..topped_up).for_each(|_| bytes.extend_from_slice(&asn.0.to_be_bytes()));
        bytes.extend_from_slice(joined);
        bytes.extend_from_slice(rest);
        Self(Octets::from(&*bytes))
    }

    /// Does an AS take more than two octets, so that a two-octet peer needs AS4_PATH?
    pub(in crate::wire) fn needs_four_octets(&self) -> bool {
        self.asns().any(|asn| asn.0 > u16::MAX.into())
    }

    /// Appends the value with two-octet numbers, AS_TRANS for what does not fit.
    pub(in crate::wire) fn put_two_octet(&self, out: &mut Vec<u8>) {
        for segment in self.segments() {
            push_head(out, segment.kind, segment.len());
            segment.asns().for_each(|asn| out.extend_from_slice(&asn.two_octet().to_be_bytes()));
        }
    }

    /// The path that a two-octet AS_PATH and its AS4_PATH stand for (RFC 6793 section 4.2.3).
    ///
    /// If AS4_PATH is the longer one it is not believed; else what AS_PATH has more is put in front of it.
    #[must_use]
    pub(in crate::wire) fn merged_with(&self, as4_path: &Self) -> Self {
        let Some(mut surplus) = self.hop_count().checked_sub(as4_path.hop_count()) else {
            return self.clone();
        };
        let mut bytes = Vec::with_capacity(self.0.len() + as4_path.0.len());
        for segment in self.segments() {
            let taken = match segment.kind {
                SegmentKind::ConfedSequence | SegmentKind::ConfedSet => segment.len(),
                SegmentKind::Sequence => segment.len().min(surplus),
                SegmentKind::Set => segment.len() * surplus.min(1),
            };
            if !segment.kind.is_confederation() {
                if taken == 0 {
                    break;
                }
                surplus -= if segment.kind == SegmentKind::Set { 1 } else { taken };
            }
            push_head(&mut bytes, segment.kind, taken);
            bytes.extend_from_slice(&segment.wire[..4 * taken]);
        }
        Self(bytes.into()).joined(as4_path)
    }

    /// This path in front of another, adjoining sequences made one where they fit.
    fn joined(self, tail: &Self) -> Self {
        let last = self.segments().last().map(|segment| (segment.kind, segment.len()));
        let first = tail.segments().next().map(|segment| (segment.kind, segment.len()));
        let mut bytes = self.0.to_vec();
        match (last, first) {
            (Some((SegmentKind::Sequence, front)), Some((SegmentKind::Sequence, back)))
                if front + back <= MAX_SEGMENT =>
            {
                let head = bytes.len() - 4 * front - 2;
                bytes.truncate(head + 2 + 4 * front);
                let count = u8::try_from(front + back).expect("at most 255");
                bytes[head + 1] = count;
                bytes.extend_from_slice(&tail.0[2..]);
            }
            _ => bytes.extend_from_slice(&tail.0),
        }
        Self(bytes.into())
    }
}

/// Reads a segment's head and its numbers of `width` octets each.
fn read_segment<'a>(reader: &mut Reader<'a>, width: usize) -> Result<(SegmentKind, &'a [u8]), AsPathError> {
    let overrun = |_| AsPathError::Overrun;
    let kind = reader.u8().map_err(overrun)?;
    let kind = SegmentKind::from_wire(kind).ok_or(AsPathError::UnknownSegment(kind))?;
    let count = usize::from(reader.u8().map_err(overrun)?);
    if count == 0 {
        return Err(AsPathError::EmptySegment);
    }
    let numbers = reader.take(count * width).map_err(overrun)?;
    Ok((kind, numbers))
}

/// Appends a segment's head; `count` is 1 to 255.
fn push_head(out: &mut impl Extend<u8>, kind: SegmentKind, count: usize) {
    out.extend([kind.to_wire(), u8::try_from(count).expect("a segment has at most 255 AS")]);
}

impl fmt::Display for AsPath {
    /// `65001 65002 {65003 65004}`; confederation segments in parentheses, confederation sets in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let (open, close) = match segment.kind {
                SegmentKind::Sequence => ("", ""),
                SegmentKind::Set => ("{", "}"),
                SegmentKind::ConfedSequence => ("(", ")"),
                SegmentKind::ConfedSet => ("[", "]"),
            };
            f.write_str(open)?;
            for (index, asn) in segment.asns().enumerate() {
                if index > 0 {
                    f.write_str(" ")?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsPath({self})")
    }
}

#[cfg(test)]
mod tests;
