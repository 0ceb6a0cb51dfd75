use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use cairn_net::{Asn, Family, RemoteAs};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    AddPath, Bfd, Blackhole, ConditionalAdvertisements, DefaultOriginate, FilterChain, Name, NextHopMode,
    PrefixLimitAction, RemovePrivateAs, Role, Secret, SendCommunity, TcpAoKey, Timers, seconds,
};

/// A neighbour: its address, its peer group if any, and [`PeerOptions`] beside them in the same map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Neighbor {
    /// The neighbour's address; names the neighbour in every command and log line.
    pub address: IpAddr,
    /// The peer group whose options hold where the neighbour has none itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_group: Option<Name>,
    /// Everything else.
    #[serde(flatten)]
    pub options: PeerOptions,
}

/// A neighbour on a link without addresses of its own: whoever is the one router behind the interface. Its link-local address is
/// found by router advertisements, or when it connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceNeighbor {
    /// The interface. Range: 1 to 15 bytes.
    pub interface: String,
    /// The peer group whose options hold where the neighbour has none itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_group: Option<Name>,
    /// Everything else. Families are both unless set.
    #[serde(flatten)]
    pub options: PeerOptions,
}

/// Options of a neighbour or of a peer group. What is not set comes from the peer group, then from the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PeerOptions {
    /// The neighbour's AS number; or `external` for any but the own one and those of the own confederation, `internal` for the own
    /// one. Required, here or in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_as: Option<RemoteAs>,
    /// Another AS number than the document's towards this external neighbour (RFC 7705).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_as: Option<Asn>,
    /// `localAs` is not put in front of the paths that the neighbour announces. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_as_no_prepend: Option<bool>,
    /// In the paths sent to the neighbour `localAs` stands instead of the document's number, not in front of it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_as_replace_as: Option<bool>,
    /// What this speaker is to the external neighbour; routes that would be a leak are then neither taken nor sent (RFC 9234).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Refuse a neighbour that names no role. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_strict: Option<bool>,
    /// A text for people, shown by `cairnctl`. Range: up to 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A neighbour that is not enabled is kept down. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Source address of the connection. Default: chosen by the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_address: Option<IpAddr>,
    /// Interface, or VRF, that the connection is bound to. Range: 1 to 15 bytes. Default: whatever the kernel's routes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_interface: Option<String>,
    /// The neighbour's TCP port. Default: the port that this speaker listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Wait for the neighbour to connect, never connect. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<bool>,
    /// TTL of packets to an external neighbour that is not directly connected. Range: 2 to 255. Default: off (TTL 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_multihop: Option<u8>,
    /// GTSM (RFC 5082): packets from further away than so many hops are dropped by the kernel.
    /// Range: 1 to 254. Default: off. Excludes `ebgpMultihop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_security_hops: Option<u8>,
    /// TCP MD5 password (RFC 2385). Range: 1 to 80 bytes. Excludes `passwordFile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password; one line end after it is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// BFD with the neighbour. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Bfd>,
    /// Keys of the TCP Authentication Option (RFC 5925), which needs Linux 6.7 with `CONFIG_TCP_AO`. The first one signs what is
    /// sent, all are accepted. Range: 1 to 16 keys. Excludes `password` and `passwordFile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_ao: Option<Vec<TcpAoKey>>,
    /// Session timers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<Timers>,
    /// Families offered. Default: the family of the neighbour's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<Family>>,
    /// Several paths for one prefix (RFC 7911). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_path: Option<AddPath>,
    /// What becomes of the next hop of routes sent to this neighbour. Default: `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<NextHopMode>,
    /// Own addresses as next hops for routes of a family that the session's own address is not of. Default: those of
    /// the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_addresses: Option<Vec<IpAddr>>,
    /// Next hops of this external neighbour, which is one hop away, may be anywhere where they can be reached (`nextHopTracking`).
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_connected_check: Option<bool>,
    /// The neighbour is a client of this route reflector (RFC 4456); internal neighbours only. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_reflector_client: Option<bool>,
    /// Private AS numbers go from the paths that this external neighbour is sent. Default: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_private_as: Option<RemovePrivateAs>,
    /// This external neighbour's own AS becomes the local one in the paths that it is sent, so that sites with one AS take each
    /// other's routes. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_override: Option<bool>,
    /// A default route of each family is sent. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_originate: Option<DefaultOriginate>,
    /// Routes that are sent only while others exist, or do not: a rule, or a list of them. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditional_advertisement: Option<ConditionalAdvertisements>,
    /// Everything sent is marked with GRACEFUL_SHUTDOWN, and to internal neighbours LOCAL_PREF is 0: before maintenance (RFC 8326). Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown: Option<bool>,
    /// Kinds of communities that are sent. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_community: Option<SendCommunity>,
    /// Accept blackhole routes (RFC 7999). Default: BLACKHOLE is a community like any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blackhole: Option<Blackhole>,
    /// Preference of this neighbour's routes on this router alone: the highest wins before anything else is compared. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// How often the local AS may occur in the path of a route that is accepted. Range: 0 to 10. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowas_in: Option<u8>,
    /// Prefixes of each family that the neighbour may announce. One more ends the session (RFC 4486), unless
    /// `maxPrefixesAction` says otherwise. Range: 1 to 4294967295. Default: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<u32>,
    /// Percentage of `maxPrefixes` beyond which a warning is given. Range: 1 to 100. Default: 75.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prefixes_warning: Option<u8>,
    /// What the first prefix too many does. Default: `idle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prefixes_action: Option<PrefixLimitAction>,
    /// After how long a session that ended so begins anew. Unit: seconds. Range: 1 to 65535. Default: not before the neighbour is
    /// enabled by hand.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub max_prefixes_restart_time: Option<Duration>,
    /// The filter for routes from this neighbour, or a list of filters, asked in turn.
    /// Default: `accept-all`; `reject-all` for an external one while `ebgpRequiresPolicy` is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<FilterChain>,
    /// The filter, or filters, for routes to this neighbour. Default: as with `import`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<FilterChain>,
    /// Overrides the document's `ebgpRequiresPolicy` for this neighbour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_requires_policy: Option<bool>,
    /// How long routes of this neighbour are kept at most while it restarts (RFC 4724). Unit: seconds.
    /// Range: 0 (not at all) to 65535. Default: 360.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub stale_routes_time: Option<Duration>,
    /// How long routes of this neighbour are kept at most after that, if it asks for it (RFC 9494). Unit: seconds.
    /// Range: 0 (not at all) to 16777215. Default: 86400.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub long_lived_stale_routes_time: Option<Duration>,
}

