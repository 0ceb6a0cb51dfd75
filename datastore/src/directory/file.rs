//! One file per object: names, reading, versions, replacing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cairn_api::{Kind, Object, load, name};

use crate::Key;

/// An object as read.
pub(super) struct Found<K: Kind> {
    pub(super) object: Object<K>,
}

/// Why there is no object.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is no file.
    Missing,
    /// It cannot be used: place, field, value and rule.
    Invalid(String),
    /// It cannot be read.
    Io(io::Error),
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is in the directory of a kind.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Files of objects.
    pub(super) keys: BTreeMap<Key, Signature>,
    /// Directories that were looked into.
    pub(super) directories: Vec<PathBuf>,
    /// Files that look like objects and are none, with the reason.
    pub(super) refused: Vec<(PathBuf, String)>,
}

/// The directory of a kind.
pub(super) fn directory<K: Kind>(root: &Path) -> PathBuf {
    root.join(K::PLURAL)
}

/// The file of an object; `None` if the key is no valid name: then there is no such object.
fn path<K: Kind>(root: &Path, key: &Key) -> Option<PathBuf> {
    let directory = parent::<K>(root, key)?;
    name::is_valid(&key.name).then(|| directory.join(format!("{}.yaml", key.name)))
}

fn parent<K: Kind>(root: &Path, key: &Key) -> Option<PathBuf> {
    match (K::NAMESPACED, key.namespace.as_str()) {
        (false, "") => Some(directory::<K>(root)),
        (true, namespace) if name::is_valid(namespace) => Some(directory::<K>(root).join(namespace)),
        _ => None,
    }
}

/// Reads and checks an object. Its `resourceVersion` is made by [`version`].
pub(super) fn read<K: Kind>(root: &Path, key: &Key) -> Result<Found<K>, ReadError> {
    let path = path::<K>(root, key).ok_or(ReadError::Missing)?;
    let bytes = read_bytes(&path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| ReadError::Invalid(format!("{}: not UTF-8: {error}", path.display())))?;
    let mut object: Object<K> = load::object(&path.display().to_string(), text)
        .or_else(|error| with_namespace(&path, text, key, error))
        .map_err(|error| ReadError::Invalid(error.to_string()))?;
    if object.metadata.name != key.name || object.metadata.namespace != key.namespace {
        let found = object.full_name();
        let reason = format!("{}: metadata names {found:?}, the file is that of {key}", path.display());
        return Err(ReadError::Invalid(reason));
    }
    object.metadata.resource_version = version(counter(&object.metadata.resource_version), &bytes);
    Ok(Found { object })
}

/// The file of an object that was read a moment ago, as it is. Call it with the lock of the kind.
pub(super) fn text<K: Kind>(root: &Path, key: &Key) -> io::Result<String> {
    let path = path::<K>(root, key).ok_or(io::ErrorKind::NotFound)?;
    fs::read_to_string(path)
}

/// A manifest may leave out the namespace that its directory tells.
fn with_namespace<K: Kind>(
    path: &Path,
    text: &str,
    key: &Key,
    error: load::LoadError,
) -> Result<Object<K>, load::LoadError> {
    let only_the_namespace = matches!(&error, load::LoadError::Invalid { faults, .. }
        if faults.iter().all(|fault| fault.path == "metadata.namespace" && fault.value.is_empty()));
    if !K::NAMESPACED || !only_the_namespace {
        return Err(error);
    }
    let mut object: Object<K> = load::value(&path.display().to_string(), text)?;
    object.metadata.namespace.clone_from(&key.namespace);
    Ok(object)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ReadError> {
    // Non-blocking, so that a FIFO with that name cannot hold us.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Io(error),
    })?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::Invalid(format!("{}: not a regular file", path.display())));
    }
    let limit = load::MAX_SIZE as u64 + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or(0));
    Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() > load::MAX_SIZE {
        let reason = format!("{}: more than {} bytes", path.display(), load::MAX_SIZE);
        return Err(ReadError::Invalid(reason));
    }
    Ok(bytes)
}

/// The version of an object: the counter written in it, and a digest of the whole file.
pub(super) fn version(counter: u64, bytes: &[u8]) -> String {
    format!("{counter}-{:016x}", digest(bytes))
}

