//! The node's private WireGuard key: made here, kept in a file that root alone may read, and told to the kernel and nobody else.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cairn_kernel::wireguard::PrivateKey;
use thiserror::Error;
use tracing::info;

/// Root may read and write it.
const MODE: u32 = 0o600;
/// The same for its directory.
const DIRECTORY_MODE: u32 = 0o700;

/// Where the key is kept.
#[derive(Debug, Clone)]
pub(crate) struct KeyFile {
    path: PathBuf,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// The file, or its directory, cannot be read or written.
    #[error("the WireGuard key in {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path} is no WireGuard key (32 octets in base64): bring the right one back, or remove the file to have a new one made"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error(transparent)]
    Random(#[from] cairn_kernel::Error),
}

impl KeyFile {
    /// In a state directory.
    pub(crate) fn in_directory(data: &Path) -> Self {
        Self { path: data.join("wireguard").join("private-key") }
    }

    /// The key; a new one is made and kept where there is none yet.
    ///
    /// Errors: what is there is never overwritten.
    pub(crate) fn load_or_make(&self) -> Result<PrivateKey, KeyError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                fs::set_permissions(&self.path, Permissions::from_mode(MODE))
                    .map_err(|error| self.io(error))?;
                text.trim().parse().map_err(|_| KeyError::NoKey { path: self.path.clone() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = PrivateKey::generate()?;
                self.keep(&key).map_err(|error| self.io(error))?;
                info!(file = %self.path.display(), "a WireGuard key was made");
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(KeyError::NoKey { path: self.path.clone() })
            }
            Err(error) => Err(self.io(error)),
        }
    }

    /// Puts a new key in the place of the one that is there, whatever that is.
    ///
    /// Errors: the old one stays.
    pub(crate) fn replace(&self) -> Result<(), KeyError> {
        let key = PrivateKey::generate()?;
        self.keep(&key).map_err(|error| self.io(error))?;
        info!(file = %self.path.display(), "another WireGuard key was made");
        Ok(())
    }

    /// Written whole or not at all, also where the machine stops in between.
    fn keep(&self, key: &PrivateKey) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        let draft = self.path.with_extension("draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&draft)?;
        file.write_all(format!("{}\n", key.expose()).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        File::open(directory)?.sync_all()
    }

    fn io(&self, source: io::Error) -> KeyError {
        KeyError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(directory.path());
        let key = file.load_or_make().unwrap();
        assert_eq!(file.load_or_make().unwrap(), key);
        fs::set_permissions(&file.path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.load_or_make().unwrap(), key);
        file.replace().unwrap();
        assert_ne!(file.load_or_make().unwrap(), key);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn what_is_no_key_is_told_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(directory.path());
        let secret = file.load_or_make().unwrap().expose();
        for wrong in [b"".as_slice(), b"not a key", &secret.as_bytes()[..40], b"\xff\xfe"] {
            fs::write(&file.path, wrong).unwrap();
            let error = file.load_or_make().unwrap_err().to_string();
            assert!(error.contains("is no WireGuard key") && !error.contains(&secret[..8]), "{error}");
            assert_eq!(fs::read(&file.path).unwrap(), wrong);
        }
    }
}