impl PeerOptions {
    /// The options with those of `group` where they are not set.
    #[must_use]
    pub fn or(self, group: Option<&Self>) -> Self {
        let Some(group) = group.cloned() else { return self };
        Self {
            remote_as: self.remote_as.or(group.remote_as),
            local_as: self.local_as.or(group.local_as),
            local_as_no_prepend: self.local_as_no_prepend.or(group.local_as_no_prepend),
            local_as_replace_as: self.local_as_replace_as.or(group.local_as_replace_as),
            role: self.role.or(group.role),
            role_strict: self.role_strict.or(group.role_strict),
            description: self.description.or(group.description),
            enabled: self.enabled.or(group.enabled),
            local_address: self.local_address.or(group.local_address),
            bind_interface: self.bind_interface.or(group.bind_interface),
            port: self.port.or(group.port),
            passive: self.passive.or(group.passive),
            ebgp_multihop: self.ebgp_multihop.or(group.ebgp_multihop),
            ttl_security_hops: self.ttl_security_hops.or(group.ttl_security_hops),
            // One credential: a neighbour's file must not meet the group's password.
            password: self
                .password
                .clone()
                .or(group.password.filter(|_| self.password_file.is_none() && self.tcp_ao.is_none())),
            password_file: self
                .password_file
                .clone()
                .or(group.password_file.filter(|_| self.password.is_none() && self.tcp_ao.is_none())),
            tcp_ao: self
                .tcp_ao
                .or(group.tcp_ao.filter(|_| self.password.is_none() && self.password_file.is_none())),
            timers: match (self.timers, group.timers) {
                (Some(own), Some(group)) => Some(own.or(&group)),
                (own, group) => own.or(group),
            },
            bfd: match (self.bfd, group.bfd) {
                (Some(own), Some(group)) => Some(own.or(&group)),
                (own, group) => own.or(group),
            },
            families: self.families.or(group.families),
            add_path: self.add_path.or(group.add_path),
            next_hop: self.next_hop.or(group.next_hop),
            next_hop_addresses: self.next_hop_addresses.or(group.next_hop_addresses),
            disable_connected_check: self.disable_connected_check.or(group.disable_connected_check),
            route_reflector_client: self.route_reflector_client.or(group.route_reflector_client),
            remove_private_as: self.remove_private_as.or(group.remove_private_as),
            as_override: self.as_override.or(group.as_override),
            default_originate: self.default_originate.or(group.default_originate),
            conditional_advertisement: self.conditional_advertisement.or(group.conditional_advertisement),
            graceful_shutdown: self.graceful_shutdown.or(group.graceful_shutdown),
            send_community: self.send_community.or(group.send_community),
            blackhole: self.blackhole.or(group.blackhole),
            weight: self.weight.or(group.weight),
            allowas_in: self.allowas_in.or(group.allowas_in),
            max_prefixes: self.max_prefixes.or(group.max_prefixes),
            max_prefixes_warning: self.max_prefixes_warning.or(group.max_prefixes_warning),
            max_prefixes_action: self.max_prefixes_action.or(group.max_prefixes_action),
            max_prefixes_restart_time: self.max_prefixes_restart_time.or(group.max_prefixes_restart_time),
            import: self.import.or(group.import),
            export: self.export.or(group.export),
            ebgp_requires_policy: self.ebgp_requires_policy.or(group.ebgp_requires_policy),
            stale_routes_time: self.stale_routes_time.or(group.stale_routes_time),
            long_lived_stale_routes_time: self
                .long_lived_stale_routes_time
                .or(group.long_lived_stale_routes_time),
        }
    }
}

