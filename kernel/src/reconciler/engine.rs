use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::backend::{Backend, Operation};
use super::entry::{Actual, Entry, Need};
use super::retry::BackOff;
use crate::object::Change;

/// Operations of one batch: beyond some hundred messages a larger one is not faster.
const BATCH: usize = 512;

/// Keeps the objects of one kind as they should be. See the module's documentation.
#[derive(Debug)]
pub struct Reconciler<B: Backend> {
    backend: B,
    back_off: BackOff,
    entries: BTreeMap<B::Key, Entry<B::Value>>,
    /// Keys that may need something, in the order in which that became so.
    queue: VecDeque<B::Key>,
    /// Keys that wait after a refusal.
    waiting: BTreeSet<(Instant, B::Key)>,
    may_prune: bool,
}

/// What one [`Reconciler::reconcile`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Report<K, E> {
    /// Objects written.
    pub updated: usize,
    /// Objects deleted.
    pub deleted: usize,
    /// Objects refused; each is tried again after its back-off.
    pub failures: Vec<Failure<K, E>>,
}

impl<K, E> Default for Report<K, E> {
    fn default() -> Self {
        Self { updated: 0, deleted: 0, failures: Vec::new() }
    }
}

/// An object that could not be written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<K, E> {
    /// Which.
    pub key: K,
    /// The kernel's answer.
    pub error: E,
    /// Refusals in a row, this one included.
    pub attempts: u32,
}

impl<B: Backend> Reconciler<B> {
    /// A reconciler that wants nothing, knows nothing and must not prune. Follow with [`Self::resync`].
    pub fn new(backend: B, back_off: BackOff) -> Self {
        let (entries, queue, waiting) = (BTreeMap::new(), VecDeque::new(), BTreeSet::new());
        Self { backend, back_off, entries, queue, waiting, may_prune: false }
    }

    /// The backend.
    pub const fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Wants an object. A value that is there already costs a comparison and no system call.
    pub fn set(&mut self, key: &B::Key, value: B::Value) {
        let changed = match self.entries.get_mut(key) {
            Some(entry) => entry.want(Some(value)),
            None => self.entries.entry(key.clone()).or_insert_with(Entry::new).want(Some(value)),
        };
        if changed {
            self.act_now(key);
        }
    }

    /// Wants an object no more. If it is in the kernel, the next [`Self::reconcile`] deletes it, whether pruning is allowed or
    /// not: it was wanted in this life, so that it is wanted no more is certain.
    pub fn unset(&mut self, key: &B::Key) {
        if self.entries.get_mut(key).is_some_and(|entry| entry.want(None)) {
            self.act_now(key);
        }
    }

    /// Tells what happened in the kernel, from its notifications. Whatever differs from what is wanted is repaired by the
    /// next [`Self::reconcile`].
    pub fn observe(&mut self, change: Change<(B::Key, B::Value)>) {
        match change {
            Change::Present((key, value)) => {
                self.entries.entry(key.clone()).or_insert_with(Entry::new).seen(value);
                self.look_at(&key);
            }
            Change::Gone((key, _)) => {
                let Some(entry) = self.entries.get_mut(&key) else { return };
                entry.actual = Actual::Absent;
                self.look_at(&key);
            }
        }
    }

