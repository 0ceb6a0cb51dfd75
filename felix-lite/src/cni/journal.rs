//! The attachments of this node, in memory and as one file each in a directory.
//!
//! A record is written before the interface is made and removed after it is gone, so that a crash at any moment leaves a record for
//! DEL and the restart to work on. Each file is replaced by renaming. They are not synced to disk: they matter only as long as the
//! kernel lives that holds the interfaces.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_net::Mac;
use felix_api::{Attached, Attachment, HOST_MAC, PodId};
use felix_core::Endpoint;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One attachment, as ADD made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which.
    pub(crate) attachment: Attachment,
    /// Of which network.
    pub(crate) network: String,
    /// `CNI_NETNS`, for people.
    pub(crate) netns: String,
    /// The namespace itself, as far as the kernel tells two apart.
    pub(crate) netns_id: NetnsId,
    /// The pod, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<PodId>,
    /// The host's end.
    pub(crate) interface: String,
    /// The container's end.
    pub(crate) pod_mac: Mac,
    /// Of both ends, in bytes.
    pub(crate) mtu: u32,
    /// At most one of a family, IPv4 first.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Device and inode of a namespace's file: unique among those that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetnsId {
    /// `st_dev`.
    pub(crate) dev: u64,
    /// `st_ino`.
    pub(crate) ino: u64,
}

impl NetnsId {
    pub(crate) fn of(file: &fs::File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        file.metadata().map(|found| Self { dev: found.dev(), ino: found.ino() })
    }
}

impl Record {
    /// What the engine is told.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { interface: self.interface.clone(), addresses: self.addresses.clone(), owner: self.owner() }
    }

    /// Who it is, for people.
    pub(crate) fn owner(&self) -> String {
        self.pod.as_ref().map_or_else(|| self.attachment.container.to_string(), ToString::to_string)
    }

    /// What the plugin is told.
    pub(crate) fn attached(&self) -> Attached {
        Attached {
            host_ifname: self.interface.clone(),
            host_mac: HOST_MAC,
            pod_mac: self.pod_mac,
            mtu: self.mtu,
            addresses: self.addresses.clone(),
        }
    }
}

/// A file that cannot be written, read or understood.
#[derive(Debug, Error)]
#[error("endpoint journal {}: {source}", path.display())]
pub struct JournalError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong.
    pub source: io::Error,
}

/// All records.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    records: Mutex<HashMap<Attachment, Arc<Record>>>,
}

impl Journal {
    /// Reads the directory, which is made if need be. Files that cannot be understood are left alone and reported.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<JournalError>), JournalError> {
        let fail = |source| JournalError { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(fail)?;
        let (mut records, mut errors) = (HashMap::new(), Vec::new());
        for entry in fs::read_dir(dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => match read(&path) {
                    Ok(record) => drop(records.insert(record.attachment.clone(), Arc::new(record))),
                    Err(source) => errors.push(JournalError { path, source }),
                },
                // A write that a crash cut short.
                Some("tmp") => drop(fs::remove_file(path)),
                _ => {}
            }
        }
        Ok((Self { dir: dir.to_owned(), records: Mutex::new(records) }, errors))
    }

    pub(crate) fn get(&self, attachment: &Attachment) -> Option<Arc<Record>> {
        self.records().get(attachment).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Record>> {
        self.records().values().cloned().collect()
    }

    /// Adds or replaces a record.
    pub(crate) fn put(&self, record: &Arc<Record>) -> Result<(), JournalError> {
        let path = self.file(&record.interface);
        let temporary = path.with_extension("tmp");
        serde_json::to_vec(&**record)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| JournalError { path, source })?;
        self.records().insert(record.attachment.clone(), Arc::clone(record));
        Ok(())
    }

    /// Removes a record; one that is not there is no error.
    pub(crate) fn remove(&self, attachment: &Attachment) -> Result<(), JournalError> {
        let Some(record) = self.get(attachment) else { return Ok(()) };
        let path = self.file(&record.interface);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError { path, source });
            }
            _ => drop(self.records().remove(attachment)),
        }
        Ok(())
    }

    fn file(&self, interface: &str) -> PathBuf {
        self.dir.join(format!("{interface}.json"))
    }

    fn records(&self) -> MutexGuard<'_, HashMap<Attachment, Arc<Record>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Record> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(container: &str) -> Arc<Record> {
        let attachment =
            Attachment { container: container.parse().unwrap(), ifname: "eth0".parse().unwrap() };
        Arc::new(Record {
            interface: crate::cni::name::host_ifname(&attachment),
            attachment,
            network: "pods".to_owned(),
            netns: "/run/netns/p".to_owned(),
            netns_id: NetnsId { dev: 4, ino: 7 },
            pod: None,
            pod_mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        })
    }

    #[test]
    fn records_outlive_the_journal_and_torn_files_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&dir.path().join("endpoints")).unwrap();
        journal.put(&record("a")).unwrap();
        journal.put(&record("b")).unwrap();
        journal.remove(&record("b").attachment).unwrap();
        journal.remove(&record("b").attachment).unwrap();
        fs::write(dir.path().join("endpoints/crn00000000000.json"), "{\"attachment\":").unwrap();
        fs::write(dir.path().join("endpoints/crn00000000001.tmp"), "").unwrap();

        let (journal, errors) = Journal::open(&dir.path().join("endpoints")).unwrap();
        assert_eq!(journal.all(), [record("a")]);
        assert_eq!(errors.len(), 1);
        assert!(!dir.path().join("endpoints/crn00000000001.tmp").exists());
        assert_eq!(journal.get(&record("a").attachment).unwrap().owner(), "a");
    }
}
