use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_api::core::Pod;
use cairn_api::kinds::{IpPool, IpPoolStatus, IpReservation};
use cairn_api::{Condition, ConditionStatus, Metadata, Timestamp, load};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::Event;
use crate::contract::next;

const PATIENCE: Duration = Duration::from_secs(10);

fn pool(name: &str, cidr: &str) -> Object<IpPool> {
    Object::new(Metadata::named(name), IpPool::of(cidr.parse().unwrap()))
}

fn store() -> (TempDir, DirectoryStore) {
    let directory = TempDir::new().unwrap();
    let store = DirectoryStore::new(directory.path().join("objects"));
    (directory, store)
}

fn put(store: &DirectoryStore, path: &str, text: &str) {
    let path = store.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn text(name: &str, cidr: &str) -> String {
    load::to_yaml(&pool(name, cidr)).unwrap()
}

async fn quiet<K: Kind>(watch: &mut Watch<K>) {
    let event = timeout(Duration::from_millis(300), watch.next()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test]
async fn versions_grow_over_a_deletion_and_with_an_edit_by_hand() {
    let (_directory, store) = store();
    let key = Key::named("a");
    let first = store.create(&pool("a", "10.0.0.0/16")).await.unwrap();
    store.delete::<IpPool>(&key, &Precondition::default()).await.unwrap();
    let second = store.create(&pool("a", "10.0.0.0/16")).await.unwrap();
    let counter = |object: &Object<IpPool>| file::counter(&object.metadata.resource_version);
    assert!(counter(&second) > counter(&first));

    put(&store, "ippools/a.yaml", &text("a", "10.1.0.0/16"));
    let edited: Object<IpPool> = store.get(&key).await.unwrap();
    assert_ne!(edited.metadata.resource_version, second.metadata.resource_version);
    assert!(matches!(store.update(&second).await, Err(StoreError::Conflict { .. })));
    let written = store.update(&edited).await.unwrap();
    assert!(counter(&written) > counter(&second));
}

#[tokio::test]
async fn no_name_leads_out_of_the_directory() {
    let (_directory, store) = store();
    for bad in ["../a", "a/b", "", ".", "..", "A", "a\0"] {
        let key = Key::named(bad);
        assert!(matches!(store.get::<IpPool>(&key).await, Err(StoreError::NotFound { .. })), "{bad}");
        let made = store.create(&pool(bad, "10.0.0.0/16")).await;
        assert!(matches!(made, Err(StoreError::Invalid { .. })), "{bad}");
        let deleted = store.delete::<IpPool>(&key, &Precondition::default()).await;
        assert!(matches!(deleted, Err(StoreError::NotFound { .. })), "{bad}");
    }
    let pod = store.get::<Pod>(&Key::namespaced("..", "a")).await;
    assert!(matches!(pod, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn what_is_invalid_is_named_with_place_and_rule() {
    let (_directory, store) = store();
    for (content, expected) in [
        ("apiVersion: cairn.network/v1alpha1\nkind: IPPool\nmetadata: {na", "a.yaml:3:"),
        ("", "0 documents"),
        (&text("b", "10.0.0.0/16"), "metadata names \"b\", the file is that of a"),
        (&format!("{}---\n{}", text("a", "10.0.0.0/16"), text("a", "10.1.0.0/16")), "2 documents"),
        ("\u{fffd}", "a.yaml:1:1: invalid type"),
    ] {
        put(&store, "ippools/a.yaml", content);
        let error = store.get::<IpPool>(&Key::named("a")).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { reason, .. } if reason.contains(expected)), "{error}");
    }
    put(&store, "ippools/good.yaml", &text("good", "10.0.0.0/16"));
    let list = store.list::<IpPool>(&Query::all()).await.unwrap();
    assert_eq!(list.objects.len(), 1);
    let taken = store.create(&pool("a", "10.0.0.0/16")).await;
    assert!(matches!(taken, Err(StoreError::AlreadyExists { .. })), "a broken file is not overwritten");
}

#[tokio::test]
async fn a_watch_tells_what_is_there_and_then_each_change() {
    let (_directory, store) = store();
    put(&store, "ippools/a.yaml", &text("a", "10.0.0.0/16"));
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "[a]");
    let other_process = DirectoryStore::new(store.root());
    let mut made = other_process.create(&pool("b", "10.1.0.0/16")).await.unwrap();
    assert_eq!(next(&mut watch).await, "+b");
    made.spec.disabled = true;
    other_process.update(&made).await.unwrap();
    assert_eq!(next(&mut watch).await, "~b");
    other_process.delete::<IpPool>(&Key::named("b"), &Precondition::default()).await.unwrap();
    assert_eq!(next(&mut watch).await, "-b");
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_torn_file_is_told_and_the_last_good_object_stays() {
    let (_directory, store) = store();
    let good = text("a", "10.0.0.0/16");
    put(&store, "ippools/a.yaml", &good);
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "[a]");
    put(&store, "ippools/a.yaml", &good[..good.len() / 2]);
    assert_eq!(next(&mut watch).await, "!a");
    put(&store, "ippools/a.yaml", &good);
    assert_eq!(next(&mut watch).await, "~a", "told, so that the fault can be taken back");
    put(&store, "ippools/a.yaml", "x");
    assert_eq!(next(&mut watch).await, "!a");
    fs::remove_file(store.root().join("ippools/a.yaml")).unwrap();
    assert_eq!(next(&mut watch).await, "-a");
}

#[tokio::test]
async fn an_editor_may_rename_the_old_file_away_first() {
    let (_directory, store) = store();
    put(&store, "ippools/a.yaml", &text("a", "10.0.0.0/16"));
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "[a]");
    let path = store.root().join("ippools/a.yaml");
    fs::rename(&path, path.with_extension("yaml~")).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    put(&store, "ippools/a.yaml", &text("a", "10.2.0.0/16"));
    assert_eq!(next(&mut watch).await, "~a");
    let draft = store.root().join("ippools/.a.yaml.swp");
    fs::write(&draft, text("a", "10.3.0.0/16")).unwrap();
    fs::rename(&draft, &path).unwrap();
    assert_eq!(next(&mut watch).await, "~a");
    quiet(&mut watch).await;
}

#[tokio::test]
async fn a_file_that_will_never_be_an_object_is_refused_aloud() {
    let (_directory, store) = store();
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "[]");
    put(&store, "ippools/a.yml", &text("a", "10.0.0.0/16"));
    assert_eq!(next(&mut watch).await, "!a.yml");
    put(&store, "ippools/B.yaml", &text("b", "10.0.0.0/16"));
    assert_eq!(next(&mut watch).await, "!B.yaml");
    put(&store, "ippools/README", "notes");
    fs::remove_file(store.root().join("ippools/a.yml")).unwrap();
    assert_eq!(next(&mut watch).await, "!-a.yml");
    quiet(&mut watch).await;
}

