use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cairn_api::Object;
use cairn_api::core::{Namespace, Node, Pod, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressMembers, IpPool,
    NodeConfiguration, WireguardPeer,
};
use cairn_datastore::{Datastore, Event, Query, Watch};
use felix_core::Update;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::kind::Watched;
use super::unread::Unread;

/// Events that may wait for the engine; after that the store waits.
const QUEUE: usize = 64;

/// What a watch tells the engine.
#[derive(Debug)]
pub(crate) enum FeedEvent {
    /// Facts.
    Facts(Vec<Update>),
    /// Objects of a kind that cannot be read, and of which no good form is known, by name, with why; those told of it before are replaced.
    /// The kind is not listed while there are any.
    Unread(&'static str, BTreeMap<String, String>),
    /// Every object of one more kind has been told once.
    Listed,
}

/// Running watches. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Feed {
    events: mpsc::Receiver<FeedEvent>,
    _tasks: JoinSet<()>,
}

impl Feed {
    /// Watches every kind that the core wants to know about.
    pub(crate) fn start<D: Datastore>(store: &D, node: &str, secret_namespace: &str) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        let all = Query::all;
        let secrets = Query { namespace: Some(secret_namespace.to_owned()), ..Query::all() };
        tasks.spawn(follow(store.watch::<Node>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<IpPool>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<BlockAffinity>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<BgpConfiguration>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<BgpPeer>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<BgpFilter>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<NodeConfiguration>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<WireguardPeer>(all()), sender.clone()));
        // Of pods only those that run here: a change elsewhere is none here (I9).
        let here = all().with_field("spec.nodeName", node);
        tasks.spawn(follow(store.watch::<EgressGateway>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<EgressMembers>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<Pod>(here), sender.clone()));
        tasks.spawn(follow(store.watch::<Namespace>(all()), sender.clone()));
        tasks.spawn(follow(store.watch::<Secret>(secrets), sender));
        debug_assert_eq!(tasks.len(), super::KINDS);
        Self { events, _tasks: tasks }
    }

    /// The next event, if one waits.
    pub(crate) fn try_next(&mut self) -> Option<FeedEvent> {
        self.events.try_recv().ok()
    }

    /// The next event; `None` once the store is closed. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<FeedEvent> {
        self.events.recv().await
    }
}

