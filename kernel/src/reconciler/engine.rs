use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::backend::{Backend, Operation};
use super::entries::{Entries, Id, Slot};
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
    entries: Entries<B::Key, B::Value>,
    /// Objects that may need something, in the order in which that became so.
    queue: VecDeque<Id>,
    /// Objects that wait after a refusal, or because somebody else keeps changing them.
    waiting: BTreeSet<(Instant, Id)>,
    /// What is being carried out; kept for its memory.
    batch: Vec<(Id, Task)>,
    may_prune: bool,
}

/// What is to be done about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Create,
    Update,
    Delete,
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
    /// Objects that somebody else changes again whenever they are repaired; each is repaired after a wait.
    pub quarrels: Vec<Quarrel<K>>,
}

impl<K, E> Default for Report<K, E> {
    fn default() -> Self {
        Self { updated: 0, deleted: 0, failures: Vec::new(), quarrels: Vec::new() }
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

/// An object that is not repaired at once, because it has been repaired too often lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarrel<K> {
    /// Which.
    pub key: K,
    /// Repairs in a row, the one that waits included.
    pub repairs: u32,
    /// How long it waits.
    pub wait: Duration,
}

impl<B: Backend> Reconciler<B> {
    /// A reconciler that wants nothing, knows nothing and must not prune. Follow with [`Self::resync`].
    pub fn new(backend: B, back_off: BackOff) -> Self {
        Self {
            backend,
            back_off,
            entries: Entries::new(),
            queue: VecDeque::new(),
            waiting: BTreeSet::new(),
            batch: Vec::new(),
            may_prune: false,
        }
    }

    /// The backend.
    pub const fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Wants an object. A value that is there already costs a comparison and no system call.
    pub fn set(&mut self, key: B::Key, value: B::Value) {
        let id = self.entries.id_or_insert(key, Entry::new);
        if self.entries.entry(id).is_some_and(|entry| entry.want(Some(value))) {
            self.act_now(id);
        }
    }

    /// Wants an object no more. If it is in the kernel, the next [`Self::reconcile`] deletes it, whether pruning is allowed or
    /// not: it was wanted in this life, so that it is wanted no more is certain.
    pub fn unset(&mut self, key: &B::Key) {
        if let Some(id) = self.entries.id(key)
            && self.entries.entry(id).is_some_and(|entry| entry.want(None))
        {
            self.act_now(id);
        }
    }

    /// Tells what happened in the kernel, from its notifications. Whatever differs from what is wanted is repaired by the
    /// next [`Self::reconcile`], or after a wait where somebody keeps changing it: see [`Report::quarrels`].
    pub fn observe(&mut self, change: Change<(B::Key, B::Value)>) {
        match change {
            Change::Present((key, value)) => {
                let id = self.entries.id_or_insert(key, Entry::new);
                self.meddled(id, |entry| entry.found(value));
            }
            Change::Gone((key, _)) => {
                if let Some(id) = self.entries.id(&key) {
                    self.meddled(id, |entry| entry.actual = Actual::Absent);
                }
            }
        }
    }

    /// Tells that an object of ours may no longer be there: somebody put something else in its place.
    pub fn displaced(&mut self, key: &B::Key) {
        let Some(id) = self.entries.id(key) else { return };
        if self.entries.slot(id).is_some_and(|slot| slot.entry.actual != Actual::Absent) {
            self.meddled(id, |entry| entry.actual = Actual::Unknown);
        }
    }

    /// Tries waiting objects at once where the test says so: what they lacked may be there now.
    pub fn retry(&mut self, hopeful: impl Fn(&B::Key) -> bool) {
        let ids: Vec<Id> = self.waiting.iter().map(|(_, id)| *id).collect();
        for id in ids {
            if self.entries.slot(id).is_some_and(|slot| hopeful(&slot.key)) {
                self.act_now(id);
            }
        }
    }

    /// Writes again whatever matches, because the kernel may have lost it without a word (it does so with the
    /// IPv4 routes of an interface that goes away).
    pub fn distrust(&mut self, suspect: impl Fn(&B::Key, &B::Value) -> bool) {
        let matches = |slot: &Slot<B::Key, B::Value>| {
            slot.entry.desired.as_ref().is_some_and(|value| suspect(&slot.key, value))
        };
        for id in self.entries.select(matches) {
            if let Some(entry) = self.entries.entry(id) {
                entry.actual = Actual::Unknown;
            }
            self.act_now(id);
        }
    }

