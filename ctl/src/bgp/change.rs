//! Commands that change something, and the document.

use std::net::IpAddr;
use std::path::Path;

use bgpd_api::Client;
use bgpd_api::client::SoftReset;
use bgpd_api::config::{self, OriginatedRoute};
use serde_json::json;

use super::{Originate, Way};
use crate::Error;
use crate::output::Output;

pub(super) async fn config(client: &mut Client, output: &mut Output) -> Result<(), Error> {
    let (document, source) = client.config().await?;
    if document.is_empty() {
        return Err(Error::Answer("bgpd has no configuration yet".to_owned()));
    }
    if output.is_json() {
        return output.line(document);
    }
    // Read as plain data: the marks for hidden passwords make it no valid document.
    let config: config::Config = serde_json::from_str(&document)?;
    output.line(format_args!("# from {source}"))?;
    output.line(config::to_yaml(&config).trim_end())
}

pub(super) async fn apply(
    client: &mut Client,
    file: &Path,
    dry_run: bool,
    output: &mut Output,
) -> Result<(), Error> {
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| Error::File { path: path.clone(), source })?;
    // Checked here first, so that messages name the file.
    config::load(&text, &path).map_err(|error| Error::Answer(error.to_string()))?;
    let changes = client.apply_document(text, dry_run).await?;
    if output.is_json() {
        return output.json(&json!({ "changes": changes }));
    }
    if changes.is_empty() {
        return output.line("nothing to change");
    }
    changes.iter().try_for_each(|change| output.line(change))
}

pub(super) async fn originate(client: &mut Client, wanted: Originate) -> Result<(), Error> {
    let Originate { prefixes, owner, replace, next_hop, med, local_preference, community } = wanted;
    let routes = prefixes.into_iter().map(|prefix| OriginatedRoute {
        prefix,
        next_hop,
        med,
        local_preference,
        communities: community.clone(),
    });
    Ok(client.originate(&owner, routes, replace).await?)
}

pub(super) async fn soft_reset(client: &mut Client, peer: Option<IpAddr>, way: Way) -> Result<(), Error> {
    let way = match way {
        Way::In => SoftReset::In,
        Way::Out => SoftReset::Out,
        Way::Both => SoftReset::Both,
    };
    Ok(client.soft_reset(peer, way).await?)
}
