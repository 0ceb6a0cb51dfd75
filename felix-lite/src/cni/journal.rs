//! The attachments of this node, in memory and in an append-only file.
//!
//! A record is written before the interface is made and removed after it is gone, so that a crash at any moment leaves a record for
//! DEL and the restart to work on. One line is appended for each of the two: a file for each attachment would cost the file system
//! an inode for each pod, a quarter of all that felix-lite does for ADD. Not synced to disk: the records matter only as long as
//! the kernel lives that holds the interfaces.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_net::{Bandwidth, Family, HostPort, Mac};
use felix_api::{Attached, Attachment, HOST_MAC, PodId};
use felix_core::Endpoint;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::name::pod_mac;
use super::underlay::Underlay;

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
    /// Was that asked for, so that it does not follow the fabric?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) mtu_fixed: bool,
    /// At most one of a family, IPv4 first.
    pub(crate) addresses: Vec<IpAddr>,
    /// The network that the container is in past the node's routes; then the pair is for what is between the two alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) underlay: Option<Underlay>,
    /// Ports of the node that lead to the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) host_ports: Vec<HostPort>,
    /// How much traffic it may have.
    #[serde(default, skip_serializing_if = "Bandwidth::is_unlimited")]
    pub(crate) bandwidth: Bandwidth,
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
        Endpoint {
            interface: self.interface.clone(),
            addresses: self.addresses.clone(),
            owner: self.owner(),
            enforceable: self.underlay.is_none(),
            host_ports: self.host_ports.clone(),
            bandwidth: self.bandwidth,
        }
    }

    /// Does a port of the node lead here from 127.0.0.1?
    pub(crate) fn serves_loopback(&self) -> bool {
        let of_ipv4 = |address: &IpAddr| address.is_ipv4();
        let loopback = |port: &HostPort| {
            port.is_of(Family::Ipv4) && port.address().is_none_or(|address| address.is_loopback())
        };
        self.addresses.iter().any(of_ipv4) && self.host_ports.iter().any(loopback)
    }

    /// The name of the pair's end in the container: `CNI_IFNAME` unless that is in the underlay.
    pub(crate) fn inner_ifname(&self) -> &str {
        if self.underlay.is_some() { &self.interface } else { self.attachment.ifname.as_str() }
    }

    /// The MAC address of that end.
    pub(crate) fn inner_mac(&self) -> Mac {
        if self.underlay.is_some() { pod_mac(&self.attachment) } else { self.pod_mac }
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
            networks: self.underlay.as_ref().map(|underlay| underlay.networks.clone()).unwrap_or_default(),
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

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    /// An attachment is, or is now, so.
    Put(Box<Record>),
    /// An attachment is no more.
    Remove(Attachment),
}

/// All records.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: cairn_ipam::Journal<Entry>,
    records: HashMap<Attachment, Arc<Record>>,
}

