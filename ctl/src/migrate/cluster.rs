//! Reading Calico's objects, and those of Kubernetes on which people write its annotations, from an API server.

use cairn_datastore::{Access, Foreign, KubeStore, StoreError, StoreUrl};
use serde_json::Value;

use super::calico::{Note, Outcome};
use crate::Error;

/// What Calico's kinds are called as a cluster stores them, and as Calico's own API has them: served by Calico, or stored so by later releases.
const CALICO: [(&str, &str); 12] = [
    ("ippools", "ippools"),
    ("ipamconfigs", "ipamconfigurations"),
    ("ipreservations", "ipreservations"),
    ("ipamblocks", "ipamblocks"),
    ("blockaffinities", "blockaffinities"),
    ("ipamhandles", "ipamhandles"),
    ("bgpconfigurations", "bgpconfigurations"),
    ("bgppeers", "bgppeers"),
    ("bgpfilters", "bgpfilters"),
    ("felixconfigurations", "felixconfigurations"),
    ("globalnetworkpolicies", "globalnetworkpolicies"),
    ("networkpolicies", "networkpolicies"),
];
const STORED: &str = "crd.projectcalico.org/v1";
const SERVED: &str = "projectcalico.org/v3";

/// What every cluster has.
const KUBERNETES: [Foreign; 6] = [
    Foreign { api_version: "v1", plural: "nodes" },
    Foreign { api_version: "v1", plural: "namespaces" },
    Foreign { api_version: "apps/v1", plural: "deployments" },
    Foreign { api_version: "apps/v1", plural: "statefulsets" },
    Foreign { api_version: "apps/v1", plural: "daemonsets" },
    Foreign { api_version: "networking.k8s.io/v1", plural: "networkpolicies" },
];

/// The value of `--from`.
pub(super) fn access(text: &str) -> Result<Access, String> {
    match text.parse::<StoreUrl>()? {
        StoreUrl::Kubernetes(access) => Ok(access),
        StoreUrl::Directory(_) => Err("must be kubeconfig: and an absolute path, or kubernetes".to_owned()),
    }
}

/// All objects of the cluster, and a finding for each kind that it does not have.
pub(super) async fn read(access: &Access) -> Result<(Vec<Value>, Vec<Note>), Error> {
    let store = KubeStore::connect(access).await?;
    read_by(async |kind| store.list_foreign(kind).await).await
}

/// The same, by whatever lists a kind, or says that there is none.
async fn read_by(
    list: impl AsyncFn(Foreign) -> Result<Option<Vec<Value>>, StoreError>,
) -> Result<(Vec<Value>, Vec<Note>), Error> {
    let (mut documents, mut absent) = (Vec::new(), Vec::new());
    for (stored, served) in CALICO {
        let stored = Foreign { api_version: STORED, plural: stored };
        let found = match list(stored).await? {
            Some(found) => Some(found),
            None => list(Foreign { api_version: SERVED, plural: served }).await?,
        };
        match found {
            Some(found) => documents.extend(found),
            None => absent.push(missing(stored)),
        }
    }
    if absent.len() == CALICO.len() {
        return Err(Error::Answer(format!(
            "the API server has no kind of {STORED} and none of {SERVED}: is Calico in this cluster?"
        )));
    }
    for kind in KUBERNETES {
        match list(kind).await? {
            Some(found) => documents.extend(found),
            None => absent.push(missing(kind)),
        }
    }
    Ok((documents, absent))
}

fn missing(kind: Foreign) -> Note {
    let (group, _) = kind.api_version.rsplit_once('/').unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    Note {
        outcome: Outcome::Dropped,
        object: format!("{}{dot}{group}", kind.plural),
        field: String::new(),
        value: String::new(),
        rule: "the API server has no such kind: none of it was read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    type Kinds = BTreeMap<(&'static str, &'static str), &'static str>;

    /// Reads from a server that has these kinds, of each one object of this name.
    async fn read_of(kinds: &Kinds) -> Result<(Vec<Value>, Vec<Note>), Error> {
        read_by(async |kind: Foreign| {
            let found = kinds.get(&(kind.api_version, kind.plural));
            Ok(found.map(|name| vec![json!({ "metadata": { "name": name } })]))
        })
        .await
    }

    fn names(documents: &[Value]) -> Vec<&str> {
        documents.iter().filter_map(|document| document["metadata"]["name"].as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_stored_counts_and_what_calico_serves_stands_in_for_it() {
        let kinds = Kinds::from([
            ((STORED, "ippools"), "stored"),
            ((SERVED, "ippools"), "served"),
            ((SERVED, "ipamconfigurations"), "config"),
            (("v1", "nodes"), "n1"),
        ]);
        let (documents, absent) = read_of(&kinds).await.unwrap();
        assert_eq!(names(&documents), ["stored", "config", "n1"]);
        assert_eq!(absent.len(), CALICO.len() - 2 + KUBERNETES.len() - 1);
        let said = |object: &str| {
            absent.iter().any(|note| note.object == object && note.outcome == Outcome::Dropped)
        };
        assert!(said("ipamblocks.crd.projectcalico.org") && said("namespaces") && said("daemonsets.apps"));
        assert!(!said("ipamconfigs.crd.projectcalico.org"));
    }

    #[tokio::test]
    async fn a_cluster_without_calico_is_no_empty_one() {
        let error = read_of(&Kinds::from([(("v1", "nodes"), "n1")])).await.unwrap_err().to_string();
        assert!(error.contains("is Calico in this cluster?"), "{error}");
    }

    #[tokio::test]
    async fn a_kind_that_cannot_be_read_is_an_error() {
        let read = read_by(async |kind: Foreign| {
            if kind.plural != "ipamblocks" {
                return Ok(Some(Vec::new()));
            }
            Err(StoreError::Unavailable { kind: kind.plural, reason: "not allowed".to_owned() })
        });
        let error = read.await.unwrap_err().to_string();
        assert!(error.contains("ipamblocks") && error.contains("not allowed"), "{error}");
    }

    #[test]
    fn a_cluster_is_no_directory() {
        assert_eq!(access("kubernetes"), Ok(Access::InCluster));
        assert_eq!(access("kubeconfig:/a"), Ok(Access::Kubeconfig("/a".into())));
        assert!(access("dir:/a").is_err() && access("kubeconfig:a").is_err());
    }
}