/// Passes the facts of one kind on until nobody listens.
async fn follow<K: Watched>(mut watch: Watch<K>, queue: mpsc::Sender<FeedEvent>) {
    let (mut told, mut unread, mut listed) = (HashSet::<String>::new(), Unread::default(), false);
    while let Some(event) = watch.next().await {
        let news = unread.take(&event, |name| told.contains(name)) && K::NEEDED;
        let facts = facts(event, &mut told);
        let first = !listed && if K::NEEDED { unread.is_complete() } else { unread.is_listed() };
        listed |= first;
        let events = [
            (!facts.is_empty()).then_some(FeedEvent::Facts(facts)),
            news.then(|| FeedEvent::Unread(K::KIND, unread.objects().clone())),
            first.then_some(FeedEvent::Listed),
        ];
        for event in events.into_iter().flatten() {
            if queue.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// The facts of an event; `told` are the names of objects that were told to exist.
fn facts<K: Watched>(event: Event<K>, told: &mut HashSet<String>) -> Vec<Update> {
    match event {
        Event::Listed(objects) => {
            let mut gone = std::mem::take(told);
            let mut facts = Vec::with_capacity(objects.len());
            for object in objects {
                let name = object.full_name();
                gone.remove(&name);
                told.insert(name.clone());
                facts.push(exists(name, object));
            }
            facts.extend(gone.into_iter().map(|name| K::fact(name, None)));
            facts
        }
        Event::Added(object) | Event::Modified(object) => {
            let name = object.full_name();
            told.insert(name.clone());
            vec![exists(name, object)]
        }
        Event::Deleted(object) => {
            let name = object.full_name();
            told.remove(&name);
            vec![K::fact(name, None)]
        }
        Event::Invalid { key, reason } => {
            let kept = told.contains(&key.to_string());
            warn!(kind = K::KIND, %key, reason, kept, "object is not valid: its last good form stays in force, if there is one");
            Vec::new()
        }
        // It was never told to exist.
        Event::Gone { .. } => Vec::new(),
        Event::Unavailable { reason } => {
            debug!(kind = K::KIND, reason, "datastore is not available: what is known stays in force");
            Vec::new()
        }
    }
}

fn exists<K: Watched>(name: String, object: Arc<Object<K>>) -> Update {
    K::fact(name, Some(Box::new(Arc::unwrap_or_clone(object))))
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::IpPool;

    use super::*;

    fn pool(name: &str) -> Arc<Object<IpPool>> {
        Arc::new(Object::new(Metadata::named(name), IpPool::of("10.0.0.0/16".parse().unwrap())))
    }

    fn names(facts: &[Update]) -> Vec<(&str, bool)> {
        let mut names = Vec::new();
        for fact in facts {
            let Update::Pool(name, pool) = fact else { panic!("{fact:?}") };
            names.push((name.as_str(), pool.is_some()));
        }
        names
    }

    #[test]
    fn what_a_new_listing_lacks_is_told_as_gone() {
        let mut told = HashSet::new();
        facts(Event::Listed(vec![pool("a"), pool("b")]), &mut told);
        facts(Event::Added(pool("c")), &mut told);
        facts(Event::Deleted(pool("b")), &mut told);
        let next = facts(Event::Listed(vec![pool("c"), pool("d")]), &mut told);
        assert_eq!(names(&next), [("c", true), ("d", true), ("a", false)]);
    }

    #[test]
    fn an_invalid_object_leaves_the_last_good_one() {
        let mut told = HashSet::new();
        facts(Event::Added(pool("a")), &mut told);
        let key = cairn_datastore::Key::named("a");
        let next = facts::<IpPool>(Event::Invalid { key, reason: "spec.cidr".to_owned() }, &mut told);
        assert!(next.is_empty() && told.contains("a"));
    }

    /// What the engine hears, in one word each.
    async fn heard<K: Watched>(events: Vec<Event<K>>) -> Vec<String> {
        let (sender, watch) = Watch::channel();
        let (queue, mut fed) = mpsc::channel(QUEUE);
        for event in events {
            sender.send(event).await.unwrap();
        }
        drop(sender);
        follow(watch, queue).await;
        let mut heard = Vec::new();
        while let Some(event) = fed.recv().await {
            heard.push(match event {
                FeedEvent::Facts(facts) => format!("{} facts", facts.len()),
                FeedEvent::Unread(kind, objects) => {
                    format!("{kind} {:?}", objects.into_keys().collect::<Vec<_>>())
                }
                FeedEvent::Listed => "listed".to_owned(),
            });
        }
        heard
    }

    fn invalid<K: Watched>(name: &str) -> Event<K> {
        Event::Invalid { key: cairn_datastore::Key::named(name), reason: "spec".to_owned() }
    }

    #[tokio::test]
    async fn a_needed_kind_is_not_listed_before_all_of_it_could_be_read() {
        let listed = || Event::Listed(vec![pool("b")]);
        let mended = heard(vec![invalid("a"), listed(), Event::Added(pool("a")), invalid("a")]).await;
        assert_eq!(mended, ["IPPool [\"a\"]", "1 facts", "1 facts", "IPPool []", "listed"]);
        let gone = Event::Gone { key: cairn_datastore::Key::named("a") };
        let gone = heard(vec![invalid("a"), listed(), gone]).await;
        assert_eq!(gone, ["IPPool [\"a\"]", "1 facts", "IPPool []", "listed"]);
        assert_eq!(heard(vec![listed(), invalid("c")]).await, ["1 facts", "listed"]);
    }

    #[tokio::test]
    async fn one_peer_that_cannot_be_read_keeps_nothing_back() {
        let listed = heard::<BgpPeer>(vec![invalid("a"), Event::Listed(Vec::new())]).await;
        assert_eq!(listed, ["listed"]);
    }
}
