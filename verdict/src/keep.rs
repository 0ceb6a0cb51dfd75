//! Follows everything that is judged, and writes what is not said yet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cairn_api::core::{Node, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, EgressGateway, IpPool, IpReservation, NodeConfiguration,
};
use cairn_api::{Condition, Draft, Kind, Object, Timestamp};
use cairn_datastore::{Backoff, Datastore, Known, Query, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::followed::Followed;
use crate::judge::{Cluster, NodeFacts, Reason, Verdict, judge};
use crate::status::{Says, wanted};

/// Changes that come together are judged together: all objects are looked at, once in this time at the most.
const SETTLE: Duration = Duration::from_secs(1);
/// How long one of several writers leaves it to each one before it, and the longest that it does.
const TURN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Who judges.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the Secrets are that passwords are looked up in.
    pub secret_namespace: String,
    /// Where the objects are.
    pub place: Place,
}

/// Where objects are, and so who judges them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Behind an API server: one judges for all, and says of each object whether it is accepted.
    Cluster,
    /// In a directory: every node judges, in the order of their names, and writes to files of people only what is wrong.
    Directory {
        /// The node.
        node: String,
    },
}

impl Place {
    const fn says(&self) -> Says {
        match self {
            Self::Cluster => Says::Everything,
            Self::Directory { .. } => Says::Faults,
        }
    }
}

/// What is said of all objects, for whoever tells it on.
#[derive(Debug, Clone, Default)]
pub struct Spoken {
    /// The objects that are judged.
    pub objects: Vec<Told>,
    /// All nodes by name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// The first BGPPeer by name of each address.
    pub peers: BTreeMap<IpAddr, String>,
}

/// What is said of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its kind.
    pub kind: &'static str,
    /// Its `apiVersion`.
    pub api_version: &'static str,
    /// Its name.
    pub name: String,
    /// So that another one of its name is not meant.
    pub uid: String,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// The reasons of all that speaks against it: its condition has the word of the first alone.
    pub reasons: Vec<Reason>,
}

