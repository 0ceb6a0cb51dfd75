use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A vector whose places are named by small typed numbers and used again.
#[derive(Debug, Clone)]
pub(crate) struct Slab<I, T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
    id: PhantomData<I>,
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
        Self { places: Vec::new(), free: Vec::new(), id: PhantomData }
    }
}

impl<I: SlabId, T> Slab<I, T> {
    pub(crate) fn insert(&mut self, value: T) -> I {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(value);
            return I::from_place(place);
        }
        let place = u32::try_from(self.places.len()).expect("fewer than 2^32 routes fit in memory");
        self.places.push(Some(value));
        I::from_place(place)
    }

    pub(crate) fn remove(&mut self, id: I) -> T {
        let value = self.places[id.place()].take().expect("a number is given up once");
        self.free.push(u32::try_from(id.place()).expect("it came from insert"));
        value
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        self.places.get(id.place())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        self.places.get_mut(id.place())?.as_mut()
    }

    /// How many places there are, used or free.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// How many are used.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        (0u32..).zip(&self.places).filter_map(|(place, value)| Some((I::from_place(place), value.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        (0u32..)
            .zip(&mut self.places)
            .filter_map(|(place, value)| Some((I::from_place(place), value.as_mut()?)))
    }
}

impl<I: SlabId, T> Index<I> for Slab<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        self.places[id.place()].as_ref().expect("numbers in use name used places")
    }
}

impl<I: SlabId, T> IndexMut<I> for Slab<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        self.places[id.place()].as_mut().expect("numbers in use name used places")
    }
}
