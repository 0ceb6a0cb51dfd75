use std::fmt;

/// A change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<K, V> {
    /// There shall be such an object, where none of ours is: what somebody else may have put there is left alone.
    Create(K, V),
    /// The object of ours with this key, or what took its place a moment ago, shall be so.
    Update(K, V),
    /// There shall be no object with this key.
    Delete(K),
}

impl<K, V> Operation<K, V> {
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

/// A kind of object that the kernel has.
pub trait Backend: Sized {
    /// Names an object.
    type Key: Ord + Clone + fmt::Debug + fmt::Display;
    /// What is wanted of it.
    type Value: PartialEq + Clone + fmt::Debug;
    /// Why an object could not be written.
    type Error: fmt::Debug + fmt::Display;

    /// All objects that carry our mark, as they are.
    fn list(&mut self) -> Result<Objects<Self>, Self::Error>;

    /// Carries the operations out in order, and gives one result for each: a refused one does not stop the others.
    /// Deleting what is not there succeeds.
    ///
    /// Errors: nothing is known about any of them, for instance because answers were lost.
    fn apply(
        &mut self,
        operations: &[Operation<Self::Key, Self::Value>],
    ) -> Result<Vec<Result<(), Self::Error>>, Self::Error>;
}
