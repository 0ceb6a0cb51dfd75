//! The configuration file: read at the start, on SIGHUP, and whenever it changes.
//!
//! A file is replaced in many ways: written in place, renamed over by an editor, or swapped behind a chain of symbolic links as
//! Kubernetes does with ConfigMaps. So directories are watched, not the file: its own, and that of each link's target. After
//! any event in them the text is read again; the same text means nothing happened.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bgpd_api::config::{self, Config, ConfigError};
use inotify::{Inotify, WatchDescriptor, WatchMask};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// How long a file must be left alone before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// When it is read although it is never left alone.
const IMPATIENT: Duration = Duration::from_secs(2);
/// Links that are followed at most, as the kernel does.
const MAX_LINKS: usize = 40;

/// Why there is no configuration from the file.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
}

/// Reads and checks a file.
///
/// # Errors
/// If it cannot be read or is not valid.
pub(crate) fn read(path: &Path) -> Result<Config, FileError> {
    let (_, config) = read_text(path).and_then(|text| parse(path, text))?;
    Ok(config)
}

/// A document as it takes effect: peer groups merged into the neighbours, passwords hidden.
pub(crate) fn print(config: &Config) -> String {
    let mut config = config.clone();
    for index in 0..config.neighbors.len() {
        let options = config.neighbors.get(index).map(|neighbor| config.options_of(neighbor));
        if let (Some(neighbor), Some(options)) = (config.neighbors.get_mut(index), options) {
            neighbor.options = options;
            neighbor.peer_group = None;
        }
    }
    for index in 0..config.interface_neighbors.len() {
        let options =
            config.interface_neighbors.get(index).map(|neighbor| config.options_of_interface(neighbor));
        if let (Some(neighbor), Some(options)) = (config.interface_neighbors.get_mut(index), options) {
            neighbor.options = options;
            neighbor.peer_group = None;
        }
    }
    // What a range refers to stays, so that the document can be read again.
    let ranges = &config.listen_ranges;
    config.peer_groups.retain(|name, _| ranges.iter().any(|range| range.peer_group == *name));
    config::to_yaml(&config.without_secrets())
}

fn read_text(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: String) -> Result<(String, Config), FileError> {
    let config = config::load(&text, &path.display().to_string())?;
    Ok((text, config))
}

/// The file, watched.
pub(crate) struct ConfigFile {
    path: PathBuf,
    inotify: AsyncFd<Inotify>,
    watches: Vec<WatchDescriptor>,
    /// The text that was seen last, valid or not.
    seen: Option<String>,
}

impl ConfigFile {
    /// Begins to watch a file, which need not be there.
    ///
    /// # Errors
    /// If the kernel gives no inotify instance.
    pub(crate) fn watch(path: &Path) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; what it guards against holds: Inotify owns its descriptor"
        )]
        let inotify = AsyncFd::with_interest(Inotify::init()?, Interest::READABLE)?;
        let mut file = Self { path: path.to_owned(), inotify, watches: Vec::new(), seen: None };
        file.watch_directories();
        Ok(file)
    }

    /// Reads the file now, whether or not it changed.
    ///
    /// # Errors
    /// If it cannot be read or is not valid.
    pub(crate) fn read(&mut self) -> Result<Config, FileError> {
        let text = read_text(&self.path)?;
        self.seen = Some(text.clone());
        parse(&self.path, text).map(|(_, config)| config)
    }

    /// Waits until the text is another one, and reads it. Cancel-safe.
    ///
    /// # Errors
    /// If it cannot be read or is not valid; each state of the file is reported once.
    pub(crate) async fn changed(&mut self) -> Result<Config, FileError> {
        loop {
            self.event().await;
            let begin = tokio::time::Instant::now();
            while begin.elapsed() < IMPATIENT && timeout(QUIET, self.event()).await.is_ok() {}
            self.watch_directories();
            match read_text(&self.path) {
                Ok(text) if self.seen.as_ref() == Some(&text) => {}
                Ok(text) => {
                    self.seen = Some(text.clone());
                    return parse(&self.path, text).map(|(_, config)| config);
                }
                // Between the two steps of a replacement there is no file; one that stays away is told once.
                Err(error) if self.seen.is_some() => {
                    self.seen = None;
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Waits for something to happen in the directories.
    async fn event(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            let Ok(mut ready) = self.inotify.readable_mut().await else {
                // The runtime is ending.
                return std::future::pending().await;
            };
            match ready.try_io(|inotify| inotify.get_mut().read_events(&mut buffer).map(Iterator::count)) {
                Ok(Ok(_)) => return,
                Ok(Err(_)) => sleep(IMPATIENT).await,
                Err(_would_block) => {}
            }
        }
    }

    /// Watches the directory of the file and of each link on the way to it, as they are now.
    fn watch_directories(&mut self) {
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::CLOSE_WRITE
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let mut watches = self.inotify.get_ref().watches();
        let mut fresh = Vec::new();
        for directory in directories(&self.path) {
            // A directory that is not there yet shows in its parent, if that is on the way, or on SIGHUP.
            if let Ok(watch) = watches.add(&directory, mask)
                && !fresh.contains(&watch)
            {
                fresh.push(watch);
            }
        }
        for old in std::mem::take(&mut self.watches) {
            if !fresh.contains(&old) {
                // The directory may be gone, and the watch with it.
                let _ = watches.remove(old);
            }
        }
        self.watches = fresh;
    }
}

/// The directories in which a change can make the path lead to another text.
fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![path.to_owned()];
    let mut links = 0;
    while let Some(path) = queue.pop() {
        let directory = parent(&path);
        if !found.contains(&directory) {
            found.push(directory.clone());
        }
        // Any part of the path can be a link, as `..data` of a ConfigMap is.
        for part in path.ancestors().filter(|part| !part.as_os_str().is_empty()) {
            if let Ok(target) = std::fs::read_link(part)
                && links < MAX_LINKS
            {
                links += 1;
                let rest = path.strip_prefix(part).unwrap_or(Path::new(OsStr::new("")));
                let target = parent(part).join(target);
                queue.push(if rest.as_os_str().is_empty() { target } else { target.join(rest) });
                let directory = parent(part);
                if !found.contains(&directory) {
                    found.push(directory);
                }
            }
        }
    }
    found
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
