//! The store against a scripted server, in virtual time. What a real one does is tested against a real one (`tests/k8s`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_api::core::Node;
use cairn_api::kinds::{IpPool, IpPoolStatus};
use cairn_api::{Metadata, load};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::json;
use tokio::sync::mpsc;
use tower::service_fn;

use super::*;
use crate::Event;

/// More than a test says before it is heard.
const SAID: usize = 64;

/// One request as it came.
#[derive(Debug)]
struct Asked {
    line: String,
    body: Value,
    answer: mpsc::Sender<Said>,
}

/// A part of an answer.
enum Said {
    Status(u16),
    Json(Value),
}

impl Asked {
    fn says(self, code: u16, value: Value) {
        self.answer.try_send(Said::Status(code)).ok();
        self.answer.try_send(Said::Json(value)).ok();
    }

    fn refuses(self, code: u16, reason: &str) {
        self.says(code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason }));
    }

    /// Begins to stream.
    fn streams(&self) {
        self.answer.try_send(Said::Status(200)).ok();
    }

    fn event(&self, kind: &str, object: &Value) {
        self.answer.try_send(Said::Json(json!({ "type": kind, "object": object }))).ok();
    }
}

/// A server that does what the test tells it to.
struct Server(mpsc::Receiver<Asked>);

impl Server {
    fn new() -> (KubeStore, Self) {
        let (asked, requests) = mpsc::channel(SAID);
        let service = service_fn(move |request: Request<Body>| answer_one(request, asked.clone()));
        (KubeStore::of(Client::new(service, "default")), Self(requests))
    }

    /// The next request, which must begin so.
    async fn asked(&mut self, line: &str) -> Asked {
        let asked = self.0.recv().await.expect("a request");
        assert!(asked.line.starts_with(line), "{} instead of {line}", asked.line);
        asked
    }
}

async fn answer_one(
    request: Request<Body>,
    asked: mpsc::Sender<Asked>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>, std::io::Error> {
    let line = format!("{} {}", request.method(), request.uri());
    let bytes = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    let (answer, mut parts) = mpsc::channel(SAID);
    asked.send(Asked { line, body, answer }).await.map_err(std::io::Error::other)?;
    let Some(Said::Status(code)) = parts.recv().await else {
        return Err(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody there"));
    };
    let parts = Arc::new(tokio::sync::Mutex::new(parts));
    let stream = futures_util::stream::unfold(parts, |parts| async move {
        let said = parts.lock().await.recv().await?;
        let Said::Json(value) = said else { return None };
        Some((Ok(Frame::data(Bytes::from(format!("{value}\n")))), parts))
    });
    let status = StatusCode::from_u16(code).map_err(std::io::Error::other)?;
    let mut response = Response::new(StreamBody::new(stream).boxed());
    *response.status_mut() = status;
    Ok(response)
}

fn pool(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "cairn.network/v1alpha1",
        "kind": "IPPool",
        "metadata": { "name": name, "resourceVersion": version },
        "spec": { "cidr": "10.0.0.0/16" },
    })
}

fn listing(version: &str, items: &Value) -> Value {
    json!({ "kind": "IPPoolList", "metadata": { "resourceVersion": version }, "items": items })
}

fn name<K: Kind>(event: Option<Event<K>>) -> String {
    match event.expect("an open watch") {
        Event::Added(object) => format!("+{}", object.full_name()),
        Event::Modified(object) => format!("~{}", object.full_name()),
        Event::Deleted(object) => format!("-{}", object.full_name()),
        Event::Invalid { key, .. } => format!("!{key}"),
        Event::Gone { key } => format!("!-{key}"),
        Event::Listed(objects) => {
            let names: Vec<_> = objects.iter().map(|object| object.full_name()).collect();
            format!("[{}]", names.join(" "))
        }
        Event::Unavailable { .. } => "?".to_owned(),
    }
}

const POOLS: &str = "/apis/cairn.network/v1alpha1/ippools";

