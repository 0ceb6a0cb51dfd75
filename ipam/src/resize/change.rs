use std::fmt;

use cairn_api::kinds::{BlockSource, IpPool};
use cairn_api::{Faults, Metadata, Object, name};
use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

/// What somebody wants of a pool.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The name of the pool.
    pub pool: String,
    /// Its range afterwards. Default: as it is.
    pub cidr: Option<Prefix>,
    /// Prefix length of its blocks afterwards. Default: as it is.
    pub block_size: Option<u8>,
    /// The name of the pool that takes its place, where it cannot be the same.
    pub to: Option<String>,
}

/// What becomes of a pool: all that is wanted at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Change {
    /// Its range grows around the present one.
    Widen {
        /// The pool.
        pool: String,
        /// Its range now.
        from: Prefix,
        /// Its range afterwards.
        to: Prefix,
    },
    /// Its range shrinks inside the present one.
    Narrow {
        /// The pool.
        pool: String,
        /// Its range now.
        from: Prefix,
        /// Its range afterwards.
        to: Prefix,
        /// Is it enabled again at the end? Not if somebody had disabled it.
        enable: bool,
    },
    /// Another pool takes its place.
    Move {
        /// The pool, which is deleted once nothing of it is in use.
        pool: String,
        /// Its range.
        from: Prefix,
        /// The name of the pool that takes its place.
        to: String,
        /// What that pool is.
        spec: Box<IpPool>,
    },
}

impl Change {
    /// What a wish comes down to.
    ///
    /// Errors: field, value and rule, for people.
    pub fn of(wish: &Wish, pools: &[Object<IpPool>]) -> Result<Self, String> {
        let name = &wish.pool;
        let found = pools.iter().find(|pool| pool.name() == name);
        let spec = &found.ok_or_else(|| format!("there is no IPPool {name:?}"))?.spec;
        let (from, to) = (spec.cidr, wish.cidr.unwrap_or(spec.cidr));
        if from.family() != to.family() {
            return Err(format!("cidr: {to}: a range of {}, as {from} is", from.family()));
        }
        let resized = wish
            .block_size
            .filter(|size| spec.block_source == BlockSource::PodCidr || *size != spec.block_len());
        match resized {
            Some(size) if spec.block_source == BlockSource::PodCidr => {
                return Err(format!(
                    "blockSize: {size}: blocks of {name} are nodes' pod CIDRs, and as large as these"
                ));
            }
            Some(size) if from.overlaps(to) => {
                return Err(format!(
                    "blockSize: {size}: blocks of two sizes must not share addresses, and {to} is not apart from {from}: give another range"
                ));
            }
            _ => {}
        }
        if !from.overlaps(to) {
            return Self::to_successor(wish, spec, to);
        }
        if let Some(successor) = &wish.to {
            return Err(format!(
                "to: {successor:?}: only for a range apart, and {to} shares addresses with {from}"
            ));
        }
        let pool = name.clone();
        if from == to {
            Err(format!("cidr: {to}: it is that already: nothing to change"))
        } else if to.covers(from) {
            Ok(Self::Widen { pool, from, to })
        } else {
            Ok(Self::Narrow { pool, from, to, enable: !spec.disabled })
        }
    }

    fn to_successor(wish: &Wish, spec: &IpPool, cidr: Prefix) -> Result<Self, String> {
        let (pool, from) = (wish.pool.clone(), spec.cidr);
        if spec.block_source == BlockSource::PodCidr {
            return Err(format!(
                "cidr: {cidr}: blocks of {pool} are nodes' pod CIDRs, which stay in {from} until their Nodes are made anew"
            ));
        }
        let Some(to) = wish.to.clone() else {
            return Err(format!(
                "to: none: {cidr} is apart from {from}, so it is a pool of its own, which needs a name"
            ));
        };
        let mut faults = Faults::default();
        name::check(&to, "to", &mut faults);
        faults.require(to != pool, "to", &to, "another name than that of the pool");
        faults.into_result().map_err(|faults| faults.to_string())?;
        let block_size = wish.block_size.or(spec.block_size);
        let spec = IpPool { cidr, block_size, disabled: false, ..spec.clone() };
        let successor = Object::new(Metadata::named(&to), spec);
        successor.validate().map_err(|faults| faults.to_string())?;
        Ok(Self::Move { pool, from, to, spec: Box::new(successor.spec) })
    }

    /// The pool that is changed.
    pub fn pool(&self) -> &str {
        match self {
            Self::Widen { pool, .. } | Self::Narrow { pool, .. } | Self::Move { pool, .. } => pool,
        }
    }

    /// Its range at the beginning.
    pub const fn from(&self) -> Prefix {
        match self {
            Self::Widen { from, .. } | Self::Narrow { from, .. } | Self::Move { from, .. } => *from,
        }
    }

    /// The range at the end.
    pub fn to(&self) -> Prefix {
        match self {
            Self::Widen { to, .. } | Self::Narrow { to, .. } => *to,
            Self::Move { spec, .. } => spec.cidr,
        }
    }

    /// Has this to be left: does it have an address that the pool loses?
    pub fn leaves(&self, range: Prefix) -> bool {
        match self {
            Self::Widen { .. } => false,
            Self::Narrow { from, to, .. } => range.overlaps(*from) && !to.covers(range),
            Self::Move { from, .. } => range.overlaps(*from),
        }
    }

    /// Does this have an address that is the pool's only afterwards?
    pub fn gains(&self, range: Prefix) -> bool {
        match self {
            Self::Widen { from, to, .. } => range.overlaps(*to) && !from.covers(range),
            Self::Narrow { .. } => false,
            Self::Move { spec, .. } => range.overlaps(spec.cidr),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Widen { pool, from, to } => write!(f, "IPPool {pool} grows from {from} to {to}"),
            Self::Narrow { pool, from, to, .. } => write!(f, "IPPool {pool} shrinks from {from} to {to}"),
            Self::Move { pool, from, to, spec } => {
                write!(
                    f,
                    "IPPool {to} ({}, blocks of /{}) takes the place of {pool} ({from})",
                    spec.cidr,
                    spec.block_len()
                )
            }
        }
    }
}
