use cairn_api::Draft;
use cairn_api::core::Regarding;
use cairn_api::kinds::{BgpFilter, BgpPeer};
use cairn_datastore::{Fault, MemoryStore, Precondition, Query};
use cairn_verdict::Place;
use serde_json::json;

use super::*;

fn note(step: Step) -> Note {
    let regarding = Regarding {
        api_version: "cairn.network/v1alpha1".to_owned(),
        kind: "BGPPeer".to_owned(),
        name: "tor".to_owned(),
        uid: "u".to_owned(),
    };
    let matter = Matter {
        regarding,
        about: "Accepted".to_owned(),
        reason: "FilterMissing".to_owned(),
        message: "there is none".to_owned(),
    };
    Note { step, matter, by: By::default() }
}

async fn told(store: &MemoryStore) -> Vec<(EventType, String, u32)> {
    let events = store.list::<Event>(&Query::all()).await.unwrap().objects;
    let line = |event: Object<Event>| {
        let count = event.spec.series.map_or(1, |series| series.count);
        (event.spec.kind, event.spec.reason, count)
    };
    let mut lines: Vec<_> = events.into_iter().map(line).collect();
    lines.sort_by_key(|(_, reason, _)| reason.clone());
    lines
}

fn missing(count: u32) -> (EventType, String, u32) {
    (EventType::Warning, "FilterMissing".to_owned(), count)
}

#[tokio::test]
async fn what_comes_again_is_one_event_told_again() {
    let store = MemoryStore::new();
    let write = async |step| put(&store, "c", &note(step), Timestamp::from_unix(60)).await.unwrap();
    write(Step::Begins).await;
    assert_eq!(told(&store).await, [missing(1)]);
    write(Step::Found).await;
    assert_eq!(told(&store).await, [missing(1)], "a new leader adds nothing");
    write(Step::Lasts).await;
    write(Step::Begins).await;
    assert_eq!(told(&store).await, [missing(3)]);
    write(Step::Ends).await;
    assert_eq!(told(&store).await, [missing(3), (EventType::Normal, "Resolved".to_owned(), 1)]);

    let name = event(&note(Step::Begins), "c", Timestamp::from_unix(60)).metadata.name;
    let key = Key::namespaced(NAMESPACE, name);
    store.delete::<Event>(&key, &Precondition::default()).await.unwrap();
    write(Step::Lasts).await;
    assert_eq!(told(&store).await[0], missing(1), "the server had forgotten it");
}

#[test]
fn an_event_is_one_that_a_server_takes() {
    let mut long = note(Step::Begins);
    long.matter.regarding.name = format!("{}.{}", "a".repeat(199), "b".repeat(40));
    long.matter.message = "ä".repeat(2000);
    long.by = By { first: "n1".to_owned(), more: 4999, detail: String::new() };
    let found = event(&long, &"i".repeat(300), Timestamp::from_unix(60));
    assert!(found.validate().is_ok(), "{}", found.metadata.name);
    assert!(found.spec.note.len() <= NOTE && found.spec.reporting_instance.len() <= WORD);
    assert_eq!(found.metadata.namespace, "default");
    let short = event(&Note { by: long.by, ..note(Step::Begins) }, "c", Timestamp::from_unix(60));
    assert_eq!(short.spec.note, "there is none (say Node/n1 and 4999 more)");
    assert_eq!(
        event(&note(Step::Ends), "c", Timestamp::from_unix(60)).spec.note,
        "no longer FilterMissing: there is none"
    );
    assert_ne!(name(&note(Step::Begins).matter, false), name(&note(Step::Begins).matter, true));
}

#[tokio::test(start_paused = true)]
async fn objects_that_make_no_sense_are_told_and_that_they_do_again() {
    let store = MemoryStore::new();
    store.create(&Object::new(Metadata::named("n1"), Node::default())).await.unwrap();
    let peer = Draft::<BgpPeer>::new(json!({ "peerIP": "192.0.2.254", "asNumber": 65001, "filters": ["f"] }));
    store.create(&Object::new(Metadata::named("tor"), peer)).await.unwrap();
    store.set_hook(|operation| if operation.kind == Event::KIND { Fault::Lost } else { Fault::None });
    let (sender, spoken) = watch::channel(Arc::default());
    let (reports, heard) = watch::channel(Known::default());
    let (verdicts, followed, events) = (store.clone(), store.clone(), store.clone());
    tokio::spawn(async move {
        let secret_namespace = "cairn-system".to_owned();
        let options = cairn_verdict::Options { secret_namespace, place: Place::Cluster };
        cairn_verdict::keep(&verdicts, &options, &sender).await;
    });
    tokio::spawn(async move { crate::report::follow(&followed, &reports).await });
    tokio::spawn(async move { tell(&events, "c", spoken, heard, &Status::default()).await });
    let wait = || tokio::time::sleep(Duration::from_secs(60));
    wait().await;
    store.set_hook(|_| Fault::None);
    assert_eq!(told(&store).await, [], "the server was away");
    wait().await;
    assert_eq!(told(&store).await, [missing(1)]);
    store.create(&Object::new(Metadata::named("f"), Draft::<BgpFilter>::new(json!({})))).await.unwrap();
    wait().await;
    assert_eq!(told(&store).await, [missing(1), (EventType::Normal, "Resolved".to_owned(), 1)]);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&store).await.len(), 2, "nothing more follows");
}
