//! Filters of a file on a route given by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use bgp_core::policy::{Decider, NextHopSetting, Verdict};
use bgp_core::wire::Attributes;
use bgpd_api::config::{
    Community, Config, Origin, PeerOptions, PeerType, RouteSource, TestRoute, load, load_policies, load_route,
};
use bgpd_api::policy::Statement;
use bgpd_policy::{Compiled, Trial};
use cairn_net::{Asn, Prefix};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Fields, Test, asked, changes, decided, read};
use crate::Error;
use crate::output::Output;

#[derive(Args)]
#[group(id = "given-route", multiple = true)]
pub(super) struct RouteFlags {
    /// The route as a YAML file: prefix, nextHop, asPath, origin, med, localPreference, communities, tag, source, peer, peerType.
    #[arg(long, value_name = "FILE", conflicts_with = "prefix")]
    route: Option<PathBuf>,
    /// The route's prefix.
    #[arg(long)]
    prefix: Option<Prefix>,
    /// Its next hop.
    #[arg(long)]
    next_hop: Option<IpAddr>,
    /// Its AS path, the nearest AS first: 65001,65002.
    #[arg(long, value_delimiter = ',')]
    as_path: Vec<Asn>,
    /// Its origin.
    #[arg(long, value_enum)]
    origin: Option<OriginName>,
    /// MULTI_EXIT_DISC.
    #[arg(long)]
    med: Option<u32>,
    /// LOCAL_PREF.
    #[arg(long)]
    local_preference: Option<u32>,
    /// A community of any kind. May be given several times.
    #[arg(long)]
    community: Vec<Community>,
    /// The tag that an import filter set.
    #[arg(long, default_value_t = 0)]
    tag: u32,
    /// Where it was learned.
    #[arg(long, value_enum)]
    source: Option<SourceName>,
    /// The neighbor whose policy this is.
    #[arg(long)]
    peer: Option<IpAddr>,
    /// What that neighbor is.
    #[arg(long, value_enum)]
    peer_type: Option<PeerName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OriginName {
    Igp,
    Egp,
    Incomplete,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SourceName {
    Local,
    Ebgp,
    Ibgp,
    Client,
    Confederation,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PeerName {
    Ebgp,
    Ibgp,
    Client,
    Confederation,
}

impl RouteFlags {
    fn test_route(&self) -> Result<TestRoute, Error> {
        if let Some(file) = &self.route {
            let text = read(file)?;
            return load_route(&text, &file.display().to_string())
                .map_err(|error| Error::Answer(error.to_string()));
        }
        let prefix = self.prefix.ok_or_else(|| {
            Error::Answer(
                "a route is needed: --prefix or --route FILE, or a neighbor with --neighbor".to_owned(),
            )
        })?;
        Ok(TestRoute {
            prefix,
            next_hop: self.next_hop,
            as_path: self.as_path.clone(),
            origin: self.origin.map(|origin| match origin {
                OriginName::Igp => Origin::Igp,
                OriginName::Egp => Origin::Egp,
                OriginName::Incomplete => Origin::Incomplete,
            }),
            med: self.med,
            local_preference: self.local_preference,
            communities: self.community.clone(),
            tag: self.tag,
            source: self.source.map(|source| match source {
                SourceName::Local => RouteSource::Local,
                SourceName::Ebgp => RouteSource::Ebgp,
                SourceName::Ibgp => RouteSource::Ibgp,
                SourceName::Client => RouteSource::Client,
                SourceName::Confederation => RouteSource::Confederation,
            }),
            peer: self.peer,
            peer_type: self.peer_type.map(|kind| match kind {
                PeerName::Ebgp => PeerType::Ebgp,
                PeerName::Ibgp => PeerType::Ibgp,
                PeerName::Client => PeerType::Client,
                PeerName::Confederation => PeerType::Confederation,
            }),
        })
    }
}

/// The AS that a file without `localAs` is read with: one for documentation (RFC 5398).
const DOCUMENTATION_AS: Asn = Asn(64496);

pub(super) fn run(test: &Test, output: &mut Output) -> Result<(), Error> {
    let refused = |error: bgpd_api::config::ConfigError| Error::Answer(error.to_string());
    let policies = load_policies(&read(&test.file)?, &test.file.display().to_string()).map_err(refused)?;
    let built_in = |name: &str| matches!(name, "accept-all" | "reject-all");
    if let Some(name) =
        test.filters.iter().find(|name| !policies.filters.contains_key(name) && !built_in(name.as_str()))
    {
        let known = policies.filters.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Error::Answer(format!(
            "--filter: {name}: no such filter is in the file; there are: {known}"
        )));
    }
    let compiled = Compiled::new(&policies, policies.local_as.unwrap_or(DOCUMENTATION_AS));
    let policy = compiled.chain(&test.chain());
    let route = test.route.test_route()?;
    let (prefix, next_hop) = (route.prefix, route.next_hop);
    let trial = match test.direction {
        None => Trial::new(route),
        Some(way) => {
            let (options, config) = neighbor(test, route.peer)?;
            Trial::with(route, &options, &config, way.into())
        }
    };
    let (verdict, steps) = trial.run(&policy);
    let before =
        fields(trial.attributes(), next_hop.map_or_else(|| "self".to_owned(), |addr| addr.to_string()));
    let (accepted, decider, after) = match &verdict {
        Verdict::Reject(decider) => (false, *decider, None),
        Verdict::Accept(accepted) => {
            let hop = next_hop_after(accepted.next_hop, &before);
            let sent = trial.sent(accepted.attributes.clone().into_owned());
            (true, accepted.decider, Some(fields(&sent, hop)))
        }
    };
    // Refused before any filter is asked.
    let reason = trial.refused().map(|reason| reason.to_string()).unwrap_or_default();
    let refused = !reason.is_empty();
    let (accepted, after) = (accepted && !refused, after.filter(|_| !refused));
    let (steps, decider) = (if refused { Vec::new() } else { steps }, (!refused).then(|| statement(decider)));
    if output.is_json() {
        let map = |fields: &Fields| {
            fields.iter().map(|(name, value)| (key(name), value.clone())).collect::<BTreeMap<_, _>>()
        };
        let steps: Vec<_> = steps
            .iter()
            .map(|step| json!({"statement": statement(step.statement), "depth": step.depth, "matched": step.matched}))
            .collect();
        return output.json(&json!({
            "prefix": prefix, "accepted": accepted, "decider": decider, "steps": steps,
            "before": map(&before), "after": after.as_ref().map(map), "reason": reason,
        }));
    }
    output.line(prefix)?;
    for step in &steps {
        asked(
            &statement(step.statement),
            u32::try_from(step.depth).unwrap_or(u32::MAX),
            step.matched,
            output,
        )?;
    }
    decided(if accepted { "accepted" } else { "rejected" }, decider.as_ref(), &reason, output)?;
    after.map_or(Ok(()), |after| changes(&before, &after, output))
}

/// The options of the file's neighbor that is tried, and the file.
fn neighbor(test: &Test, peer: Option<IpAddr>) -> Result<(PeerOptions, Config), Error> {
    let answer = |text: String| Error::Answer(text);
    let peer =
        peer.ok_or_else(|| answer("--direction: needs --neighbor, or --peer with a given route".to_owned()))?;
    let config = load(&read(&test.file)?, &test.file.display().to_string())
        .map_err(|error| answer(error.to_string()))?;
    let found = config.neighbors.iter().find(|neighbor| neighbor.address == peer);
    let ranges = config.listen_ranges.iter().filter(|range| range.prefix.contains(peer));
    let options = found.map(|neighbor| config.options_of(neighbor)).or_else(|| {
        let range = ranges.max_by_key(|range| range.prefix.len())?;
        Some(config.options_of_range(range))
    });
    let options = options.ok_or_else(|| answer(format!("--peer {peer}: is no neighbor of the file")))?;
    Ok((options, config))
}

/// A field's name as other objects have it.
fn key(name: &str) -> &str {
    match name {
        "AS path" => "asPath",
        "local preference" => "localPreference",
        "MED" => "med",
        "next hop" => "nextHop",
        other => other,
    }
}

fn next_hop_after(setting: Option<NextHopSetting>, before: &Fields) -> String {
    match setting {
        None | Some(NextHopSetting::Unchanged) => {
            before.first().map(|(_, hop)| hop.clone()).unwrap_or_default()
        }
        Some(NextHopSetting::OwnAddress) => "self".to_owned(),
        Some(NextHopSetting::PeerAddress) => "peer".to_owned(),
        Some(NextHopSetting::Address(addr)) => addr.to_string(),
    }
}

fn statement(decider: Decider<'_>) -> Statement {
    Statement {
        filter: decider.filter.unwrap_or_default().to_owned(),
        rule: decider.rule.map_or(0, |place| u32::try_from(place + 1).unwrap_or(u32::MAX)),
        name: decider.name.unwrap_or_default().to_owned(),
    }
}

fn fields(attributes: &Attributes, next_hop: String) -> Fields {
    let number = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
    let kinds = [
        attributes.communities.to_string(),
        attributes.large_communities.to_string(),
        attributes.extended_communities.to_string(),
    ];
    let communities: Vec<String> = kinds.into_iter().filter(|text| !text.is_empty()).collect();
    vec![
        ("next hop", next_hop),
        ("AS path", attributes.as_path.to_string()),
        ("origin", attributes.origin.to_string()),
        ("MED", number(attributes.med)),
        ("local preference", number(attributes.local_pref)),
        ("communities", communities.join(" ")),
        ("weight", attributes.marks.weight.to_string()),
        ("tag", attributes.marks.tag.to_string()),
    ]
}
