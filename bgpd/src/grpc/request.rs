//! Checks of requests: every refusal names field, value and rule.

use std::net::IpAddr;

use bgp_core::speaker::RibKind;
use bgpd_api::config::OriginatedRoute;
use bgpd_api::convert::{self, FieldError};
use bgpd_api::proto;
use bgpd_api::route::Table;
use cairn_net::{Families, Prefix};
use tonic::Status;

use crate::daemon::{CONFIG_OWNER, Query};

/// Longest text for a peer's operator. Unit: octets. Source: RFC 9003 allows 255; older peers know RFC 8203's 128.
const MAX_TEXT: usize = 128;

#[allow(clippy::needless_pass_by_value)] // the form that `map_err` takes
fn invalid(error: FieldError) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn peer(octets: &[u8]) -> Result<IpAddr, Status> {
    convert::address("address", octets).map_err(invalid)
}

pub(super) fn optional_peer(octets: &[u8]) -> Result<Option<IpAddr>, Status> {
    convert::optional_address("address", octets).map_err(invalid)
}

pub(super) fn text(text: String) -> Result<String, Status> {
    if text.len() <= MAX_TEXT {
        Ok(text)
    } else {
        Err(Status::invalid_argument(format!("text: {} octets: at most {MAX_TEXT} (RFC 9003)", text.len())))
    }
}

pub(super) fn families(numbers: &[i32]) -> Result<Families, Status> {
    let families = convert::families(numbers).map_err(invalid)?;
    Ok(if families.is_empty() { Families::ALL } else { families })
}

pub(super) fn query(request: &proto::ListRoutesRequest) -> Result<Query, Status> {
    let read = || -> Result<Query, FieldError> {
        Ok(Query {
            rib: match Table::from_request(request.table, &request.peer)? {
                Table::AdjRibIn(peer) => RibKind::AdjRibIn(peer),
                Table::LocRib => RibKind::LocRib,
                Table::AdjRibOut(peer) => RibKind::AdjRibOut(peer),
            },
            family: convert::family(request.family)?,
            prefix: request.prefix.as_ref().map(TryInto::try_into).transpose()?,
            longer: request.longer_prefixes,
        })
    };
    read().map_err(invalid)
}

pub(super) fn owner(owner: String) -> Result<String, Status> {
    let valid = (1..=64).contains(&owner.len()) && owner.bytes().all(|byte| byte.is_ascii_graphic());
    if !valid {
        let shown: String = owner.chars().take(64).collect();
        return Err(Status::invalid_argument(format!("owner: {shown:?}: 1 to 64 printable characters")));
    }
    if owner == CONFIG_OWNER {
        return Err(Status::invalid_argument(format!(
            "owner: {owner:?}: belongs to the `originate` list of the configuration"
        )));
    }
    Ok(owner)
}

pub(super) fn routes(routes: &[proto::OriginatedRoute]) -> Result<Vec<OriginatedRoute>, Status> {
    routes.iter().map(|route| OriginatedRoute::try_from(route).map_err(invalid)).collect()
}

pub(super) fn prefixes(prefixes: &[proto::Prefix]) -> Result<Vec<Prefix>, Status> {
    prefixes.iter().map(|prefix| Prefix::try_from(prefix).map_err(invalid)).collect()
}
