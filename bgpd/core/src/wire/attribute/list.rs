use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::net::Ipv4Addr;

use super::octets::Octets;

/// An element of fixed size in a list attribute.
pub trait WireElement: Copy {
    /// Octets on the wire; more than zero.
    const LEN: usize;

    /// From exactly [`Self::LEN`] octets.
    fn from_wire(bytes: &[u8]) -> Self;

    /// Appends exactly [`Self::LEN`] octets.
    fn to_wire(self, out: &mut Vec<u8>);
}

impl WireElement for Ipv4Addr {
    const LEN: usize = 4;

    fn from_wire(bytes: &[u8]) -> Self {
        Self::from(word(bytes, 0))
    }

    fn to_wire(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.octets());
    }
}

/// The index-th group of four octets as a number; zero beyond the end.
pub(super) fn word(bytes: &[u8], index: usize) -> u32 {
    let word = bytes.get(4 * index..).and_then(|rest| rest.first_chunk::<4>());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// A list of elements of one size, kept as its wire form. Order and repetitions are kept.
pub struct WireList<T> {
    bytes: Octets,
    element: PhantomData<T>,
}

impl<T: WireElement> WireList<T> {
    /// From an attribute's value; `None` unless its length is a multiple of an element's.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.len().is_multiple_of(T::LEN).then(|| Self { bytes: bytes.into(), element: PhantomData })
    }

    /// The attribute's value.
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::LEN
    }

    /// No element: the attribute is absent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements, in order.
    pub fn iter(&self) -> ElementIter<'_, T> {
        ElementIter { chunks: self.bytes.chunks_exact(T::LEN), element: PhantomData }
    }

    /// The list with an element in front.
    #[must_use]
    pub fn prepended(&self, element: T) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len() + T::LEN);
        element.to_wire(&mut bytes);
        bytes.extend_from_slice(&self.bytes);
        Self { bytes: bytes.into(), element: PhantomData }
    }
}

impl<T: WireElement + PartialEq> WireList<T> {
    /// Is the element in the list?
    pub fn contains(&self, element: T) -> bool {
        self.iter().any(|other| other == element)
    }
}

impl<T> Clone for WireList<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), element: PhantomData }
    }
}

impl<T> Default for WireList<T> {
    fn default() -> Self {
        Self { bytes: Octets::default(), element: PhantomData }
    }
}

impl<T> PartialEq for WireList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for WireList<T> {}

impl<T> Hash for WireList<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T: WireElement> FromIterator<T> for WireList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut bytes = Vec::new();
        for element in elements {
            element.to_wire(&mut bytes);
        }
        Self { bytes: bytes.into(), element: PhantomData }
    }
}

impl<'a, T: WireElement> IntoIterator for &'a WireList<T> {
    type Item = T;
    type IntoIter = ElementIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: WireElement + fmt::Debug> fmt::Debug for WireList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: WireElement + fmt::Display> fmt::Display for WireList<T> {
    /// The elements with blanks between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, element) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            element.fmt(f)?;
        }
        Ok(())
    }
}

/// Iterator over the elements of a [`WireList`].
#[derive(Debug, Clone)]
pub struct ElementIter<'a, T> {
    chunks: std::slice::ChunksExact<'a, u8>,
    element: PhantomData<T>,
}

impl<T: WireElement> Iterator for ElementIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.chunks.next().map(T::from_wire)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.chunks.size_hint()
    }
}

impl<T: WireElement> ExactSizeIterator for ElementIter<'_, T> {}