/// Keeps the conditions true, and shows what is said to whoever looks. Ends only if the store is closed.
pub async fn keep<D: Datastore>(store: &D, options: &Options, spoken: &watch::Sender<Arc<Spoken>>) {
    let mut all = All::new(store, &options.secret_namespace);
    let mut backoff = Backoff::default();
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            open = all.follow() => {
                if !open {
                    return;
                }
                if all.listed() && due.is_none() {
                    due = Some(Instant::now() + all.turn(&options.place));
                }
            }
            () = at(due) => {
                due = None;
                let cluster = all.cluster(store, &options.place).await;
                let verdict = judge(&cluster);
                spoken.send_replace(Arc::new(all.spoken(&cluster, &verdict)));
                if all.write(store, &verdict, options.place.says(), backoff.is_failing()).await {
                    backoff.succeeded();
                } else {
                    due = Some(Instant::now() + backoff.failed());
                }
            }
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

struct All {
    nodes: Followed<Node>,
    secrets: Followed<Secret>,
    pools: Followed<Draft<IpPool>>,
    reservations: Followed<Draft<IpReservation>>,
    bgp: Followed<Draft<BgpConfiguration>>,
    peers: Followed<Draft<BgpPeer>>,
    filters: Followed<Draft<BgpFilter>>,
    configurations: Followed<Draft<NodeConfiguration>>,
    gateways: Followed<Draft<EgressGateway>>,
}

/// Does the same with each kind that is judged.
macro_rules! each {
    ($all:expr, $kind:ident => $do:expr) => {{
        {
            let $kind = &$all.pools;
            $do
        }
        {
            let $kind = &$all.reservations;
            $do
        }
        {
            let $kind = &$all.bgp;
            $do
        }
        {
            let $kind = &$all.peers;
            $do
        }
        {
            let $kind = &$all.filters;
            $do
        }
        {
            let $kind = &$all.configurations;
            $do
        }
        {
            let $kind = &$all.gateways;
            $do
        }
    }};
}

impl All {
    fn new(store: &impl Datastore, secret_namespace: &str) -> Self {
        let secrets = Query { namespace: Some(secret_namespace.to_owned()), ..Query::all() };
        Self {
            nodes: Followed::new(store, Query::all()),
            secrets: Followed::new(store, secrets),
            pools: Followed::new(store, Query::all()),
            reservations: Followed::new(store, Query::all()),
            bgp: Followed::new(store, Query::all()),
            peers: Followed::new(store, Query::all()),
            filters: Followed::new(store, Query::all()),
            configurations: Followed::new(store, Query::all()),
            gateways: Followed::new(store, Query::all()),
        }
    }

    /// Waits for news; false once the store is closed. Safe to drop and call again.
    async fn follow(&mut self) -> bool {
        tokio::select! {
            open = self.nodes.follow() => open,
            open = self.secrets.follow() => open,
            open = self.pools.follow() => open,
            open = self.reservations.follow() => open,
            open = self.bgp.follow() => open,
            open = self.peers.follow() => open,
            open = self.filters.follow() => open,
            open = self.configurations.follow() => open,
            open = self.gateways.follow() => open,
        }
    }

    /// Was everything told once? Before that nothing is missing.
    fn listed(&self) -> bool {
        let mut listed = self.nodes.known.listed && self.secrets.known.listed;
        each!(self, kind => listed &= kind.known.listed);
        listed
    }

    /// When it is this one's turn.
    fn turn(&self, place: &Place) -> Duration {
        let before = match place {
            Place::Cluster => 0,
            Place::Directory { node } => {
                self.nodes.known.objects.keys().take_while(|name| *name < node).count()
            }
        };
        let wait = TURN.saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
        SETTLE + wait.min(LONGEST)
    }

    async fn cluster(&self, store: &impl Datastore, place: &Place) -> Cluster {
        let files = matches!(place, Place::Directory { .. }).then_some(store);
        let pools = self.pools.read(files).await;
        let unread =
            self.pools.known.objects.values().filter(|draft| matches!(pools.get(draft.name()), Some(Err(_))));
        let unread_ranges = unread.filter_map(|draft| draft.spec.range()).collect();
        Cluster {
            nodes: self
                .nodes
                .known
                .objects
                .iter()
                .map(|(name, node)| (name.clone(), NodeFacts::of(node)))
                .collect(),
            secrets: self.secrets.known.objects.clone(),
            pools,
            unread_ranges,
            reservations: self.reservations.read(files).await,
            bgp: self.bgp.read(files).await,
            peers: self.peers.read(files).await,
            filters: self.filters.read(files).await,
            configurations: self.configurations.read(files).await,
            gateways: self.gateways.read(files).await,
        }
    }

    fn spoken(&self, cluster: &Cluster, verdict: &Verdict) -> Spoken {
        let mut objects = Vec::new();
        each!(self, kind => objects.extend(kind.known.objects.values().map(|object| told(object, verdict))));
        let mut peers = BTreeMap::new();
        for (name, peer) in &cluster.peers {
            if let Some(address) = peer.as_ref().ok().and_then(|peer| peer.spec.peer_ip) {
                peers.entry(address.addr).or_insert_with(|| name.clone());
            }
        }
        Spoken { objects, nodes: cluster.nodes.clone(), peers }
    }

    /// Writes what is not said yet; false if something of it could not be written.
    /// `failing`: it was so before, and has been told of.
    async fn write(&self, store: &impl Datastore, verdict: &Verdict, says: Says, failing: bool) -> bool {
        let now: Timestamp = SystemTime::now().into();
        let mut complete = true;
        each!(self, kind => {
            complete &= write(store, &kind.known, verdict, says, now, failing || !complete).await;
        });
        complete
    }
}

fn told<K: Kind>(object: &Object<Draft<K>>, verdict: &Verdict) -> Told {
    Told {
        kind: K::KIND,
        api_version: K::API_VERSION,
        name: object.name().to_owned(),
        uid: object.metadata.uid.clone(),
        conditions: object.conditions().to_vec(),
        reasons: verdict.of::<K>(object.name()).iter().map(|objection| objection.reason).collect(),
    }
}

/// A conflict is no failure: its writer is told of, and what is missing then is written after that.
async fn write<K: Kind>(
    store: &impl Datastore,
    known: &Known<Draft<K>>,
    verdict: &Verdict,
    says: Says,
    now: Timestamp,
    quiet: bool,
) -> bool {
    let mut complete = true;
    for object in known.objects.values() {
        let objections = verdict.of::<K>(object.name());
        let Some(status) = wanted(object, objections, says, now) else { continue };
        let (kind, name) = (K::KIND, object.name());
        match store.update_status(&Object { status: Some(status), ..(**object).clone() }).await {
            Ok(_) => match objections.first() {
                Some(first) => {
                    info!(kind, name, reason = first.reason.as_str(), "not accepted: {}", first.message);
                }
                None => debug!(kind, name, "accepted"),
            },
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => {}
            // To ask again would change nothing; with the object it changes.
            Err(error) if !error.is_temporary() => warn!(kind, name, %error, "the condition is refused"),
            Err(error) if complete && !quiet => {
                warn!(kind, name, %error, "conditions are not written; they are tried again");
                complete = false;
            }
            Err(error) => {
                debug!(kind, name, %error, "the condition is not written");
                complete = false;
            }
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use cairn_api::{ConditionStatus, Metadata};
    use cairn_datastore::{Fault, Key, MemoryStore};
    use serde_json::{Value, json};

    use super::*;
    use crate::status::ACCEPTED;

    async fn create<K: Kind>(store: &MemoryStore, name: &str, spec: Value) {
        store.create(&Object::new(Metadata::named(name), Draft::<K>::new(spec))).await.unwrap();
    }

    async fn said<K: Kind>(store: &MemoryStore, name: &str) -> Option<(ConditionStatus, String)> {
        tokio::time::sleep(LONGEST * 2).await;
        let object = store.get::<Draft<K>>(&Key::named(name)).await.unwrap();
        let found = object.conditions().iter().find(|condition| condition.kind == ACCEPTED)?;
        Some((found.status, found.reason.clone()))
    }

    fn start(store: &MemoryStore, place: Place) -> watch::Receiver<Arc<Spoken>> {
        let (sender, seen) = watch::channel(Arc::default());
        let options = Options { secret_namespace: "cairn-system".to_owned(), place };
        let store = store.clone();
        tokio::spawn(async move { keep(&store, &options, &sender).await });
        seen
    }

    fn peer(filter: &str) -> Value {
        json!({ "peerIP": "192.0.2.254", "asNumber": 65001, "filters": [filter] })
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_judged_as_they_come_and_as_what_they_name_comes_and_goes() {
        let store = MemoryStore::new();
        create::<BgpPeer>(&store, "tor", peer("to-tor")).await;
        create::<IpPool>(&store, "bad", json!({ "cidr": "10.0.0.0/16", "nodeSelector": "rack =" })).await;
        create::<IpPool>(&store, "good", json!({ "cidr": "10.1.0.0/16" })).await;
        let seen = start(&store, Place::Cluster);
        let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
        assert_eq!(said::<BgpPeer>(&store, "tor").await, Some((no, "FilterMissing".to_owned())));
        assert_eq!(said::<IpPool>(&store, "bad").await, Some((no, "Invalid".to_owned())));
        assert_eq!(said::<IpPool>(&store, "good").await, Some((yes, "OK".to_owned())));
        create::<BgpFilter>(&store, "to-tor", json!({})).await;
        assert_eq!(said::<BgpPeer>(&store, "tor").await, Some((yes, "OK".to_owned())));
        let spoken = seen.borrow().clone();
        let mut told: Vec<_> =
            spoken.objects.iter().map(|told| (told.kind, told.conditions[0].status)).collect();
        told.sort_by_key(|(kind, status)| (*kind, *status == yes));
        assert_eq!(told, [("BGPFilter", yes), ("BGPPeer", yes), ("IPPool", no), ("IPPool", yes)]);
        let bad = spoken.objects.iter().find(|told| told.name == "bad").unwrap();
        assert_eq!(bad.reasons, [Reason::Invalid]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_rest_nothing_is_written_and_what_failed_is_tried_again() {
        let store = MemoryStore::new();
        create::<BgpPeer>(&store, "tor", peer("to-tor")).await;
        store.set_hook(|operation| if operation.verb == "update_status" { Fault::Lost } else { Fault::None });
        let _seen = start(&store, Place::Cluster);
        assert_eq!(said::<BgpPeer>(&store, "tor").await, None);
        store.set_hook(|_| Fault::None);
        assert!(said::<BgpPeer>(&store, "tor").await.is_some());
        let version =
            async || store.get::<Draft<BgpPeer>>(&Key::named("tor")).await.unwrap().metadata.resource_version;
        let before = version().await;
        assert!(said::<BgpPeer>(&store, "tor").await.is_some());
        assert_eq!(version().await, before);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_nodes_the_next_one_steps_in_and_files_without_fault_stay_as_they_are() {
        let store = MemoryStore::new();
        for name in ["n1", "n2", "n3"] {
            store.create(&Object::new(Metadata::named(name), Node::default())).await.unwrap();
        }
        create::<BgpPeer>(&store, "tor", peer("to-tor")).await;
        create::<IpPool>(&store, "good", json!({ "cidr": "10.1.0.0/16" })).await;
        let began = Instant::now();
        let _seen = ["n2", "n3"].map(|node| start(&store, Place::Directory { node: node.to_owned() }));
        let mut all = Followed::<Draft<BgpPeer>>::new(&store, Query::all());
        while all.known.objects.get("tor").is_none_or(|tor| tor.conditions().is_empty()) {
            assert!(all.follow().await);
        }
        assert!(began.elapsed() >= SETTLE + TURN, "n1 was given its turn");
        assert_eq!(said::<IpPool>(&store, "good").await, None);
        let tor = store.get::<Draft<BgpPeer>>(&Key::named("tor")).await.unwrap();
        assert_eq!(
            tor.metadata.resource_version, all.known.objects["tor"].metadata.resource_version,
            "written once"
        );
    }

    #[tokio::test]
    async fn in_a_directory_files_say_more_than_drafts_and_keep_their_text() {
        let root = tempfile::tempdir().unwrap();
        let peers = root.path().join("bgppeers");
        std::fs::create_dir_all(&peers).unwrap();
        let head = format!("apiVersion: {}\nkind: BGPPeer\n", cairn_api::GROUP_VERSION);
        let write = |name: &str, spec: &str| {
            let text = format!("{head}metadata: {{name: {name}}}\n# Why it is so.\nspec: {spec}\n");
            std::fs::write(peers.join(format!("{name}.yaml")), &text).unwrap();
            text
        };
        let bad = write("bad", "{peerIP: 192.0.2.254, asNumber: 65001, nodeSelector: \"rack = 'a'\"}");
        // A name without quotes is a number to whoever does not know that it is a name.
        let good = write("good", "{interface: 100, asNumber: external}");
        let store = cairn_datastore::DirectoryStore::new(root.path());
        let (sender, _seen) = watch::channel(Arc::default());
        let options = Options {
            secret_namespace: "cairn-system".to_owned(),
            place: Place::Directory { node: "n1".to_owned() },
        };
        let keeping = tokio::spawn({
            let store = store.clone();
            async move { keep(&store, &options, &sender).await }
        });
        let said = async {
            loop {
                let text = std::fs::read_to_string(peers.join("bad.yaml")).unwrap();
                if text != bad {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let text = tokio::time::timeout(Duration::from_secs(30), said).await.unwrap();
        assert!(text.starts_with(&bad) && text.contains("reason: Invalid"), "{text}");
        assert!(text.contains("spec.nodeSelector") && text.contains("rack = 'a'"), "{text}");
        assert_eq!(std::fs::read_to_string(peers.join("good.yaml")).unwrap(), good);
        keeping.abort();
    }
}
