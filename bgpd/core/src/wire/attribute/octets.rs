use std::hash::{Hash, Hasher};
use std::ops::Deref;

use triomphe::ThinArc;

/// Octets that never change, shared by all clones. Takes one word, and nothing on the heap where there are none: a set of attributes
/// has seven of them, most of them empty, and is copied for each group of peers that is told of it.
#[derive(Clone, Default)]
pub(super) struct Octets(Option<ThinArc<(), u8>>);

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |octets| &octets.slice)
    }
}

impl From<&[u8]> for Octets {
    fn from(octets: &[u8]) -> Self {
        Self((!octets.is_empty()).then(|| ThinArc::from_header_and_slice((), octets)))
    }
}

impl From<Vec<u8>> for Octets {
    fn from(octets: Vec<u8>) -> Self {
        Self::from(&*octets)
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Octets {}

impl Hash for Octets {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_its_octets_and_none_take_no_memory() {
        let octets = Octets::from(vec![1, 2, 3]);
        let copy = octets.clone();
        assert_eq!((&*copy, copy.as_ptr()), (&[1, 2, 3][..], octets.as_ptr()));
        assert!(copy == octets && Octets::from(&[1, 2, 3][..]) == octets && Octets::from(&[1][..]) != octets);
        assert!(Octets::from(Vec::new()).0.is_none());
        assert_eq!(size_of::<Octets>(), size_of::<usize>());
    }
}