/// A watch that has listed `a` at version 5, and its open request.
async fn watching(store: &KubeStore, server: &mut Server) -> (Watch<IpPool>, Asked) {
    let mut watch = store.watch::<IpPool>(Query::all());
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("5", &json!([pool("a", "3")])));
    assert_eq!(name(watch.next().await), "[a]");
    let stream =
        server.asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=5")).await;
    stream.streams();
    (watch, stream)
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_page_by_page_and_anew_where_a_page_expired() {
    let (store, mut server) = Server::new();
    let read = tokio::spawn(async move { store.list::<IpPool>(&Query::all()).await });
    let mut first = listing("5", &json!([pool("b", "3")]));
    first["metadata"]["continue"] = json!("more");
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, first.clone());
    server.asked(&format!("GET {POOLS}?limit=500&continue=more")).await.refuses(410, "Expired");
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, first);
    let broken = json!({ "metadata": { "name": "c" }, "spec": {} });
    let rest = listing("5", &json!([pool("a", "4"), broken]));
    server.asked(&format!("GET {POOLS}?limit=500&continue=more")).await.says(200, rest);
    let list = read.await.unwrap().unwrap();
    let names: Vec<_> = list.objects.iter().map(Object::name).collect();
    assert_eq!((names, list.revision.as_str()), (vec!["a", "b"], "5"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_where_it_ended_bookmarks_included() {
    let (store, mut server) = Server::new();
    let (mut watch, stream) = watching(&store, &mut server).await;
    stream.event("ADDED", &pool("b", "6"));
    stream.event("MODIFIED", &pool("a", "7"));
    stream.event("DELETED", &pool("b", "8"));
    assert_eq!(name(watch.next().await), "+b");
    assert_eq!(name(watch.next().await), "~a");
    assert_eq!(name(watch.next().await), "-b");
    let bookmark = json!({ "apiVersion": "cairn.network/v1alpha1", "kind": "IPPool", "metadata": { "resourceVersion": "40" } });
    stream.event("BOOKMARK", &bookmark);
    drop(stream);
    let stream =
        server.asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=40")).await;
    stream.streams();
    // A line that is cut off in the middle of an event is no event.
    stream.event("ADDED", &pool("c", "41"));
    assert_eq!(name(watch.next().await), "+c");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_the_server_has_forgotten_means_a_list_from_the_start() {
    let (store, mut server) = Server::new();
    let (mut watch, stream) = watching(&store, &mut server).await;
    stream
        .event("ERROR", &json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" }));
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("9", &json!([pool("b", "8")])));
    assert_eq!(name(watch.next().await), "[b]");
    server
        .asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=9"))
        .await
        .refuses(410, "Gone");
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("10", &json!([])));
    assert_eq!(name(watch.next().await), "[]");
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_server_costs_few_questions_and_loses_nothing() {
    let (store, mut server) = Server::new();
    let (mut watch, stream) = watching(&store, &mut server).await;
    let down = tokio::time::Instant::now();
    drop(stream);
    let told = Arc::new(Mutex::new(0_u32));
    let count = Arc::clone(&told);
    let listen = tokio::spawn(async move {
        loop {
            match name(watch.next().await).as_str() {
                "?" => *count.lock().unwrap() += 1,
                other => return other.to_owned(),
            }
        }
    });
    let mut questions = 0;
    while down.elapsed() < Duration::from_secs(3600) {
        drop(
            server.asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=5")).await,
        );
        questions += 1;
    }
    assert!((120..=260).contains(&questions), "{questions}");
    let stream =
        server.asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=5")).await;
    stream.streams();
    stream.event("ADDED", &pool("b", "6"));
    assert_eq!(listen.await.unwrap(), "+b", "resumed, not listed anew");
    assert!(*told.lock().unwrap() >= questions, "each failure is told");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_is_not_asked_without_a_pause() {
    let (store, mut server) = Server::new();
    let (_watch, stream) = watching(&store, &mut server).await;
    let started = tokio::time::Instant::now();
    drop(stream);
    for _ in 0..20 {
        server.asked(&format!("GET {POOLS}?watch=true")).await.streams();
    }
    assert!(started.elapsed() >= Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_given_up() {
    let (store, mut server) = Server::new();
    let (mut watch, stream) = watching(&store, &mut server).await;
    let started = tokio::time::Instant::now();
    let again =
        server.asked(&format!("GET {POOLS}?watch=true&allowWatchBookmarks=true&resourceVersion=5")).await;
    assert!(started.elapsed() >= Duration::from_secs(150));
    assert_eq!(name(watch.next().await), "?");
    again.streams();
    again.event("ADDED", &pool("b", "6"));
    assert_eq!(name(watch.next().await), "+b");
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_object_leaves_its_last_good_form_in_force_over_a_new_list_too() {
    let (store, mut server) = Server::new();
    let (mut watch, stream) = watching(&store, &mut server).await;
    let mut bad = pool("a", "6");
    bad["spec"]["blockSize"] = json!(8);
    stream.event("MODIFIED", &bad.clone());
    assert_eq!(name(watch.next().await), "!a");
    stream.event("ERROR", &json!({ "kind": "Status", "code": 410, "reason": "Expired" }));
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("7", &json!([bad])));
    assert_eq!(name(watch.next().await), "!a");
    assert_eq!(name(watch.next().await), "[a]");
    let stream = server.asked(&format!("GET {POOLS}?watch=true")).await;
    stream.streams();
    stream.event("MODIFIED", &pool("a", "8"));
    assert_eq!(name(watch.next().await), "~a", "told, so that the fault can be taken back");
    stream.event("DELETED", &json!({ "metadata": { "name": "a", "resourceVersion": "9" } }));
    assert_eq!(name(watch.next().await), "-a");
}

#[tokio::test(start_paused = true)]
async fn what_never_could_be_used_is_told_before_the_list_and_when_it_goes() {
    let (store, mut server) = Server::new();
    let mut watch = store.watch::<IpPool>(Query::all());
    let bad = |name: &str, version: &str| {
        let mut bad = pool(name, version);
        bad["spec"]["blockSize"] = json!(8);
        bad
    };
    let items = json!([bad("a", "3"), bad("b", "4"), pool("c", "5")]);
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("5", &items));
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(name(watch.next().await));
    }
    assert_eq!(told, ["!a", "!b", "[c]"]);
    let stream = server.asked(&format!("GET {POOLS}?watch=true")).await;
    stream.streams();
    stream.event("DELETED", &bad("a", "6"));
    assert_eq!(name(watch.next().await), "!-a");
    // The other one goes while nobody looks.
    stream.event("ERROR", &json!({ "kind": "Status", "code": 410, "reason": "Expired" }));
    server.asked(&format!("GET {POOLS}?limit=500")).await.says(200, listing("9", &json!([pool("c", "5")])));
    assert_eq!(name(watch.next().await), "!-b");
    assert_eq!(name(watch.next().await), "[c]");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_a_node_is_no_news() {
    let (store, mut server) = Server::new();
    let mut watch = store.watch::<Node>(Query::all());
    let node = |version: &str, at: &str, label: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": "n", "resourceVersion": version, "labels": { "rack": label } },
            "status": { "conditions": [{ "type": "Ready", "lastHeartbeatTime": at }] },
        })
    };
    server.asked("GET /api/v1/nodes?limit=500").await.says(200, listing("1", &json!([node("1", "t1", "a")])));
    assert_eq!(name(watch.next().await), "[n]");
    let stream = server.asked("GET /api/v1/nodes?watch=true").await;
    stream.streams();
    stream.event("MODIFIED", &node("2", "t2", "a"));
    stream.event("MODIFIED", &node("3", "t3", "b"));
    let Some(Event::Modified(told)) = watch.next().await else { panic!("a change") };
    assert_eq!((told.metadata.labels["rack"].as_str(), told.metadata.resource_version.as_str()), ("b", "3"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_is_written_back_whole() {
    let (store, mut server) = Server::new();
    let whole = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": "n", "resourceVersion": "4" },
        "spec": { "providerID": "x" },
        "status": { "images": [1] },
    });
    let mut node: Object<Node> = answer::object(whole.clone()).unwrap();
    node.metadata.labels.insert("a".to_owned(), "b".to_owned());
    let write = tokio::spawn(async move { store.update(&node).await });
    server.asked("GET /api/v1/nodes/n").await.says(200, whole.clone());
    let asked = server.asked("PUT /api/v1/nodes/n").await;
    let mut expected = whole;
    expected["metadata"]["labels"] = json!({ "a": "b" });
    assert_eq!(asked.body, expected);
    let written = asked.body.clone();
    asked.says(200, written);
    assert_eq!(write.await.unwrap().unwrap().metadata.labels["a"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_new_object_keeps_its_status_and_a_server_that_is_away_is_not_available() {
    let (store, mut server) = Server::new();
    let mut new = Object::new(Metadata::named("a"), IpPool::of("10.0.0.0/16".parse().unwrap()));
    new.status = Some(IpPoolStatus::default());
    let copy = store.clone();
    let write = tokio::spawn(async move { copy.create(&new).await });
    let asked = server.asked(&format!("POST {POOLS}")).await;
    assert!(asked.body["metadata"].get("resourceVersion").is_none());
    asked.says(201, pool("a", "2"));
    let asked = server.asked(&format!("PUT {POOLS}/a/status")).await;
    let mut with_status = pool("a", "3");
    with_status["status"] = asked.body["status"].clone();
    asked.says(200, with_status);
    let created = write.await.unwrap().unwrap();
    assert!(created.status.is_some() && load::to_yaml(&created).unwrap().contains("resourceVersion: '3'"));

    let read = tokio::spawn(async move { store.get::<IpPool>(&Key::named("a")).await });
    drop(server.asked(&format!("GET {POOLS}/a")).await);
    let error = read.await.unwrap().unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("nobody there"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_a_type_is_read_as_it_is_page_by_page() {
    let (store, mut server) = Server::new();
    let kind = Foreign { api_version: "example.org/v1", plural: "things" };
    let path = "/apis/example.org/v1/things";
    let read = tokio::spawn(async move { store.list_foreign(kind).await });
    let page = |continued: &str, item: &Value| {
        let metadata = json!({ "continue": continued });
        json!({ "apiVersion": "example.org/v1", "kind": "ThingList", "metadata": metadata, "items": [item] })
    };
    let first = page("more", &json!({ "metadata": { "name": "a" }, "spec": { "x": 1 } }));
    server.asked(&format!("GET {path}?limit=500")).await.says(200, first.clone());
    server.asked(&format!("GET {path}?limit=500&continue=more")).await.refuses(410, "Expired");
    server.asked(&format!("GET {path}?limit=500")).await.says(200, first);
    let own = json!({ "apiVersion": "example.org/v1beta1", "kind": "Thing", "metadata": { "name": "b" } });
    server.asked(&format!("GET {path}?limit=500&continue=more")).await.says(200, page("", &own));
    let named = json!({ "apiVersion": "example.org/v1", "kind": "Thing", "metadata": { "name": "a" }, "spec": { "x": 1 } });
    assert_eq!(read.await.unwrap(), Ok(Some(vec![named, own])));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_server_does_not_have_is_told_from_one_that_cannot_be_read() {
    let (store, mut server) = Server::new();
    let kind = Foreign { api_version: "v1", plural: "things" };
    let copy = store.clone();
    let read = tokio::spawn(async move { copy.list_foreign(kind).await });
    server.asked("GET /api/v1/things?limit=500").await.refuses(404, "NotFound");
    assert_eq!(read.await.unwrap(), Ok(None));
    let read = tokio::spawn(async move { store.list_foreign(kind).await });
    server.asked("GET /api/v1/things?limit=500").await.refuses(403, "Forbidden");
    let error = read.await.unwrap().unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("does not allow it"), "{error}");
}