/// The counter in a version, in the form of the file or of [`version`]; 0 where there is none.
pub(super) fn counter(version: &str) -> u64 {
    version.split('-').next().and_then(|counter| counter.parse().ok()).unwrap_or(0)
}

/// FNV-1a: guards against accidents, not against an attacker, who could write the file anyway.
fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub(super) fn exists<K: Kind>(root: &Path, key: &Key) -> io::Result<bool> {
    match path::<K>(root, key).map(fs::symlink_metadata) {
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Some(Err(error)) => Err(error),
        None => Ok(false),
    }
}

/// Replaces the file as one step. Call it with the lock of the kind.
pub(super) fn write<K: Kind>(root: &Path, key: &Key, text: &str) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{key} is no valid name"));
    let path = path::<K>(root, key).ok_or_else(invalid)?;
    let parent = parent::<K>(root, key).ok_or_else(invalid)?;
    // Only who has the lock writes here, so a leftover of a crash is overwritten and never read.
    let temporary = parent.join(format!(".{}.yaml.tmp", key.name));
    let mode = if K::PLURAL == "secrets" { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(parent)?.sync_all()
}

/// Removes the file. Call it with the lock of the kind.
pub(super) fn remove<K: Kind>(root: &Path, key: &Key) -> io::Result<()> {
    if let Some((path, parent)) = path::<K>(root, key).zip(parent::<K>(root, key)) {
        fs::remove_file(path)?;
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Makes the directory that an object's file is in.
pub(super) fn make_parent<K: Kind>(root: &Path, key: &Key) -> io::Result<()> {
    parent::<K>(root, key).map_or(Ok(()), fs::create_dir_all)
}

/// A random uid in the usual form (RFC 9562 version 4).
pub(super) fn new_uid() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
    let hex = format!("{bits:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Looks what files there are. A directory that is not there is empty.
pub(super) fn scan<K: Kind>(root: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let top = directory::<K>(root);
    if !K::NAMESPACED {
        scan_directory(top, "", &mut scan)?;
        return Ok(scan);
    }
    scan.directories.push(top.clone());
    for entry in entries(&top)? {
        let entry = entry?;
        let Ok(namespace) = entry.file_name().into_string() else { continue };
        if name::is_valid(&namespace) && entry.path().is_dir() {
            scan_directory(entry.path(), &namespace, &mut scan)?;
        } else if namespace.ends_with(".yaml") {
            scan.refused.push((entry.path(), "belongs in the directory of its namespace".to_owned()));
        }
    }
    Ok(scan)
}

fn entries(directory: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(error),
    }
}

fn scan_directory(directory: PathBuf, namespace: &str, scan: &mut Scan) -> io::Result<()> {
    for entry in entries(&directory)? {
        let entry = entry?;
        let file_name = entry.file_name();
        match object_name(&file_name.to_string_lossy()) {
            Named::Object(name) => {
                if let Some(signature) = signature(&entry.path()) {
                    scan.keys.insert(Key::namespaced(namespace, name), signature);
                }
            }
            Named::Refused(reason) => scan.refused.push((entry.path(), reason)),
            Named::Other => {}
        }
    }
    scan.directories.push(directory);
    Ok(())
}

/// What a file's name says.
pub(super) enum Named {
    /// It is the file of this object.
    Object(String),
    /// It was meant to be one.
    Refused(String),
    /// Locks, temporary files, an editor's files.
    Other,
}

/// Judges a file's name.
pub(super) fn object_name(file_name: &str) -> Named {
    if file_name.starts_with('.') {
        return Named::Other;
    }
    match file_name.rsplit_once('.') {
        Some((name, "yaml")) if name::is_valid(name) => Named::Object(name.to_owned()),
        Some((_, "yaml")) => Named::Refused("the file's name is no valid name of an object".to_owned()),
        Some((_, "yml" | "json")) => Named::Refused("the file's name must end in .yaml".to_owned()),
        _ => Named::Other,
    }
}

/// `None` if the file is gone.
pub(super) fn signature(path: &Path) -> Option<Signature> {
    let metadata = fs::metadata(path).ok()?;
    Some(Signature {
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// The signature of an object's file; `None` if it is gone.
pub(super) fn signature_of<K: Kind>(root: &Path, key: &Key) -> Option<Signature> {
    signature(&path::<K>(root, key)?)
}
