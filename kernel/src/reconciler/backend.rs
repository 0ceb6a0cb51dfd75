use std::fmt;
use std::hash::Hash;

/// A change of one object, as the reconciler holds it.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a, K, V> {
    /// There shall be such an object, where none of ours is: what somebody else may have put there is left alone.
    Create(&'a K, &'a V),
    /// The object of ours with this key, or what took its place a moment ago, shall be so.
    Update(&'a K, &'a V),
    /// There shall be no object with this key.
    Delete(&'a K),
}

impl<K, V> Operation<'_, K, V> {
    /// What it is about.
    pub const fn key(&self) -> &K {
        match self {
            Self::Create(key, _) | Self::Update(key, _) | Self::Delete(key) => key,
        }
    }

    /// The verb, as an error says it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create(..) => "create",
            Self::Update(..) => "replace",
            Self::Delete(_) => "delete",
        }
    }
}

/// Objects with their keys.
pub type Objects<B> = Vec<(<B as Backend>::Key, <B as Backend>::Value)>;

/// Operations of a batch that were refused, by their place in it, ascending, and why.
pub type Refused<B> = Vec<(usize, <B as Backend>::Error)>;

/// A kind of object that the kernel has.
pub trait Backend: Sized {
    /// Names an object.
    type Key: Ord + Hash + Clone + fmt::Debug + fmt::Display;
    /// What is wanted of it.
    type Value: PartialEq + Clone + fmt::Debug;
    /// Why an object could not be written.
    type Error: fmt::Debug + fmt::Display;

    /// All objects that carry our mark, as they are.
    fn list(&mut self) -> Result<Objects<Self>, Self::Error>;

    /// Carries the operations out in order and tells which were refused: a refused one does not stop the others.
    /// Deleting what is not there succeeds.
    ///
    /// Errors: nothing is known about any of them, for instance because answers were lost.
    fn apply(
        &mut self,
        operations: &[Operation<'_, Self::Key, Self::Value>],
    ) -> Result<Refused<Self>, Self::Error>;
}