#[tokio::test]
async fn what_never_could_be_used_is_told_before_the_list_and_when_it_goes() {
    let (_directory, store) = store();
    put(&store, "ippools/a.yaml", "x");
    put(&store, "ippools/b.yaml", &text("b", "10.0.0.0/16"));
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "!a");
    assert_eq!(next(&mut watch).await, "[b]");
    fs::remove_file(store.root().join("ippools/a.yaml")).unwrap();
    assert_eq!(next(&mut watch).await, "!-a");
    quiet(&mut watch).await;
}

#[tokio::test]
async fn the_directory_may_go_and_come_back() {
    let (_directory, store) = store();
    put(&store, "ippools/a.yaml", &text("a", "10.0.0.0/16"));
    let mut watch = store.watch::<IpPool>(Query::all());
    assert_eq!(next(&mut watch).await, "[a]");
    fs::remove_dir_all(store.root().join("ippools")).unwrap();
    assert_eq!(next(&mut watch).await, "-a");
    put(&store, "ippools/b.yaml", &text("b", "10.0.0.0/16"));
    assert_eq!(next(&mut watch).await, "+b");
}

#[tokio::test]
async fn namespaces_are_directories_and_queries_select() {
    let (_directory, store) = store();
    let pod = |node: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{nodeName: {node}}}\n")
    };
    put(&store, "pods/one/p.yaml", &pod("n1"));
    put(&store, "pods/two/p.yaml", &pod("n2"));
    let mut watch = store.watch::<Pod>(Query::all().with_field("spec.nodeName", "n1"));
    assert_eq!(next(&mut watch).await, "[one/p]");
    put(&store, "pods/three/p.yaml", &pod("n1"));
    assert_eq!(next(&mut watch).await, "+three/p");
    put(&store, "pods/two/p.yaml", &pod("n1"));
    assert_eq!(next(&mut watch).await, "+two/p");
    put(&store, "pods/one/p.yaml", &pod("n3"));
    assert_eq!(next(&mut watch).await, "-one/p");
    let query = Query { namespace: Some("two".to_owned()), ..Query::all() };
    assert_eq!(store.list::<Pod>(&query).await.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn five_thousand_objects_are_listed_and_one_change_is_one_event() {
    let (_directory, store) = store();
    for number in 0..5000 {
        put(&store, &format!("ippools/p{number}.yaml"), &text(&format!("p{number}"), "10.0.0.0/16"));
    }
    let mut watch = store.watch::<IpPool>(Query::all());
    let Some(Event::Listed(objects)) = watch.next().await else { panic!("a list first") };
    assert_eq!(objects.len(), 5000);
    put(&store, "ippools/p7.yaml", &text("p7", "10.9.0.0/16"));
    assert_eq!(next(&mut watch).await, "~p7");
    // More changes than the mailbox takes names.
    for number in 0..3000 {
        put(&store, &format!("ippools/p{number}.yaml"), &text(&format!("p{number}"), "10.8.0.0/16"));
    }
    let mut changed = std::collections::BTreeSet::new();
    while changed.len() < 3000 {
        changed.insert(next(&mut watch).await);
    }
    assert!(changed.iter().all(|event| event.starts_with('~')));
}

const RACER: &str = "CAIRN_RACER_DIRECTORY";

/// Not a test of its own: what the child processes of the tests below run. Adds itself 50 times by compare-and-swap.
#[tokio::test]
async fn racer() {
    let Ok(root) = std::env::var(RACER) else { return };
    let store = DirectoryStore::new(root);
    let me = std::process::id();
    let mut done = 0;
    while done < 50 {
        let key = Key::named("shared");
        let mut object: Object<IpReservation> = store.get(&key).await.unwrap();
        let cidr = format!("10.{}.{}.{done}/32", me >> 8 & 255, me & 255);
        object.spec.reserved_cidrs.push(cidr.parse().unwrap());
        match store.update(&object).await {
            Ok(_) => done += 1,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn start_racer(root: &Path) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "directory::tests::racer"]).env(RACER, root);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn shared_object(store: &DirectoryStore) {
    store.create(&Object::new(Metadata::named("shared"), IpReservation::default())).await.unwrap();
}

#[tokio::test]
async fn processes_that_race_lose_no_write() {
    let (_directory, store) = store();
    shared_object(&store).await;
    let racers: Vec<_> = (0..4).map(|_| start_racer(store.root())).collect();
    for mut racer in racers {
        assert!(racer.wait().unwrap().success());
    }
    let object: Object<IpReservation> = store.get(&Key::named("shared")).await.unwrap();
    let distinct: std::collections::BTreeSet<_> = object.spec.reserved_cidrs.iter().collect();
    assert_eq!((object.spec.reserved_cidrs.len(), distinct.len()), (200, 200));
}

#[tokio::test]
async fn a_writer_that_is_killed_leaves_a_whole_object_and_no_lock() {
    let (_directory, store) = store();
    shared_object(&store).await;
    let mut last = 0;
    for round in 0..10 {
        let mut racer = start_racer(store.root());
        tokio::time::sleep(Duration::from_millis(60 + 7 * round)).await;
        racer.kill().unwrap();
        racer.wait().unwrap();
        let mut object: Object<IpReservation> = store.get(&Key::named("shared")).await.unwrap();
        assert!(object.spec.reserved_cidrs.len() >= last);
        object.metadata.labels.insert("round".to_owned(), round.to_string());
        let written = timeout(PATIENCE, store.update(&object)).await.expect("the lock is free").unwrap();
        last = written.spec.reserved_cidrs.len();
    }
    assert!(last > 0, "no racer ever wrote");
}

#[tokio::test]
async fn dropping_watches_ends_their_inotify_watches() {
    let (_directory, store) = store();
    for _ in 0..3 {
        let mut watch = store.watch::<IpPool>(Query::all());
        assert_eq!(next(&mut watch).await, "[]");
        drop(watch);
    }
    let idle = async {
        while store.hub.watched() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, idle).await.expect("nothing is followed any more");
}

#[tokio::test]
async fn a_status_leaves_a_manifest_as_it_was_written() {
    let (_directory, store) = store();
    let path = store.root().join("ippools/p.yaml");
    let text = "# rack 1\napiVersion: cairn.network/v1alpha1\nkind: IPPool\nmetadata: {name: p}  # short\n\
                spec:\n  # a small one\n  cidr: 10.0.0.0/24";
    put(&store, "ippools/p.yaml", text);
    let condition = |reason: &str| Condition {
        kind: "Allocatable".to_owned(),
        status: ConditionStatus::True,
        reason: reason.to_owned(),
        message: "- not a list: \n# nor a comment".to_owned(),
        last_transition_time: Timestamp::from_unix(1),
        observed_generation: None,
    };
    let mut pool = store.get::<IpPool>(&Key::named("p")).await.unwrap();
    for reason in ["OK", "PoolDisabled"] {
        pool.status = Some(IpPoolStatus { conditions: vec![condition(reason)], ..IpPoolStatus::default() });
        let before = pool.clone();
        pool = store.update_status(&pool).await.unwrap();
        assert_eq!(store.get::<IpPool>(&Key::named("p")).await.unwrap(), pool);
        let written = fs::read_to_string(&path).unwrap();
        assert!(written.starts_with(&format!("{text}\nstatus:\n  conditions:\n")), "{written}");
        assert_eq!(written.matches("status:\n").count(), 1, "{written}");
        let stale = store.update_status(&before).await.unwrap_err();
        assert!(matches!(stale, StoreError::Conflict { .. }), "{stale}");
    }
    // A status in the middle is written with everything else.
    let text = fs::read_to_string(&path).unwrap();
    let (head, status) =
        text.split_once("spec:").map(|(head, _)| (head, "status: {conditions: []}\n")).unwrap();
    fs::write(&path, format!("{head}{status}spec: {{cidr: 10.0.0.0/24}}\n")).unwrap();
    let mut pool = store.get::<IpPool>(&Key::named("p")).await.unwrap();
    pool.status = Some(IpPoolStatus { conditions: vec![condition("OK")], ..IpPoolStatus::default() });
    let written = store.update_status(&pool).await.unwrap();
    assert_eq!(store.get::<IpPool>(&Key::named("p")).await.unwrap(), written);
}
