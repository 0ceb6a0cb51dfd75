//! What BGP must know, one place per session: the daemon gets the latest state, and never misses that a session failed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bfd_core::{Change, Key};
use tokio::sync::Notify;

/// The mailbox.
#[derive(Default)]
pub(crate) struct Mailbox {
    places: Mutex<BTreeMap<Key, News>>,
    notify: Notify,
}

/// What happened to a session since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// The last failure, if there was one.
    pub(crate) failure: Option<Change>,
    /// The last change of any kind.
    pub(crate) last: Change,
}

impl Mailbox {
    /// Puts in a change.
    pub(crate) fn put(&self, key: Key, change: Change) {
        let failure = change.is_failure().then_some(change);
        let mut places = self.places();
        let news = places.entry(key).or_insert(News { failure, last: change });
        news.failure = failure.or(news.failure);
        news.last = change;
        drop(places);
        self.notify.notify_one();
    }

    /// Takes everything out.
    pub(crate) fn take(&self) -> BTreeMap<Key, News> {
        std::mem::take(&mut *self.places())
    }

    /// There is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    /// Waits until there is something.
    pub(crate) async fn filled(&self) {
        self.notify.notified().await;
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, News>> {
        // Whoever panicked left a map that is whole.
        self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bfd_core::{Diagnostic, Hops, State};

    use super::*;

    #[test]
    fn a_failure_is_not_lost_behind_what_came_after_it() {
        let mailbox = Mailbox::default();
        let key = Key::new([192, 0, 2, 1].into(), Hops::Single);
        let change = |from, to| Change {
            from,
            to,
            diagnostic: Diagnostic::ControlDetectionTimeExpired,
            remote: State::Down,
            remote_independent: false,
        };
        mailbox.put(key, change(State::Up, State::Down));
        mailbox.put(key, change(State::Down, State::Init));
        mailbox.put(key, change(State::Init, State::Up));
        let news = mailbox.take()[&key];
        assert_eq!(news.failure, Some(change(State::Up, State::Down)));
        assert!(news.last.is_up());
        assert!(mailbox.take().is_empty());
    }
}
