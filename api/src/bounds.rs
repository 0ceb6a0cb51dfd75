//! How many entries the lists of objects have at most. `validate` and the schemas of API servers both take these, so that they agree.

/// A list that people write. Calico takes 500 communities, and of rules of a filter as many as fit into an object.
pub(crate) const LIST: usize = 512;
/// Communities of one rule or one range, as in Calico.
pub(crate) const COMMUNITIES: usize = 50;
/// AS numbers that a path begins with.
pub(crate) const AS_PATH: usize = 64;
/// Operations of one rule.
pub(crate) const OPERATIONS: usize = 16;
/// AS numbers of one operation.
pub(crate) const PREPENDED: usize = 10;
/// Keys that say when a node is being emptied.
pub(crate) const KEYS: usize = 64;
/// Uses of a pool: each of them once.
pub(crate) const USES: usize = 3;