impl<'de> Deserialize<'de> for Neighbor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a neighbour: a map with address, remoteAs and more";
        let (address, peer_group, options) =
            deserializer.deserialize_map(Fields::new("address", expecting))?;
        Ok(Self { address, peer_group, options })
    }
}

impl<'de> Deserialize<'de> for InterfaceNeighbor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a neighbour: a map with interface, remoteAs and more";
        let (interface, peer_group, options) =
            deserializer.deserialize_map(Fields::new("interface", expecting))?;
        Ok(Self { interface, peer_group, options })
    }
}

/// Reads the map once: the field that names the neighbour and `peerGroup` are taken out, every other field goes to [`PeerOptions`].
///
/// serde's own `flatten` would do, but it forgets which fields are unknown and where a fault lies.
struct Fields<T> {
    name: &'static str,
    expecting: &'static str,
    of: PhantomData<T>,
}

impl<T> Fields<T> {
    const fn new(name: &'static str, expecting: &'static str) -> Self {
        Self { name, expecting, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = (T, Option<Name>, PeerOptions);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let (mut named, mut peer_group) = (None, None);
        let options = PeerOptions::deserialize(serde::de::value::MapAccessDeserializer::new(TakeOut {
            map,
            name: self.name,
            named: &mut named,
            peer_group: &mut peer_group,
        }))?;
        let named = named.ok_or_else(|| serde::de::Error::missing_field(self.name))?;
        Ok((named, peer_group, options))
    }
}

/// A map without the fields that it puts aside.
struct TakeOut<'a, A, T> {
    map: A,
    name: &'static str,
    named: &'a mut Option<T>,
    peer_group: &'a mut Option<Name>,
}

impl<'de, A: MapAccess<'de>, T: Deserialize<'de>> MapAccess<'de> for TakeOut<'_, A, T> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            let taken = [self.named.is_some(), self.peer_group.is_some()];
            let key = KeySeed { seed: &mut seed, name: self.name, taken };
            match self.map.next_key_seed(key)? {
                None => return Ok(None),
                Some(Field::Named) => *self.named = Some(self.map.next_value()?),
                Some(Field::PeerGroup) => *self.peer_group = Some(self.map.next_value()?),
                Some(Field::Other(key)) => return Ok(Some(key)),
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

enum Field<K> {
    Named,
    PeerGroup,
    Other(K),
}

/// Reads one key. Faults arise while the key is read, so that the reader knows their place.
struct KeySeed<'a, K> {
    seed: &'a mut Option<K>,
    /// The field that names the neighbour.
    name: &'static str,
    taken: [bool; 2],
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K> {
    type Value = Field<K::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeySeed<'_, K> {
    type Value = Field<K::Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        match (key, self.taken) {
            (key, [true, _]) if key == self.name => Err(E::duplicate_field(self.name)),
            ("peerGroup", [_, true]) => Err(E::duplicate_field("peerGroup")),
            (key, _) if key == self.name => Ok(Field::Named),
            ("peerGroup", _) => Ok(Field::PeerGroup),
            _ => {
                let seed = self.seed.take().expect("a seed is used once: the loop ends with it");
                seed.deserialize(StrDeserializer::new(key)).map(Field::Other)
            }
        }
    }
}
