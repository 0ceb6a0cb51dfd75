//! A kernel made of memory, with faults on request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::backend::{Backend, Operation};

/// A backend whose objects are pairs of texts.
#[derive(Debug, Default)]
pub struct Fake {
    /// What is in the kernel. Change it to interfere.
    pub objects: BTreeMap<String, String>,
    /// Keys whose operations are refused.
    pub refuse: BTreeSet<String>,
    /// The next batch is carried out, but its answers are lost.
    pub lose_answers: bool,
    /// The next list fails.
    pub fail_list: bool,
    /// Every operation that was asked for, in order, since [`Fake::take_log`].
    log: Vec<String>,
}

/// A refusal of [`Fake`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeError {
    /// The key is in [`Fake::refuse`].
    Refused,
    /// [`Fake::lose_answers`], [`Fake::fail_list`].
    Lost,
}

impl fmt::Display for FakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Lost => "lost",
        })
    }
}

impl Fake {
    /// The operations since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn carry_out(&mut self, operation: &Operation<'_, String, String>) -> Result<(), FakeError> {
        let refused = self.refuse.contains(operation.key());
        let mark = if refused { "!" } else { "" };
        self.log.push(match operation {
            Operation::Create(key, value) | Operation::Update(key, value) => {
                format!("update {key}={value}{mark}")
            }
            Operation::Delete(key) => format!("delete {key}{mark}"),
        });
        if refused {
            return Err(FakeError::Refused);
        }
        match operation {
            Operation::Create(key, value) | Operation::Update(key, value) => {
                self.objects.insert((*key).clone(), (*value).clone())
            }
            Operation::Delete(key) => self.objects.remove(*key),
        };
        Ok(())
    }
}

impl Backend for Fake {
    type Key = String;
    type Value = String;
    type Error = FakeError;

    fn list(&mut self) -> Result<Vec<(String, String)>, FakeError> {
        if std::mem::take(&mut self.fail_list) {
            return Err(FakeError::Lost);
        }
        Ok(self.objects.clone().into_iter().collect())
    }

    fn apply(
        &mut self,
        operations: &[Operation<'_, String, String>],
    ) -> Result<Vec<(usize, FakeError)>, FakeError> {
        let results: Vec<_> = operations.iter().map(|operation| self.carry_out(operation)).collect();
        if std::mem::take(&mut self.lose_answers) {
            return Err(FakeError::Lost);
        }
        Ok(results
            .into_iter()
            .enumerate()
            .filter_map(|(place, result)| Some((place, result.err()?)))
            .collect())
    }
}
