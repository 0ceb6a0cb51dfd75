//! DELs that wait for felix-lite: one file each in a directory.
//!
//! Protocol: the plugin finds nobody on the socket, puts its DEL here, and tries the socket once more; felix-lite binds the socket,
//! carries out what is here, and then accepts. So either the second try reaches felix-lite or felix-lite sees the file:
//! no DEL is lost, and none is carried out after a later ADD of the same attachment.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{Attachment, Del};

/// A directory of waiting DELs.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// A DEL that cannot be kept or read.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct SpoolError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong.
    pub source: io::Error,
}

impl Spool {
    /// The spool in a directory, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Keeps a DEL, safely on disk when this returns. One that waits already for the same attachment is replaced.
    pub fn put(&self, del: &Del) -> Result<(), SpoolError> {
        let path = self.file(&del.attachment);
        let write = || {
            fs::create_dir_all(&self.dir)?;
            let temporary = path.with_extension(format!("tmp{}", std::process::id()));
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&serde_json::to_vec(del)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| SpoolError { path: path.clone(), source })
    }

    /// Forgets the DEL of an attachment, if one waits.
    pub fn remove(&self, attachment: &Attachment) -> Result<(), SpoolError> {
        let path = self.file(attachment);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| SpoolError { path, source }),
        }
    }

    /// All DELs that wait, and what cannot be read.
    pub fn list(&self) -> (Vec<Del>, Vec<SpoolError>) {
        let (mut dels, mut errors) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (dels, errors),
            Err(source) => return (dels, vec![SpoolError { path: self.dir.clone(), source }]),
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(del) => dels.push(del),
                Err(source) => errors.push(SpoolError { path, source }),
            }
        }
        (dels, errors)
    }

    /// The file of an attachment. No two share one: the interface's name is written without dots, so the first dot ends it.
    fn file(&self, attachment: &Attachment) -> PathBuf {
        let mut name = String::new();
        for byte in attachment.ifname.as_str().bytes() {
            match byte {
                byte if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
                byte => name.push_str(&format!("%{byte:02x}")),
            }
        }
        self.dir.join(format!("{name}.{}.json", attachment.container))
    }
}

fn read(path: &Path) -> io::Result<Del> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn del(container: &str, ifname: &str) -> Del {
        let attachment =
            Attachment { container: container.parse().unwrap(), ifname: ifname.parse().unwrap() };
        Del { attachment, network: "pods".to_owned() }
    }

    #[test]
    fn what_is_put_is_listed_until_removed() {
        let dir = std::env::temp_dir().join(format!("felix-api-{}-spool", std::process::id()));
        let spool = Spool::new(dir.join("del"));
        assert!(spool.list().0.is_empty());
        let longest = "x".repeat(crate::ContainerId::MAX);
        let dels = [del("a.b", "c"), del("b", "a.c"), del("b", "c"), del(&longest, "...............")];
        for waiting in &dels {
            spool.put(waiting).unwrap();
            spool.put(waiting).unwrap();
        }
        fs::write(dir.join("del/torn.json"), "{").unwrap();
        let (listed, errors) = spool.list();
        assert_eq!((listed.len(), errors.len()), (4, 1));
        for waiting in &dels {
            assert!(listed.contains(waiting));
            spool.remove(&waiting.attachment).unwrap();
            spool.remove(&waiting.attachment).unwrap();
        }
        assert!(spool.list().0.is_empty());
        fs::remove_dir_all(dir).unwrap();
    }
}
