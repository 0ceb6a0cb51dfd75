//! Checks of requests: every refusal names field, value and rule.

use std::net::IpAddr;

use bgp_core::policy::AsPathMatch;
use bgp_core::speaker::{PrefixMatch, RibKind};
use bgpd_api::config::{Community, OriginatedRoute};
use bgpd_api::convert::{self, FieldError};
use bgpd_api::proto;
use bgpd_api::route::Table;
use bgpd_policy::ByKind;
use cairn_net::{Families, Prefix};
use tonic::Status;

use crate::daemon::{CONFIG_OWNER, Query};

/// Longest text for a peer's operator. Unit: octets. Source: RFC 9003 section 2. Who knows only RFC 8203 may show nothing of more than 128.
const MAX_TEXT: usize = 255;

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
        let communities = communities(&request.communities)?;
        let as_path = as_path(request.as_path.as_deref())?;
        Ok(Query {
            rib: match Table::from_request(request.table, &request.peer)? {
                Table::AdjRibIn(peer) => RibKind::AdjRibIn(peer),
                Table::LocRib => RibKind::LocRib,
                Table::AllPaths => RibKind::AllPaths,
                Table::AdjRibOut(peer) => RibKind::AdjRibOut(peer),
            },
            prefix: prefix_match(request)?,
            family: convert::family(request.family)?,
            from: convert::optional_address("from", &request.from)?,
            communities: communities.standard,
            large_communities: communities.large,
            extended_communities: communities.extended,
            as_path,
            best_only: request.best_only,
        })
    };
    read().map_err(invalid)
}

fn prefix_match(request: &proto::ListRoutesRequest) -> Result<PrefixMatch, FieldError> {
    let prefix = request.prefix.as_ref().map(Prefix::try_from).transpose()?;
    match (prefix, request.longer_prefixes, request.shorter_prefixes) {
        (None, false, false) => Ok(PrefixMatch::Any),
        (None, ..) => Err(FieldError::new("prefix", "", "is required for longer and shorter prefixes")),
        (Some(prefix), false, false) => Ok(PrefixMatch::Exact(prefix)),
        (Some(prefix), true, false) => Ok(PrefixMatch::Longer(prefix)),
        (Some(prefix), false, true) => Ok(PrefixMatch::Shorter(prefix)),
        (Some(_), true, true) => {
            Err(FieldError::new("shorter_prefixes", true, "does not go together with longer_prefixes"))
        }
    }
}

fn communities(texts: &[String]) -> Result<ByKind, FieldError> {
    let parse = |text: &String| {
        text.parse::<Community>().map_err(|_| {
            FieldError::new("communities", text, "must be such as 65000:100, 65000:1:2 or no-export")
        })
    };
    Ok(bgpd_policy::split(&texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?))
}

fn as_path(text: Option<&str>) -> Result<Option<AsPathMatch>, FieldError> {
    let parse = |text: &str| {
        let pattern = text
            .parse()
            .map_err(|_| FieldError::new("as_path", text, "must be AS numbers, ranges, ? and *"))?;
        Ok(bgpd_policy::as_path(&pattern))
    };
    text.map(parse).transpose()
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
