//! BFD of a neighbour: the document's words as sessions.

use std::net::IpAddr;

use bfd_core::{Authentication, AuthenticationKind, Hops, Key, SessionConfig};
use bgp_core::speaker::BfdConfig;
use bgpd_api::config::{Bfd, BfdAuthentication, BfdAuthenticationType, PeerOptions};

use super::SettingsError;
use crate::bfd::Session;

/// What the speaker needs to know.
pub(super) fn of_peer(bfd: Option<&Bfd>) -> Option<BfdConfig> {
    let bfd = bfd.filter(|bfd| bfd.enabled.unwrap_or(true))?;
    Some(BfdConfig { strict: bfd.strict.unwrap_or(false) })
}

/// The session with a neighbour, which may be that of an interface, if there is to be one. Reads the password file.
pub(super) fn session(
    neighbor: IpAddr,
    interface: Option<u32>,
    options: &PeerOptions,
) -> Result<Option<Session>, SettingsError> {
    let up = options.enabled.unwrap_or(true);
    let Some(bfd) = options.bfd.as_ref().filter(|bfd| up && bfd.enabled.unwrap_or(true)) else {
        return Ok(None);
    };
    let default = SessionConfig::default();
    let far = options.ebgp_multihop.is_some() || options.ttl_security_hops.is_some_and(|hops| hops > 1);
    let hops = if bfd.multihop.unwrap_or(far) { Hops::Multi } else { Hops::Single };
    // A packet that has gone through h - 1 routers has 255 - (h - 1) left.
    let by_gtsm = options.ttl_security_hops.map(|hops| u8::MAX - hops.saturating_sub(1));
    let config = SessionConfig {
        desired_min_tx: bfd.min_tx_interval.unwrap_or(default.desired_min_tx),
        required_min_rx: bfd.min_rx_interval.unwrap_or(default.required_min_rx),
        detect_mult: bfd.multiplier.unwrap_or(default.detect_mult),
        passive: bfd.passive.unwrap_or(default.passive),
        min_ttl: bfd.min_ttl.or(by_gtsm).unwrap_or(default.min_ttl),
        authentication: bfd.authentication.as_ref().map(|with| authentication(neighbor, with)).transpose()?,
    };
    let key = Key { local: options.local_address, interface, ..Key::new(neighbor, hops) };
    // The interface's index says as much of its neighbour.
    let device = options.bind_interface.clone().filter(|_| interface.is_none());
    Ok(Some(Session { key, config, device }))
}

fn authentication(neighbor: IpAddr, with: &BfdAuthentication) -> Result<Authentication, SettingsError> {
    let kind = match with.kind {
        BfdAuthenticationType::Simple => AuthenticationKind::SimplePassword,
        BfdAuthenticationType::KeyedSha1 => AuthenticationKind::KeyedSha1,
        BfdAuthenticationType::MeticulousKeyedSha1 => AuthenticationKind::MeticulousKeyedSha1,
    };
    let path = with.password_file.clone().unwrap_or_default();
    let text = match (&with.password, &with.password_file) {
        // The document is valid, so there is one of the two.
        (Some(password), _) => password.expose().to_owned(),
        (None, Some(path)) => super::key::read_secret(path).map_err(|source| {
            SettingsError::PasswordFile { neighbor: neighbor.to_string(), path: path.clone(), source }
        })?,
        (None, None) => String::new(),
    };
    let (len, max) = (text.len(), kind.max_secret());
    Authentication::new(kind, with.key_id, text.as_bytes()).ok_or(SettingsError::BfdPasswordLength {
        neighbor,
        path,
        len,
        max,
    })
}
