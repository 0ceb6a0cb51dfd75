use std::fmt;
use std::time::Duration;

use cairn_api::Timestamp;
use cairn_api::kinds::IpPool;
use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use super::holder::{holders, left};
use super::objection::{follow, objections};
use super::{Change, Holder, Left, Seen};

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// A pool is made.
    Create {
        /// Its name.
        pool: String,
        /// What it is.
        spec: Box<IpPool>,
    },
    /// Nothing new is taken from a pool from now on.
    Disable {
        /// The pool.
        pool: String,
    },
    /// Pods and nodes are waited for, until nothing of a range is theirs.
    Empty {
        /// The pool.
        pool: String,
        /// The range.
        cidr: Prefix,
        /// The part of it that need not be empty.
        except: Option<Prefix>,
    },
    /// A pool gets another range.
    Resize {
        /// The pool.
        pool: String,
        /// Its range afterwards.
        cidr: Prefix,
        /// Is it enabled with that?
        enable: bool,
    },
    /// A pool of which nothing is in use is deleted.
    Delete {
        /// The pool.
        pool: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { pool, spec } => {
                write!(
                    f,
                    "create IPPool {pool}: cidr {}, blocks of /{}, all else as before",
                    spec.cidr,
                    spec.block_len()
                )
            }
            Self::Disable { pool } => {
                write!(f, "disable IPPool {pool}: no pod gets a new address of it; those in use stay")
            }
            Self::Empty { pool, cidr, except: None } => {
                write!(
                    f,
                    "wait until no pod has an address of {pool} ({cidr}), and nodes have given its blocks back"
                )
            }
            Self::Empty { pool, cidr, except: Some(rest) } => {
                write!(
                    f,
                    "wait until nodes have given back the blocks of {pool} that are in {cidr} and not in {rest}"
                )
            }
            Self::Resize { pool, cidr, enable } => {
                write!(
                    f,
                    "set cidr of IPPool {pool} to {cidr}{}",
                    if *enable { ", and enable it" } else { "" }
                )
            }
            Self::Delete { pool } => write!(f, "delete IPPool {pool}"),
        }
    }
}

/// Something about an object that a plan has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What about it: value and rule.
    pub what: String,
}

/// What is to be done, and all that is to be known before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What is wanted.
    pub change: Change,
    /// What is left to do, in order; empty where all is done.
    pub steps: Vec<Step>,
    /// What speaks against it: with one of these nothing is done.
    pub objections: Vec<Finding>,
    /// What does not follow by itself.
    pub notes: Vec<Finding>,
    /// Who has addresses that the pool loses.
    pub holders: Vec<Holder>,
    /// What is left of the range that the pool loses.
    pub left: Left,
}

/// What a change takes, from where it has got to.
pub fn plan(change: &Change, seen: &Seen, now: Timestamp) -> Plan {
    let holders = holders(change, seen);
    let cooldown = Duration::from_secs(seen.ipam.ip_cooldown_seconds.into());
    let left = left(change, &seen.blocks, &seen.affinities, &holders, cooldown, now);
    let (steps, objections) = match steps(change, seen) {
        Ok(steps) => {
            let objections = objections(change, seen, &steps, &holders);
            (steps, objections)
        }
        Err(objection) => (Vec::new(), vec![objection]),
    };
    let notes = if steps.is_empty() { Vec::new() } else { follow(change, seen) };
    Plan { change: change.clone(), steps, objections, notes, holders, left }
}

impl Plan {
    /// The first step that this plan has and one that was shown before has not.
    pub fn beyond<'a>(&'a self, shown: &Self) -> Option<&'a Step> {
        self.steps.iter().find(|step| !shown.steps.contains(step))
    }
}

/// What is left to do, or why it cannot be told.
fn steps(change: &Change, seen: &Seen) -> Result<Vec<Step>, Finding> {
    let name = change.pool();
    let wrong = |what: String| Finding { object: format!("IPPool {name}"), what };
    let pool = name.to_owned();
    let found = seen.pool(name);
    if found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()) {
        return Err(wrong("is being deleted".to_owned()));
    }
    let found = found.map(|found| &found.spec);
    let moved_on = |cidr: Prefix| {
        wrong(format!("has cidr {cidr} now, and not {}: somebody else has changed it", change.from()))
    };
    match change {
        Change::Widen { from, to, .. } | Change::Narrow { from, to, .. } => {
            let spec = found.ok_or_else(|| wrong("does not exist".to_owned()))?;
            if spec.cidr == *to {
                return Ok(Vec::new());
            }
            if spec.cidr != *from {
                return Err(moved_on(spec.cidr));
            }
            let Change::Narrow { enable, .. } = change else {
                return Ok(vec![Step::Resize { pool, cidr: *to, enable: false }]);
            };
            let disable = (!spec.disabled).then(|| Step::Disable { pool: pool.clone() });
            let rest = [
                Step::Empty { pool: pool.clone(), cidr: *from, except: Some(*to) },
                Step::Resize { pool, cidr: *to, enable: *enable },
            ];
            Ok(disable.into_iter().chain(rest).collect())
        }
        Change::Move { from, to, spec, .. } => {
            let mut steps = Vec::new();
            if let Some(there) = seen.pool(to).filter(|_| found.is_some()) {
                let going = there.metadata.deletion_timestamp.is_some().then_some("is being deleted");
                if let Some(unfit) = going.or(there.spec.disabled.then_some("is disabled")) {
                    let what =
                        format!("{unfit}: pods that leave {} would get no address of it", change.pool());
                    return Err(Finding { object: format!("IPPool {to}"), what });
                }
            }
            match seen.pool(to).map(|there| &there.spec) {
                None if found.is_none() => return Err(wrong("does not exist".to_owned())),
                None => steps.push(Step::Create { pool: to.clone(), spec: spec.clone() }),
                Some(there) => {
                    let of = |spec: &IpPool| (spec.cidr, spec.block_len(), spec.block_source);
                    if of(there) != of(spec) {
                        let what = format!(
                            "exists, with cidr {} and blocks of /{}: take another name",
                            there.cidr,
                            there.block_len()
                        );
                        return Err(Finding { object: format!("IPPool {to}"), what });
                    }
                }
            }
            let Some(old) = found else { return Ok(steps) };
            if old.cidr != *from {
                return Err(moved_on(old.cidr));
            }
            steps.extend((!old.disabled).then(|| Step::Disable { pool: pool.clone() }));
            steps.push(Step::Empty { pool: pool.clone(), cidr: *from, except: None });
            steps.push(Step::Delete { pool });
            Ok(steps)
        }
    }
}