impl Journal {
    /// Reads the file, which is made if need be; true if nothing of it was damaged. What a damaged line said is not known: then a
    /// workload interface may be without a record.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), JournalError> {
        let fail = |source| JournalError { path: path.to_owned(), source };
        let (file, replay) = cairn_ipam::Journal::open(path).map_err(fail)?;
        let mut records = HashMap::new();
        for entry in replay.records {
            match entry {
                Entry::Put(record) => drop(records.insert(record.attachment.clone(), Arc::from(record))),
                Entry::Remove(attachment) => drop(records.remove(&attachment)),
            }
        }
        let inner = Mutex::new(Inner { file, records });
        Ok((Self { path: path.to_owned(), inner }, !replay.gap))
    }

    pub(crate) fn get(&self, attachment: &Attachment) -> Option<Arc<Record>> {
        self.inner().records.get(attachment).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Record>> {
        self.inner().records.values().cloned().collect()
    }

    /// Adds or replaces a record.
    pub(crate) fn put(&self, record: &Arc<Record>) -> Result<(), JournalError> {
        let mut inner = self.inner();
        self.append(&mut inner, Entry::Put(Box::new((**record).clone())))?;
        inner.records.insert(record.attachment.clone(), Arc::clone(record));
        Ok(())
    }

    /// Removes a record; one that is not there is no error.
    pub(crate) fn remove(&self, attachment: &Attachment) -> Result<(), JournalError> {
        let mut inner = self.inner();
        if inner.records.contains_key(attachment) {
            self.append(&mut inner, Entry::Remove(attachment.clone()))?;
            inner.records.remove(attachment);
        }
        Ok(())
    }

    fn append(&self, inner: &mut Inner, entry: Entry) -> Result<(), JournalError> {
        let fail = |source| JournalError { path: self.path.clone(), source };
        if inner.file.is_bloated() {
            let all = inner.records.values().map(|record| Entry::Put(Box::new((**record).clone())));
            inner.file.compact(&all.collect::<Vec<_>>()).map_err(fail)?;
        }
        inner.file.append(&[entry]).map_err(fail)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

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
            mtu_fixed: false,
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            underlay: None,
            host_ports: Vec::new(),
            bandwidth: Bandwidth::default(),
        })
    }

    #[test]
    fn records_outlive_the_journal_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attachments");
        let (journal, whole) = Journal::open(&path).unwrap();
        assert!(whole && Journal::open(&path).is_err(), "one process at a time");
        journal.put(&record("a")).unwrap();
        journal.put(&record("b")).unwrap();
        journal.put(&record("c")).unwrap();
        journal.remove(&record("c").attachment).unwrap();
        journal.remove(&record("c").attachment).unwrap();
        drop(journal);
        // A write that a crash cut short: nobody was answered.
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"0123 {\"Put\":").unwrap();
        let (journal, whole) = Journal::open(&path).unwrap();
        assert!(whole);
        let mut all = journal.all();
        all.sort_by_key(|record| record.owner());
        assert_eq!(all, [record("a"), record("b")]);
        drop(journal);

        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (journal, whole) = Journal::open(&path).unwrap();
        assert!(!whole, "the first line is damaged");
        assert_eq!(journal.all(), [record("b")]);
        assert_eq!(journal.get(&record("b").attachment).unwrap().owner(), "b");
    }

    #[test]
    fn what_a_pod_brings_along_is_kept_and_other_versions_can_read_each_others_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attachments");
        let port: HostPort =
            serde_json::from_str(r#"{"transport":"udp","host_port":53,"port":5353}"#).unwrap();
        let egress = Some(cairn_net::Rate::new(8_000_000, Some(800)).unwrap());
        let bandwidth = Bandwidth { egress, ..Bandwidth::default() };
        let wishing = Arc::new(Record { host_ports: vec![port], bandwidth, ..(*record("a")).clone() });
        let (journal, _) = Journal::open(&path).unwrap();
        journal.put(&wishing).unwrap();
        drop(journal);
        let (journal, whole) = Journal::open(&path).unwrap();
        assert!(whole);
        assert_eq!(journal.all(), [Arc::clone(&wishing)]);
        let endpoint = wishing.endpoint();
        assert_eq!((endpoint.host_ports.as_slice(), endpoint.bandwidth), ([port].as_slice(), bandwidth));

        // An older version wrote neither, and passes over what it does not know, as this one does.
        let plain = serde_json::to_value(&*record("b")).unwrap();
        assert!(plain.get("host_ports").is_none() && plain.get("bandwidth").is_none(), "{plain}");
        let mut newer = plain.clone();
        newer["of_a_later_version"] = serde_json::json!([{ "x": 1 }]);
        for value in [plain, newer] {
            assert_eq!(serde_json::from_value::<Record>(value).unwrap(), *record("b"));
        }
    }

    #[test]
    fn a_long_life_does_not_make_a_long_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attachments");
        let (journal, _) = Journal::open(&path).unwrap();
        journal.put(&record("stays")).unwrap();
        for number in 0..2000 {
            let record = record(&format!("c{number}"));
            journal.put(&record).unwrap();
            journal.remove(&record.attachment).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < 512 << 10);
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().0.all(), [record("stays")]);
    }
}
