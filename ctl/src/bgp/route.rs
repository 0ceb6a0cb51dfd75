//! `cairnctl bgp routes`.

use std::net::IpAddr;

use bgpd_api::Client;
use bgpd_api::client::{PrefixScope, RouteQuery};
use bgpd_api::config::Origin;
use bgpd_api::route::{AsSegment, Path, Route, RouteSource, Table as Rib};

use super::{RouteFilter, TableName};
use crate::Error;
use crate::output::Output;
use crate::table::{Table, age};

/// Routes that are sorted before they are printed. A longer list is printed as it comes, a piece at a time.
const SORTED: usize = 10_000;

pub(super) async fn print(
    client: &mut Client,
    table: Rib,
    filter: RouteFilter,
    output: &mut Output,
) -> Result<(), Error> {
    let query = RouteQuery {
        table,
        family: filter.family.map(Into::into),
        prefix: filter.prefix,
        scope: match (filter.longer, filter.shorter) {
            (true, _) => PrefixScope::Longer,
            (false, true) => PrefixScope::Shorter,
            (false, false) => PrefixScope::Exact,
        },
        from: filter.from,
        communities: filter.community,
        as_path: filter.as_path,
        best_only: filter.best,
    };
    let mut left = filter.limit.unwrap_or(usize::MAX);
    let mut stream = client.list_routes(query).await?;
    let mut routes: Vec<Route> = Vec::new();
    while left > 0
        && let Some(page) = stream.next().await?
    {
        let before = routes.len();
        routes.extend(page.0.into_iter().take(left));
        left -= routes.len() - before;
        if routes.len() >= SORTED {
            show(&mut routes, output)?;
        }
    }
    show(&mut routes, output)
}

/// The table that is meant by a name and a neighbour.
pub(super) fn table(name: TableName, peer: Option<IpAddr>) -> Result<Rib, Error> {
    match (name, peer) {
        (TableName::Loc, None) => Ok(Rib::LocRib),
        (TableName::All, None) => Ok(Rib::AllPaths),
        (TableName::In, Some(peer)) => Ok(Rib::AdjRibIn(peer)),
        (TableName::Out, Some(peer)) => Ok(Rib::AdjRibOut(peer)),
        (TableName::Loc | TableName::All, Some(_)) => {
            Err(Error::Answer("--peer goes with --table in or --table out; see also --from".to_owned()))
        }
        (TableName::In | TableName::Out, None) => {
            Err(Error::Answer("--table in and out need --peer".to_owned()))
        }
    }
}

fn show(routes: &mut Vec<Route>, output: &mut Output) -> Result<(), Error> {
    routes.sort_by_key(|route| route.prefix);
    if output.is_json() {
        return routes.drain(..).try_for_each(|route| output.json(&route));
    }
    if routes.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        "",
        "PREFIX",
        "NEXT HOP",
        "FROM",
        "PREF",
        "MED",
        "AGE",
        "AS PATH",
        "COMMUNITIES",
        "REMARK",
    ]);
    for route in routes.drain(..) {
        for (index, path) in route.paths.iter().enumerate() {
            let prefix = if index == 0 { route.prefix.to_string() } else { String::new() };
            table.row(row(prefix, path));
        }
    }
    table.print(output)
}

fn row(prefix: String, path: &Path) -> Vec<String> {
    let attributes = &path.attributes;
    let mark = match (path.best, path.multipath) {
        (true, _) => ">",
        (false, true) => "=",
        (false, false) => "",
    };
    let optional = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let communities: Vec<String> = attributes.communities.iter().map(ToString::to_string).collect();
    let mut remarks = Vec::new();
    let id = format!("path id {}", path.path_id);
    if path.path_id != 0 {
        remarks.push(id.as_str());
    }
    let metric = path.next_hop_metric.filter(|metric| *metric != 0).map(|metric| format!("metric {metric}"));
    remarks.extend(metric.as_deref());
    if path.stale {
        remarks.push("stale");
    }
    remarks.extend([path.refused.as_str(), path.decided_by.as_str()].iter().filter(|text| !text.is_empty()));
    vec![
        mark.to_owned(),
        prefix,
        attributes.next_hop.map_or_else(|| "self".to_owned(), |addr| addr.to_string()),
        match &path.source {
            RouteSource::Peer(peer) => peer.to_string(),
            RouteSource::Local(owner) => format!("local {owner}"),
        },
        optional(attributes.local_preference),
        optional(attributes.med),
        age(path.age),
        as_path(&attributes.as_path, attributes.origin),
        communities.join(" "),
        remarks.join("; "),
    ]
}

/// As routers write it: the ASes, then the origin as a letter.
pub(super) fn as_path(segments: &[AsSegment], origin: Origin) -> String {
    let mut words: Vec<String> = segments.iter().map(ToString::to_string).collect();
    words.push(
        match origin {
            Origin::Igp => "i",
            Origin::Egp => "e",
            Origin::Incomplete => "?",
        }
        .to_owned(),
    );
    words.join(" ")
}