    /// Reads what is in the kernel: adopts what is as it should be, and notes the rest for the next [`Self::reconcile`].
    ///
    /// Errors: the list could not be read; nothing has changed.
    pub fn resync(&mut self) -> Result<(), B::Error> {
        let listed = self.backend.list()?;
        let mut there = HashSet::with_capacity(listed.len());
        for (key, value) in listed {
            there.insert(key.clone());
            let id = self.entries.id_or_insert(key, Entry::new);
            if let Some(entry) = self.entries.entry(id) {
                entry.found(value);
            }
        }
        for slot in self.entries.iter_mut().filter(|slot| !there.contains(&slot.key)) {
            slot.entry.actual = Actual::Absent;
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

    /// The next moment at which a waiting object is to be tried again: call [`Self::reconcile`] then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// True if nothing is left to be done now; refused objects may be waiting.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// True if the object is in the kernel as wanted.
    pub fn is_settled(&self, key: &B::Key) -> bool {
        let slot = self.entries.id(key).and_then(|id| self.entries.slot(id));
        slot.is_some_and(|slot| slot.entry.need(self.may_prune) == Need::Nothing)
    }

    /// What is wanted, in no order.
    pub fn desired(&self) -> impl Iterator<Item = (&B::Key, &B::Value)> {
        self.entries.iter().filter_map(|(_, slot)| Some((&slot.key, slot.entry.desired.as_ref()?)))
    }

    /// Does what is to be done at this moment.
    ///
    /// Errors: the backend knows nothing about a whole batch. Its objects are tried again by the next call, which should
    /// follow a [`Self::resync`].
    pub fn reconcile(&mut self, now: Instant) -> Result<Report<B::Key, B::Error>, B::Error> {
        self.wake(now);
        let mut report = Report::default();
        loop {
            self.next_batch(now, &mut report);
            if self.batch.is_empty() {
                return Ok(report);
            }
            let entries = &self.entries;
            let operation = |(id, task): &(Id, Task)| {
                let Slot { key, entry } = entries.slot(*id)?;
                Some(match (task, &entry.desired) {
                    (Task::Create, Some(value)) => Operation::Create(key, value),
                    (Task::Update, Some(value)) => Operation::Update(key, value),
                    _ => Operation::Delete(key),
                })
            };
            let operations: Vec<_> = self.batch.iter().filter_map(operation).collect();
            let applied = self.backend.apply(&operations);
            let batch = std::mem::take(&mut self.batch);
            match applied {
                Ok(refused) => self.settle(now, &batch, refused, &mut report),
                Err(error) => {
                    for (id, _) in batch {
                        self.unknown(id);
                    }
                    return Err(error);
                }
            }
            self.batch = batch;
        }
    }

    /// Moves the waiting objects whose time has come into the queue.
    fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, id));
            if let Some(entry) = self.entries.entry(id) {
                entry.end_wait();
            }
            self.look_at(id);
        }
    }

    fn next_batch(&mut self, now: Instant, report: &mut Report<B::Key, B::Error>) {
        self.batch.clear();
        while self.batch.len() < BATCH {
            let Some(id) = self.queue.pop_front() else { break };
            let Some(entry) = self.entries.entry(id) else { continue };
            entry.queued = false;
            let task = match entry.need(self.may_prune) {
                Need::Nothing => continue,
                Need::Forget => {
                    self.forget(id);
                    continue;
                }
                Need::Delete => Task::Delete,
                Need::Create => Task::Create,
                Need::Update => Task::Update,
            };
            if task != Task::Delete
                && let Some((repairs, wait)) = entry.contest(now, self.back_off)
            {
                entry.wait(now + wait);
                self.waiting.insert((now + wait, id));
                let key = self.entries.slot(id).map(|slot| slot.key.clone());
                report.quarrels.extend(key.map(|key| Quarrel { key, repairs, wait }));
                continue;
            }
            self.batch.push((id, task));
        }
    }

    fn settle(
        &mut self,
        now: Instant,
        batch: &[(Id, Task)],
        refused: Vec<(usize, B::Error)>,
        report: &mut Report<B::Key, B::Error>,
    ) {
        let mut refused = refused.into_iter().peekable();
        for (place, (id, task)) in batch.iter().enumerate() {
            if let Some((_, error)) = refused.next_if(|(at, _)| *at == place) {
                self.refused(now, *id, error, report);
            } else if *task == Task::Delete {
                self.forget(*id);
                report.deleted += 1;
            } else if let Some(entry) = self.entries.entry(*id) {
                entry.actual = Actual::Same;
                entry.forgive();
                report.updated += 1;
            }
        }
    }

    fn refused(&mut self, now: Instant, id: Id, error: B::Error, report: &mut Report<B::Key, B::Error>) {
        let Some(entry) = self.entries.entry(id) else { return };
        let attempts = entry.refused();
        let at = now + self.back_off.after(attempts);
        entry.wait(at);
        self.waiting.insert((at, id));
        let key = self.entries.slot(id).map(|slot| slot.key.clone());
        report.failures.extend(key.map(|key| Failure { key, error, attempts }));
    }

    /// Somebody else changed an object.
    fn meddled(&mut self, id: Id, actual: impl FnOnce(&mut Entry<B::Value>)) {
        if let Some(entry) = self.entries.entry(id) {
            entry.meddled(actual);
        }
        self.look_at(id);
    }

    /// Nobody knows what became of an operation: do it again.
    fn unknown(&mut self, id: Id) {
        if let Some(entry) = self.entries.entry(id) {
            entry.actual = Actual::Unknown;
        }
        self.look_at(id);
    }

    fn forget(&mut self, id: Id) {
        if let Some(at) = self.entries.remove(id).and_then(|mut slot| slot.entry.end_wait()) {
            self.waiting.remove(&(at, id));
        }
    }

    /// What is wanted changed: a refusal of the past says nothing about it.
    fn act_now(&mut self, id: Id) {
        if let Some(entry) = self.entries.entry(id) {
            entry.forgive();
            if let Some(at) = entry.end_wait() {
                self.waiting.remove(&(at, id));
            }
        }
        self.look_at(id);
    }

    /// Queues an object, unless it is queued or waits.
    fn look_at(&mut self, id: Id) {
        if let Some(entry) = self.entries.entry(id)
            && !entry.queued
            && !entry.waits()
            && entry.need(self.may_prune) != Need::Nothing
        {
            entry.queued = true;
            self.queue.push_back(id);
        }
    }

    fn look_at_all(&mut self) {
        let may_prune = self.may_prune;
        for id in self.entries.select(|slot| slot.entry.need(may_prune) != Need::Nothing) {
            self.look_at(id);
        }
    }
}
