//! One inotify instance per store, shared by all its watches: the kernel allows a user only 128 of them.
//!
//! A watch has a mailbox of names; what does not fit in it, or was lost by the kernel, becomes "look at everything".

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::warn;

/// More changed names than this are cheaper to find by looking at everything.
const MAX_NAMES: usize = 1024;

/// What a watch must look at.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    dirty: Mutex<Dirty>,
    wake: Notify,
}

/// Names of files, or everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dirty {
    /// Look at everything.
    pub(super) all: bool,
    /// Directory and name.
    pub(super) names: BTreeSet<(PathBuf, String)>,
}

impl Mailbox {
    /// Waits until there is something to look at.
    pub(super) async fn changed(&self) -> Dirty {
        loop {
            let dirty = std::mem::take(&mut *lock(&self.dirty));
            if dirty != Dirty::default() {
                return dirty;
            }
            self.wake.notified().await;
        }
    }

    fn put(&self, change: impl FnOnce(&mut Dirty)) {
        let mut dirty = lock(&self.dirty);
        change(&mut dirty);
        if dirty.all || dirty.names.len() > MAX_NAMES {
            *dirty = Dirty { all: true, names: BTreeSet::new() };
        }
        drop(dirty);
        self.wake.notify_one();
    }
}

/// The inotify instance, made with the first watch.
#[derive(Default)]
pub(super) struct Hub {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watches: Option<Watches>,
    reader: Option<AbortHandle>,
    directories: HashMap<WatchDescriptor, (PathBuf, Vec<Weak<Mailbox>>)>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Starts to tell a mailbox of changes in a directory. Twice is as good as once.
    pub(super) fn follow(self: &Arc<Self>, directory: &Path, mailbox: &Arc<Mailbox>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.watches.is_none() {
            let inotify = Inotify::init()?;
            state.watches = Some(inotify.watches());
            #[expect(
                deprecated,
                reason = "its successor is unsafe; what it guards against holds: Inotify owns its descriptor"
            )]
            let readable = AsyncFd::with_interest(inotify, Interest::READABLE)?;
            state.reader = Some(tokio::spawn(read(readable, Arc::downgrade(self))).abort_handle());
        }
        let Some(watches) = &mut state.watches else { return Ok(()) };
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let descriptor = watches.add(directory, mask)?;
        let (path, mailboxes) =
            state.directories.entry(descriptor).or_insert_with(|| (directory.to_owned(), Vec::new()));
        directory.clone_into(path);
        mailboxes.retain(|known| known.strong_count() > 0);
        if !mailboxes.iter().any(|known| known.as_ptr() == Arc::as_ptr(mailbox)) {
            mailboxes.push(Arc::downgrade(mailbox));
        }
        Ok(())
    }

    /// Ends what was followed for a mailbox and for nobody else.
    pub(super) fn forget(&self, mailbox: &Arc<Mailbox>) {
        let state = &mut *lock(&self.state);
        let unused = state.directories.extract_if(|_, (_, mailboxes)| {
            mailboxes.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(mailbox));
            mailboxes.is_empty()
        });
        for (descriptor, _) in unused {
            if let Some(watches) = &mut state.watches {
                // It may have gone with its directory already.
                let _gone_already = watches.remove(descriptor);
            }
        }
    }

    /// How many directories are followed.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        lock(&self.state).directories.len()
    }

    fn overflow(&self) {
        for (_, mailboxes) in lock(&self.state).directories.values() {
            mailboxes
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|mailbox| mailbox.put(|dirty| dirty.all = true));
        }
    }

    fn tell(&self, descriptor: &WatchDescriptor, mask: EventMask, name: Option<&str>) {
        let mut state = lock(&self.state);
        let Some((directory, mailboxes)) = state.directories.get(descriptor) else { return };
        let of_a_directory =
            mask.intersects(EventMask::ISDIR | EventMask::DELETE_SELF | EventMask::MOVE_SELF);
        let ended = mask.contains(EventMask::IGNORED);
        let all = of_a_directory || ended;
        // A new file is still empty; its end of writing comes later. A link is complete from the start.
        let unfinished = |name: &str| mask.contains(EventMask::CREATE) && !is_link(&directory.join(name));
        for mailbox in mailboxes.iter().filter_map(Weak::upgrade) {
            match name {
                _ if all => mailbox.put(|dirty| dirty.all = true),
                Some(name) if !unfinished(name) => mailbox.put(|dirty| {
                    dirty.names.insert((directory.clone(), name.to_owned()));
                }),
                _ => {}
            }
        }
        if ended {
            state.directories.remove(descriptor);
        }
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
}

async fn read(mut inotify: AsyncFd<Inotify>, hub: Weak<Hub>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(mut ready) = inotify.readable_mut().await else { return };
        let Some(hub) = hub.upgrade() else { return };
        let events = ready.try_io(|inotify| inotify.get_mut().read_events(&mut buffer));
        match events {
            Err(_would_block) => {}
            Ok(Err(error)) => {
                warn!(%error, "inotify failed; the slow scan remains");
                return;
            }
            Ok(Ok(events)) => {
                for event in events {
                    if event.mask.contains(EventMask::Q_OVERFLOW) {
                        hub.overflow();
                    } else {
                        hub.tell(&event.wd, event.mask, event.name.and_then(|name| name.to_str()));
                    }
                }
            }
        }
    }
}
