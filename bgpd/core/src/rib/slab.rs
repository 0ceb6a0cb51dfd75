use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A vector whose places are named by small typed numbers and used again, the one left last first.
///
/// Places that are free are a list within the vector, so that giving up all of a large table takes no memory.
#[derive(Debug, Clone)]
pub(crate) struct Slab<I, T> {
    places: Vec<Place<T>>,
    /// The first free place; [`NOWHERE`]: there is none.
    free: u32,
    /// How many places are used.
    len: usize,
    id: PhantomData<I>,
}

/// A place. As small as its value, as long as that has a niche somewhere.
#[derive(Debug, Clone)]
enum Place<T> {
    Used(T),
    /// Free, and so is this one; [`NOWHERE`]: no other is.
    Free(u32),
}

/// The end of the list of free places.
const NOWHERE: u32 = u32::MAX;

impl<T> Place<T> {
    const fn value(&self) -> Option<&T> {
        match self {
            Self::Used(value) => Some(value),
            Self::Free(_) => None,
        }
    }

    const fn value_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Used(value) => Some(value),
            Self::Free(_) => None,
        }
    }
}

/// A number that names a place in a [`Slab`].
pub(crate) trait SlabId: Copy {
    /// From the place.
    fn from_place(place: u32) -> Self;
    /// The place.
    fn place(self) -> usize;
}

/// Defines a place's number.
macro_rules! slab_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub(crate) u32);

        impl $crate::rib::slab::SlabId for $name {
            fn from_place(place: u32) -> Self {
                Self(place)
            }
            fn place(self) -> usize {
                self.0 as usize
            }
        }

        #[allow(dead_code)] // not every kind of number needs the absent one
        impl $name {
            /// No place at all; half the size of an `Option`.
            pub(crate) const NONE: Self = Self(u32::MAX);

            /// The number, unless it is the absent one.
            pub(crate) fn some(self) -> Option<Self> {
                (self != Self::NONE).then_some(self)
            }
        }
    };
}
pub(crate) use slab_id;

impl<I, T> Default for Slab<I, T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: NOWHERE, len: 0, id: PhantomData }
    }
}

impl<I: SlabId, T> Slab<I, T> {
    pub(crate) fn insert(&mut self, value: T) -> I {
        self.len += 1;
        if let Some(place) = self.places.get_mut(self.free as usize)
            && let Place::Free(next) = *place
        {
            *place = Place::Used(value);
            return I::from_place(std::mem::replace(&mut self.free, next));
        }
        let place = u32::try_from(self.places.len()).expect("fewer than 2^32 routes fit in memory");
        self.places.push(Place::Used(value));
        I::from_place(place)
    }

    /// Is this a place below `most` that nothing is in?
    pub(crate) fn is_vacant(&self, id: I, most: usize) -> bool {
        id.place() < most && self.get(id).is_none()
    }

    /// Puts a value into a vacant place. Until [`Slab::find_free`], `insert` uses places after all others only.
    pub(crate) fn put(&mut self, id: I, value: T) {
        self.free = NOWHERE;
        let place = id.place();
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || Place::Free(NOWHERE));
        }
        self.places[place] = Place::Used(value);
        self.len += 1;
    }

    /// Lists the places that may be used again, after the last [`Slab::put`].
    pub(crate) fn find_free(&mut self) {
        self.free = NOWHERE;
        let end = u32::try_from(self.places.len()).expect("fewer than 2^32 routes fit in memory");
        for (number, place) in (0..end).zip(&mut self.places).rev() {
            if let Place::Free(next) = place {
                *next = std::mem::replace(&mut self.free, number);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: I) -> T {
        let place = &mut self.places[id.place()];
        let Place::Used(value) = std::mem::replace(place, Place::Free(self.free)) else {
            unreachable!("a number is given up once")
        };
        self.free = u32::try_from(id.place()).expect("it came from insert");
        self.len -= 1;
        value
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        self.places.get(id.place())?.value()
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        self.places.get_mut(id.place())?.value_mut()
    }

    /// How many places there are, used or free.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// How many are used.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        (0u32..).zip(&self.places).filter_map(|(place, value)| Some((I::from_place(place), value.value()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        (0u32..)
            .zip(&mut self.places)
            .filter_map(|(place, value)| Some((I::from_place(place), value.value_mut()?)))
    }
}

impl<I: SlabId, T> Index<I> for Slab<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        self.places[id.place()].value().expect("numbers in use name used places")
    }
}

impl<I: SlabId, T> IndexMut<I> for Slab<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        self.places[id.place()].value_mut().expect("numbers in use name used places")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    slab_id! {
        /// A number.
        Id
    }

    #[test]
    fn places_left_are_used_again_before_new_ones() {
        let mut slab: Slab<Id, char> = Slab::default();
        let all: Vec<Id> = "abcd".chars().map(|value| slab.insert(value)).collect();
        assert_eq!((slab.remove(all[1]), slab.remove(all[3])), ('b', 'd'));
        assert_eq!((slab.len(), slab.places(), slab.get(all[1])), (2, 4, None));
        let again: Vec<Id> = "xyz".chars().map(|value| slab.insert(value)).collect();
        assert_eq!(again, [Id(3), Id(1), Id(4)]);
        assert_eq!(
            (slab.iter().map(|(_, value)| *value).collect::<String>(), slab.len()),
            ("aycxz".to_owned(), 5)
        );
    }

    #[test]
    fn values_put_into_places_leave_the_others_free() {
        let mut slab = Slab::default();
        slab.put(Id(4), 'e');
        slab.put(Id(1), 'b');
        assert!(!slab.is_vacant(Id(1), 9) && slab.is_vacant(Id(2), 9) && slab.is_vacant(Id(8), 9));
        assert!(!slab.is_vacant(Id(9), 9) && !slab.is_vacant(Id::NONE, 9));
        slab.find_free();
        assert_eq!((slab.len(), slab.places()), (2, 5));
        let places: Vec<Id> = "acdf".chars().map(|value| slab.insert(value)).collect();
        assert_eq!(places, [Id(0), Id(2), Id(3), Id(5)]);
        assert_eq!(slab.iter().map(|(_, value)| *value).collect::<String>(), "abcdef");
    }
}
