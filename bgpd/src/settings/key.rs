//! The keys that sign TCP segments.
//!
//! They stay in the shell: the speaker would have to end a session for a new one, while the kernel changes the key under an open
//! connection. So the speaker is never told one.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use bgpd_api::config::{PeerOptions, Secret, TcpAoKey};
use cairn_kernel::tcp::{MD5_KEY_MAX, has_ao};
use cairn_net::{Family, Prefix};

use super::SettingsError;

/// Largest password file that is looked at. Unit: bytes.
const MAX_PASSWORD_FILE: u64 = 4096;

/// How the segments of a connection are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// TCP MD5 (RFC 2385).
    Md5(Secret),
    /// TCP-AO (RFC 5925); never empty. The first key signs what is sent.
    Ao(Vec<TcpAoKey>),
}

/// Keys by the peers that they are for: a neighbour, or a listen range. The longest prefix counts.
pub(crate) type Keys = BTreeMap<Prefix, Key>;

/// The key of a peer.
pub(crate) fn key_of(keys: &Keys, peer: IpAddr) -> Option<&Key> {
    let host = keys.get(&Prefix::host(peer));
    host.or_else(|| {
        let containing = keys.iter().filter(|(prefix, _)| prefix.contains(peer));
        containing.max_by_key(|(prefix, _)| prefix.len()).map(|(_, key)| key)
    })
}

/// The key that a neighbour's or a range's options ask for. Reads the password file.
pub(super) fn key(whose: Prefix, options: &PeerOptions) -> Result<Option<Key>, SettingsError> {
    if let Some(keys) = &options.tcp_ao {
        return match has_ao(whose.family()) {
            Ok(true) => Ok(Some(Key::Ao(keys.clone()))),
            Ok(false) => Err(SettingsError::NoTcpAo { neighbor: shown(whose), keys: keys.len() }),
            Err(source) => Err(SettingsError::TcpAo { neighbor: shown(whose), source }),
        };
    }
    let Some(path) = &options.password_file else { return Ok(options.password.clone().map(Key::Md5)) };
    let text = read_secret(path).map_err(|source| SettingsError::PasswordFile {
        neighbor: shown(whose),
        path: path.clone(),
        source,
    })?;
    if (1..=MD5_KEY_MAX).contains(&text.len()) {
        Ok(Some(Key::Md5(Secret::new(text))))
    } else {
        let (neighbor, path) = (shown(whose), path.clone());
        Err(SettingsError::PasswordLength { neighbor, path, len: text.len() })
    }
}

/// A neighbour by its address, a range by its prefix.
fn shown(whose: Prefix) -> String {
    if whose.is_host() { whose.addr().to_string() } else { whose.to_string() }
}

/// The text of a small file without one line end behind it.
pub(super) fn read_secret(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_PASSWORD_FILE).read_to_string(&mut text)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Has the keys of a listener a place in this family?
pub(crate) fn of_family(keys: &Keys, family: Family) -> impl Iterator<Item = (Prefix, &Key)> {
    keys.iter().filter(move |(prefix, _)| prefix.family() == family).map(|(prefix, key)| (*prefix, key))
}
