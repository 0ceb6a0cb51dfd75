use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How far away the other side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// On a link of ours (RFC 5881).
    Single,
    /// Behind routers, or perhaps so (RFC 5883).
    Multi,
}

impl Hops {
    /// The UDP port that its packets are sent to.
    pub const fn port(self) -> u16 {
        match self {
            Self::Single => crate::SINGLE_HOP_PORT,
            Self::Multi => crate::MULTI_HOP_PORT,
        }
    }
}

impl fmt::Display for Hops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single hop",
            Self::Multi => "multihop",
        })
    }
}

/// What names a session on this system. The order brings together what a first packet must choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Single hop or multihop.
    pub hops: Hops,
    /// The other side.
    pub remote: IpAddr,
    /// Index of the interface that its packets come in by; `None`: any. Needed for link-local addresses.
    pub interface: Option<u32>,
    /// Our address; `None`: any.
    pub local: Option<IpAddr>,
}

impl Key {
    /// A session with an address, over whichever interface and from whichever address of ours.
    pub const fn new(remote: IpAddr, hops: Hops) -> Self {
        Self { hops, remote, interface: None, local: None }
    }

    /// Does a packet without Your Discriminator belong here?
    pub(crate) fn matches(&self, destination: IpAddr, interface: u32) -> bool {
        self.local.is_none_or(|local| local == destination)
            && self.interface.is_none_or(|index| index == interface)
    }
}

/// What a session is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// bfd.DesiredMinTxInterval once Up; until then at least a second. Range: 10 ms to 60 s. Default: 300 ms.
    pub desired_min_tx: Duration,
    /// bfd.RequiredMinRxInterval. Range: 10 ms to 60 s. Default: 300 ms.
    pub required_min_rx: Duration,
    /// bfd.DetectMult: packets that may be lost in a row before the other side gives up. Range: 1 to 255. Default: 3.
    pub detect_mult: u8,
    /// Send nothing before the other side does (section 6.1). Default: false.
    pub passive: bool,
    /// Least time to live of what a multihop session accepts; a single-hop session always wants 255. Default: 1.
    pub min_ttl: u8,
    /// How packets are authenticated; `None`: they are not, and those that are get discarded.
    pub authentication: Option<Authentication>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            desired_min_tx: Duration::from_millis(300),
            required_min_rx: Duration::from_millis(300),
            detect_mult: 3,
            passive: false,
            min_ttl: 1,
            authentication: None,
        }
    }
}

/// How packets of a session are authenticated (RFC 5880 section 6.7). The secret is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The method.
    pub kind: AuthenticationKind,
    /// Auth Key ID; both sides name the same.
    pub key_id: u8,
    /// The secret, zeros behind it.
    secret: [u8; 20],
    len: usize,
}

impl Authentication {
    /// `None` if the secret is empty or longer than [`AuthenticationKind::max_secret`].
    pub fn new(kind: AuthenticationKind, key_id: u8, secret: &[u8]) -> Option<Self> {
        let mut padded = [0; 20];
        let len = Some(secret.len()).filter(|len| (1..=kind.max_secret()).contains(len))?;
        padded.get_mut(..len)?.copy_from_slice(secret);
        Some(Self { kind, key_id, secret: padded, len })
    }

    /// The secret as it is.
    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.get(..self.len).unwrap_or_default()
    }

    /// The secret with zeros behind it, as it stands in the place of a hash.
    pub(crate) const fn padded(&self) -> &[u8; 20] {
        &self.secret
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with key {} (secret)", self.kind, self.key_id)
    }
}

/// A method of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticationKind {
    /// The secret itself in each packet (section 6.7.2): protects from accidents only.
    SimplePassword,
    /// SHA1 over packet and secret; the sequence number may stand still (section 6.7.4).
    KeyedSha1,
    /// SHA1 over packet and secret; the sequence number grows with each packet (section 6.7.4).
    MeticulousKeyedSha1,
}

impl AuthenticationKind {
    /// Longest secret. Unit: octets.
    pub const fn max_secret(self) -> usize {
        match self {
            Self::SimplePassword => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => 20,
        }
    }

    /// Auth Type on the wire (section 4.1).
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::SimplePassword => 1,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }
}

impl fmt::Display for AuthenticationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SimplePassword => "simple password",
            Self::KeyedSha1 => "keyed SHA1",
            Self::MeticulousKeyedSha1 => "meticulous keyed SHA1",
        })
    }
}