    /// Tells that an object of ours may no longer be there: somebody put something else in its place.
    pub fn displaced(&mut self, key: &B::Key) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.actual != Actual::Absent) {
            entry.actual = Actual::Unknown;
            self.look_at(key);
        }
    }

    /// Tries refused objects at once where the test says so: what they lacked may be there now.
    pub fn retry(&mut self, hopeful: impl Fn(&B::Key) -> bool) {
        let keys: Vec<_> =
            self.waiting.iter().filter(|(_, key)| hopeful(key)).map(|(_, key)| key.clone()).collect();
        keys.iter().for_each(|key| self.act_now(key));
    }

    /// Writes again whatever matches, because the kernel may have lost it without a word (it does so with the
    /// IPv4 routes of an interface that goes away).
    pub fn distrust(&mut self, suspect: impl Fn(&B::Key, &B::Value) -> bool) {
        let matches = |entry: &Entry<B::Value>, key: &B::Key| {
            entry.desired.as_ref().is_some_and(|value| suspect(key, value))
        };
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, entry)| matches(entry, key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.actual = Actual::Unknown;
            }
            self.act_now(&key);
        }
    }

    /// Reads what is in the kernel: adopts what is as it should be, and notes the rest for the next [`Self::reconcile`].
    ///
    /// Errors: the list could not be read; nothing has changed.
    pub fn resync(&mut self) -> Result<(), B::Error> {
        let listed: BTreeMap<_, _> = self.backend.list()?.into_iter().collect();
        for (key, entry) in &mut self.entries {
            if !listed.contains_key(key) {
                entry.actual = Actual::Absent;
            }
        }
        for (key, value) in listed {
            self.entries.entry(key).or_insert_with(Entry::new).seen(value);
        }
        self.look_at_all();
        Ok(())
    }

    /// From now on, or not, what is in the kernel with our mark and not wanted is deleted. Allow it once everything that is
    /// wanted has been [`set`](Self::set).
    pub fn allow_prune(&mut self, allowed: bool) {
        if allowed && !self.may_prune {
            self.may_prune = true;
            self.look_at_all();
        }
        self.may_prune = allowed;
    }

    /// The next moment at which a refused object is to be tried again: call [`Self::reconcile`] then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// True if nothing is left to be done now; refused objects may be waiting.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// True if the object is in the kernel as wanted.
    pub fn is_settled(&self, key: &B::Key) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.need(self.may_prune) == Need::Nothing)
    }

    /// What is wanted.
    pub fn desired(&self) -> impl Iterator<Item = (&B::Key, &B::Value)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.desired.as_ref()?)))
    }

    /// Does what is to be done at this moment.
    ///
    /// Errors: the backend knows nothing about a whole batch. Its objects are tried again by the next call, which should
    /// follow a [`Self::resync`].
    pub fn reconcile(&mut self, now: Instant) -> Result<Report<B::Key, B::Error>, B::Error> {
        self.wake(now);
        let mut report = Report::default();
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                return Ok(report);
            }
            let results = match self.backend.apply(&batch) {
                Ok(results) => results,
                Err(error) => {
                    for operation in &batch {
                        self.unknown(operation.key());
                    }
                    return Err(error);
                }
            };
            for (operation, result) in batch.into_iter().zip(results) {
                self.settle(now, operation, result, &mut report);
            }
        }
    }

    /// Moves the waiting objects whose time has come into the queue.
    fn wake(&mut self, now: Instant) {
        while let Some((at, key)) = self.waiting.pop_first() {
            if at > now {
                self.waiting.insert((at, key));
                return;
            }
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.not_before = None;
            }
            self.look_at(&key);
        }
    }

    fn next_batch(&mut self) -> Vec<Operation<B::Key, B::Value>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.queued = false;
            match (entry.need(self.may_prune), &entry.desired) {
                (Need::Update, Some(value)) if entry.actual == Actual::Absent => {
                    batch.push(Operation::Create(key, value.clone()));
                }
                (Need::Update, Some(value)) => batch.push(Operation::Update(key, value.clone())),
                (Need::Delete, _) => batch.push(Operation::Delete(key)),
                (Need::Forget, _) => {
                    self.forget(&key);
                }
                (Need::Update | Need::Nothing, _) => {}
            }
        }
        batch
    }

    fn settle(
        &mut self,
        now: Instant,
        operation: Operation<B::Key, B::Value>,
        result: Result<(), B::Error>,
        report: &mut Report<B::Key, B::Error>,
    ) {
        let key = operation.key().clone();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match (result, operation) {
            (Ok(()), Operation::Create(..) | Operation::Update(..)) => {
                entry.actual = Actual::Same;
                entry.failures = 0;
                report.updated += 1;
            }
            (Ok(()), Operation::Delete(_)) => {
                self.forget(&key);
                report.deleted += 1;
            }
            (Err(error), _) => {
                entry.failures = entry.failures.saturating_add(1);
                let at = now + self.back_off.after(entry.failures);
                entry.not_before = Some(at);
                report.failures.push(Failure { key: key.clone(), error, attempts: entry.failures });
                self.waiting.insert((at, key));
            }
        }
    }

    /// Nobody knows what became of an operation: do it again.
    fn unknown(&mut self, key: &B::Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.actual = Actual::Unknown;
            self.look_at(key);
        }
    }

    fn forget(&mut self, key: &B::Key) {
        if let Some(at) = self.entries.remove(key).and_then(|entry| entry.not_before) {
            self.waiting.remove(&(at, key.clone()));
        }
    }

    /// What is wanted changed: a refusal of the past says nothing about it.
    fn act_now(&mut self, key: &B::Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.failures = 0;
            if let Some(at) = entry.not_before.take() {
                self.waiting.remove(&(at, key.clone()));
            }
        }
        self.look_at(key);
    }

    /// Queues an object, unless it is queued or waits.
    fn look_at(&mut self, key: &B::Key) {
        if let Some(entry) = self.entries.get_mut(key)
            && !entry.queued
            && entry.not_before.is_none()
            && entry.need(self.may_prune) != Need::Nothing
        {
            entry.queued = true;
            self.queue.push_back(key.clone());
        }
    }

    fn look_at_all(&mut self) {
        for (key, entry) in &mut self.entries {
            if !entry.queued && entry.not_before.is_none() && entry.need(self.may_prune) != Need::Nothing {
                entry.queued = true;
                self.queue.push_back(key.clone());
            }
        }
    }
}
