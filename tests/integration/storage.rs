//! SQLite on disk: durability, refusals, a full disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::{
    Class, ClassName, Column, ColumnType, Document, ErrorCode, Filter, Index, ObjectId, Principal, Query,
    SchemaChange, Timestamp, Update,
};
use paylog::storage::SqliteStore;
use paylog::storage::sqlite::{OpenError, restore};
use paylog::store::{AtomicStore, CommitOutcome, Database, ReadError, Store, Write, WriteOutcome};
use rusqlite::Connection;
use serde_json::json;

use crate::conformance::{applied, class};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Environment::system()).unwrap()
}

async fn create(store: &SqliteStore, class: &ClassName, fields: Update) -> ObjectId {
    applied(store.write(Write::create(class, fields)).await)
        .object_id
        .unwrap()
}

async fn everything(store: &SqliteStore, class: &ClassName) -> Vec<Document> {
    store.find(class, &Query::default().limit(1000)).await.unwrap()
}

fn index(keys: &[&str], unique: bool) -> Index {
    Index {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        unique,
        sparse: unique,
    }
}

#[tokio::test]
async fn acknowledged_writes_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let things = class("Thing");
    let store = open(folder.path());
    store
        .define(SchemaChange::AddIndex(things.clone(), index(&["key"], true)))
        .await
        .unwrap();
    let id = create(&store, &things, Update::new().set("key", "a").set("n", 1.5)).await;
    let before = store.get(&things, &id).await.unwrap();
    let schema = store.schema();
    drop(store);

    let store = open(folder.path());
    assert_eq!(store.get(&things, &id).await.unwrap(), before);
    assert_eq!(store.schema(), schema);
    let again = store
        .write(Write::create(&things, Update::new().set("key", "a")))
        .await;
    assert!(matches!(again, WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE));

    store.close().await;
    let late = store.write(Write::create(&things, Update::new())).await;
    assert!(matches!(late, WriteOutcome::Rejected(error) if error.code == ErrorCode::UNAVAILABLE));
    assert_eq!(store.get(&things, &id).await.unwrap(), before);
    // Everything is in the one file, which can be opened again at once.
    let log = std::fs::metadata(folder.path().join("paylog.sqlite3-wal"));
    assert_eq!(log.map_or(0, |log| log.len()), 0);
    assert_eq!(open(folder.path()).get(&things, &id).await.unwrap(), before);
}

/// A WAL under constant writes is never checkpointed completely from outside, and then never restarts.
#[tokio::test]
async fn wal_stays_short_under_constant_writes() {
    const LOG_BYTES_MAX: u64 = 80 << 20;
    let folder = tempfile::tempdir().unwrap();
    let things = class("Thing");
    let store = open(folder.path());
    let text = "x".repeat(1 << 20);
    let mut written = 0;
    let mut longest = 0;
    while written < 3 * LOG_BYTES_MAX {
        let writes = (0..8).map(|_| store.write(Write::create(&things, Update::new().set("text", &*text))));
        for outcome in futures_util::future::join_all(writes).await {
            applied(outcome);
            written += text.len() as u64;
        }
        let log = std::fs::metadata(folder.path().join("paylog.sqlite3-wal")).unwrap();
        longest = longest.max(log.len());
    }
    assert!(longest < LOG_BYTES_MAX, "{longest} bytes");
    store.close().await;
    drop(store);
    assert_eq!(
        open(folder.path()).count(&things, &Filter::all()).await.unwrap(),
        written >> 20
    );
}

/// Class names and keys that differ only in case are kept apart, which SQLite would not do.
#[tokio::test]
async fn class_and_key_names_are_case_sensitive() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for name in ["Thing", "thing", "THING", "class", "c1", "sqlite_master"] {
        let things = class(name);
        store
            .define(SchemaChange::AddIndex(things.clone(), index(&["key"], true)))
            .await
            .unwrap();
        store
            .define(SchemaChange::AddIndex(things.clone(), index(&["Key"], true)))
            .await
            .unwrap();
        create(
            &store,
            &things,
            Update::new().set("key", name).set("Key", "other"),
        )
        .await;
    }
    for name in ["Thing", "thing", "THING", "class", "c1", "sqlite_master"] {
        let query = Query::new(Filter::all().eq("key", name));
        assert_eq!(store.find(&class(name), &query).await.unwrap().len(), 1);
        assert_eq!(store.count(&class(name), &Filter::all()).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn second_writer_is_refused_and_readers_are_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let things = class("Thing");
    let store = open(folder.path());
    let refused = SqliteStore::open(folder.path(), Environment::system()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(folder.path().to_str().unwrap()));

    let reader = SqliteStore::open_read_only(folder.path(), Environment::system()).unwrap();
    // The class is made after the reader was opened.
    let id = create(&store, &things, Update::new().set("n", 1)).await;
    assert_eq!(
        reader.get(&things, &id).await.unwrap(),
        store.get(&things, &id).await.unwrap()
    );
    assert!(reader.schema().classes.contains_key(&things));
    let write = reader.write(Write::delete(&things, &id, Filter::all())).await;
    assert!(matches!(write, WriteOutcome::Rejected(error) if error.code == ErrorCode::UNAVAILABLE));

    drop(store);
    open(folder.path());
}

#[test]
fn open_failures_are_distinguished() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fails = |folder: &Path| SqliteStore::open(folder, Environment::system()).unwrap_err();
    let with_database = |name: &str, contents: &[u8]| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("paylog.sqlite3"), contents).unwrap();
        at(name)
    };

    std::fs::write(at("file"), "x").unwrap();
    assert!(matches!(fails(&at("file")), OpenError::Folder { .. }));

    let text = with_database(
        "text",
        &b"not a database at all, but long enough to be looked at ".repeat(20),
    );
    assert!(matches!(fails(&text), OpenError::Foreign { .. }));

    let foreign = with_database("foreign", b"");
    let connection = Connection::open(foreign.join("paylog.sqlite3")).unwrap();
    connection
        .execute_batch("CREATE TABLE songs (title TEXT)")
        .unwrap();
    assert!(matches!(fails(&foreign), OpenError::Foreign { .. }));

    drop(open(&at("newer")));
    let connection = Connection::open(at("newer").join("paylog.sqlite3")).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = fails(&at("newer"));
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 99,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("99") && error.to_string().contains("up to 2"),
        "{error}"
    );
    let error = SqliteStore::open_read_only(&at("newer"), Environment::system()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { .. }), "{error}");

    let error = SqliteStore::open_read_only(&at("nowhere"), Environment::system()).unwrap_err();
    assert!(matches!(error, OpenError::Absent { .. }), "{error}");
    assert!(!at("nowhere").exists());

    drop(open(&at("corrupt")));
    let file = at("corrupt").join("paylog.sqlite3");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(fails(&at("corrupt")), OpenError::Corrupt { .. }));
}

/// Databases of all released formats open with their contents.
#[tokio::test]
async fn database_of_format_1_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("paylog.sqlite3")).unwrap();
    connection
        .execute_batch(include_str!("fixtures/format-1.sql"))
        .unwrap();
    drop(connection);
    let store = open(folder.path());
    let logs = class("Log");
    let id = ObjectId::parse("6554f2d0aaaaaaaaaaaaaaaa").unwrap();
    let log = store.get(&logs, &id).await.unwrap().unwrap();
    assert_eq!(log.integer("amount"), Some(100));
    assert_eq!(log.created_at(), Some(Timestamp::from_millis(1_700_066_000_123)));
    let query = Query::new(Filter::all().eq("key", "u1:recharge:k1"));
    assert_eq!(store.find(&logs, &query).await.unwrap(), [log]);
    let taken = store
        .write(Write::create(&logs, Update::new().set("key", "u1:recharge:k1")))
        .await;
    assert!(matches!(taken, WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE));
    let order = paylog::model::Pointer {
        class_name: logs.clone(),
        object_id: id,
    };
    assert_eq!(store.related(&order, "related").await.unwrap().len(), 1);
}

/// An earlier version kept a pointer to `_File` as such, in a column and in an index of such pointers.
#[tokio::test]
async fn stored_pointers_to_files_read_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let photos = class("Photo");
    let file = |id: &str| json!({"__type": "File", "id": id});
    let pointer = |id: &str| json!({"__type": "Pointer", "className": "_File", "objectId": id});
    let store = open(folder.path());
    for key in ["indexed", "map.indexed"] {
        let index = SchemaChange::AddIndex(photos.clone(), index(&[key], false));
        store.define(index).await.unwrap();
    }
    let old = Update::new()
        .set("plain", file("old"))
        .set("indexed", file("old"))
        .set("map", json!({"indexed": file("old")}))
        .set("all", json!([file("old")]));
    let old = create(&store, &photos, old).await;
    store.close().await;
    drop(store);
    let connection = Connection::open(folder.path().join("paylog.sqlite3")).unwrap();
    let (number, entry): (i64, String) = connection
        .query_row(
            "SELECT number, entry FROM class WHERE entry LIKE '%Photo%'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let as_pointer = r#"{"type":"Pointer","className":"_File"}"#;
    assert!(entry.contains(r#"{"type":"File"}"#), "{entry}");
    let entry = entry.replace(r#"{"type":"File"}"#, as_pointer);
    connection
        .execute("UPDATE class SET entry = ?1 WHERE number = ?2", (entry, number))
        .unwrap();
    let changed = connection
        .execute(
            &format!(
                "UPDATE c{number} SET doc = replace(doc, ?1, ?2), k1 = ?3, k2 = ?3 WHERE k1 = ?4 AND k2 = ?4"
            ),
            (
                file("old").to_string(),
                pointer("old").to_string(),
                b"\x03_File\0old",
                b"\x04old",
            ),
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(connection);

    let store = open(folder.path());
    let stored = store.get(&photos, &old).await.unwrap().unwrap();
    assert_eq!(stored["plain"], pointer("old"));
    let new = Update::new()
        .set("plain", file("new"))
        .set("indexed", file("new"))
        .set("map", json!({"indexed": file("new")}));
    let new = create(&store, &photos, new).await;
    let found = async |key: &str, id: &str| {
        let mut found = Vec::new();
        for filter in [
            Filter::all().eq(key, file(id)),
            Filter::all().one_of(key, vec![json!(7), pointer(id)]),
        ] {
            let rows = store.find(&photos, &Query::new(filter)).await.unwrap();
            found.push(
                rows.iter()
                    .map(|row| row.object_id().unwrap())
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(found[0], found[1], "{key}");
        found.swap_remove(0)
    };
    for key in ["plain", "indexed", "map.indexed"] {
        assert_eq!(found(key, "old").await, std::slice::from_ref(&old), "{key}");
        assert_eq!(found(key, "new").await, std::slice::from_ref(&new), "{key}");
    }
    assert_eq!(found("all", "old").await, std::slice::from_ref(&old));
    // The same file in its present form, another one, and one less.
    for (id, is_gone) in [("old", false), ("new", true)] {
        let update = Update::new()
            .set("indexed", file(id))
            .remove("all", vec![file("old")]);
        applied(
            store
                .write(Write::update(&photos, &old, Filter::all(), update))
                .await,
        );
        assert_eq!(found("indexed", "old").await.is_empty(), is_gone);
    }
    assert!(found("all", "old").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_share_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let things = class("Thing");
    create(&store, &things, Update::new().set("n", 0)).await;
    let before = store.metrics();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (store, things) = (store.clone(), things.clone());
            tokio::spawn(async move {
                store
                    .write(Write::create(&things, Update::new().set("n", n)))
                    .await
            })
        })
        .collect();
    for task in tasks {
        applied(task.await.unwrap());
    }
    let after = store.metrics();
    assert_eq!(after.requests - before.requests, 200);
    assert_eq!(after.calls - before.calls, 200);
    let commits = after.commits - before.commits;
    assert!(commits < 100, "200 concurrent writes took {commits} commits");

    // A batch is one request and one commit; what is refused takes none.
    let before = store.metrics();
    let writes = (0..5)
        .map(|n| Write::create(&things, Update::new().set("n", n)))
        .collect();
    assert_eq!(store.batch(writes).await.len(), 5);
    let absent = ObjectId::parse("absent").unwrap();
    let _ = store.write(Write::delete(&things, &absent, Filter::all())).await;
    let after = store.metrics();
    assert_eq!(
        (after.requests - before.requests, after.commits - before.commits),
        (1, 1)
    );
}

/// A backup taken under load is a consistent moment of the past: transfers between two accounts never show half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_load_is_consistent() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("data"));
    let users = class("Account");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let fields = Update::new()
            .set("account", 1_000_000)
            .set("pad", "x".repeat(500_000));
        ids.push(create(&store, &users, fields).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let (from, to) = (ids[0].clone(), ids[1].clone());
    let load = {
        let (store, stop, done, users) = (store.clone(), Arc::clone(&stop), Arc::clone(&done), users.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let add = |id, amount| {
                    Write::update(
                        &users,
                        id,
                        Filter::all(),
                        Update::new().increment("account", amount),
                    )
                };
                let outcome = store.commit(vec![add(&from, -1), add(&to, 1)]).await;
                assert!(matches!(outcome, CommitOutcome::Applied(_)));
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    while done.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
    let target = folder.path().join("backup.sqlite3");
    let reports = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reports);
    store
        .backup(&target, move |progress| {
            assert!(progress.done <= progress.total);
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .unwrap();
    assert!(reports.load(Ordering::Relaxed) > 0);
    let again = store.backup(&target, |_| {}).await.unwrap_err();
    assert!(matches!(again, OpenError::Occupied { .. }), "{again}");
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();

    let restored = folder.path().join("restored");
    restore(&target, &restored).unwrap();
    assert!(matches!(
        restore(&target, &restored),
        Err(OpenError::Occupied { .. })
    ));
    let copy = open(&restored);
    let accounts: Vec<i64> = everything(&copy, &users)
        .await
        .iter()
        .map(|user| user.integer("account").unwrap())
        .collect();
    assert_eq!(accounts.iter().sum::<i64>(), 2_000_000);
    assert!(
        accounts[0] != 1_000_000,
        "the backup holds what was acknowledged before it"
    );
    // Only whole files appear, and no log beside them.
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["backup.sqlite3", "data", "restored"]);
}

#[test]
fn restore_refuses_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let absent = restore(&folder.path().join("absent"), &target).unwrap_err();
    assert!(matches!(absent, OpenError::Absent { .. }), "{absent}");
    let text = folder.path().join("text");
    std::fs::write(&text, "hello ".repeat(500)).unwrap();
    let foreign = restore(&text, &target).unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
    assert!(!target.exists());
}

/// On a full disk, writes are refused with 503 and nothing of them is stored; reads go on. With room again, so do
/// writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_writes_until_space_is_freed() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_bounded(folder.path(), Environment::system(), Some(400_000)).unwrap();
    let things = class("Thing");
    let pad = "x".repeat(3000);
    let fill = async || {
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let fields = Update::new().set("n", n).set("pad", pad.as_str());
                let (store, write) = (store.clone(), Write::create(&things, fields));
                tokio::spawn(async move { store.write(write).await })
            })
            .collect();
        let (mut acknowledged, mut refused) = (Vec::new(), 0);
        for task in tasks {
            match task.await.unwrap() {
                WriteOutcome::Applied(written) => acknowledged.push(written.object_id.unwrap()),
                WriteOutcome::Rejected(error) => {
                    assert_eq!((error.code, error.status), (ErrorCode::UNAVAILABLE, 503));
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(refused > 0);
        acknowledged
    };
    let mut there = vec![create(&store, &things, Update::new().set("n", -1)).await];
    for _ in 0..3 {
        // What was refused together may still fit one by one.
        there.extend(fill().await);
        loop {
            let write = Write::create(&things, Update::new().set("pad", pad.as_str()));
            match store.write(write).await {
                WriteOutcome::Applied(written) => there.push(written.object_id.unwrap()),
                _ => break,
            }
        }
        assert!(there.len() > 30, "{}", there.len());
        let mut found: Vec<_> = everything(&store, &things)
            .await
            .iter()
            .map(|thing| thing.object_id().unwrap())
            .collect();
        there.sort();
        found.sort();
        assert_eq!(found, there);
        for id in there.split_off(there.len() / 2) {
            applied(store.write(Write::delete(&things, &id, Filter::all())).await);
        }
    }
    drop(store);
    assert_eq!(everything(&open(folder.path()), &things).await.len(), there.len());
}

/// A clock that panics on demand, like a bug in the writer.
#[derive(Default)]
struct BrokenClock(AtomicU64);

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        let left = self.0.load(Ordering::Relaxed);
        assert!(left != 1, "the clock is broken");
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, value) in bytes.iter_mut().zip(next) {
            *byte = value;
        }
    }
}

#[tokio::test]
async fn writer_panic_refuses_only_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(BrokenClock::default());
    let environment = Environment::new(Arc::clone(&clock) as _, Arc::new(Counting::default()));
    let store = SqliteStore::open(folder.path(), environment).unwrap();
    let things = class("Thing");
    let id = create(&store, &things, Update::new().set("n", 0)).await;
    let add = || Write::update(&things, &id, Filter::all(), Update::new().increment("n", 1));
    // The second write of the batch panics: none of the batch is acknowledged, and none is stored.
    clock.0.store(2, Ordering::Relaxed);
    for outcome in store.batch(vec![add(), add()]).await {
        assert!(matches!(outcome, WriteOutcome::Rejected(error) if error.status == 500));
    }
    clock.0.store(0, Ordering::Relaxed);
    assert_eq!(everything(&store, &things).await[0].integer("n"), Some(0));
    applied(store.write(add()).await);
    assert_eq!(everything(&store, &things).await[0].integer("n"), Some(1));
}

/// A clock that advances by a second at every reading.
#[derive(Default)]
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn slow_query_fails_with_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(Arc::new(Hurried::default()), Arc::new(Counting::default()));
    let store = SqliteStore::open(folder.path(), environment).unwrap();
    let things = class("Thing");
    let writes =
        (0..2000).map(|n| Write::create(&things, Update::new().set("n", n).set("o", json!({"n": n}))));
    store.batch(writes.collect()).await;
    // SQL decides the one, the evaluator the other.
    for key in ["n", "o.n"] {
        let query = Query::new(Filter::all().lt(key, 0)).order_by("-n");
        let outcome = store.find(&things, &query).await;
        match outcome {
            Err(ReadError::Rejected(error)) => assert_eq!(error.code, ErrorCode::TIMEOUT),
            other => assert!(key == "n" && other.is_ok(), "{key}: {other:?}"),
        }
    }
    let by_id = Query::new(Filter::all().eq("objectId", "absent"));
    assert_eq!(store.find(&things, &by_id).await.unwrap(), []);
}

#[tokio::test]
async fn queries_use_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut definition = Class::new(class("Log"));
    for (key, kind) in [
        ("key", ColumnType::String),
        ("amount", ColumnType::Number),
        ("due", ColumnType::Date),
        ("authData", ColumnType::Object),
    ] {
        definition.columns.insert(key.to_owned(), Column::new(kind));
    }
    definition.indexes = vec![
        index(&["key"], true),
        index(&["state", "amount"], false),
        index(&["amount"], false),
        index(&["due"], false),
        index(&["authData.weixin.uid"], true),
    ];
    let logs = definition.name.clone();
    store.define(SchemaChange::CreateClass(definition)).await.unwrap();
    let uses = |query: &Query, expected: &str| {
        let plan = store
            .explain(&logs, query, &Principal::Master)
            .unwrap()
            .join("; ");
        assert!(
            plan.contains(expected) && !plan.contains("SCAN"),
            "{query:?}: {plan}"
        );
    };
    let date = |millis| json!({"__type": "Date", "iso": Timestamp::from_millis(millis).to_string()});
    let all = Filter::all;
    uses(
        &Query::new(all().eq("objectId", "a")),
        "sqlite_autoindex_c1_1 (id=?)",
    );
    uses(
        &Query::new(all().one_of("objectId", vec!["a".into(), "b".into()])),
        "(id=?)",
    );
    uses(
        &Query::new(all().and_key("objectId", paylog::model::Test::Gt("a".into()))),
        "(id>?)",
    );
    uses(
        &Query::new(all().gte("createdAt", date(1))),
        "c1_created (created>?)",
    );
    uses(
        &Query::new(all().lt("updatedAt", date(1))),
        "c1_updated (updated<?)",
    );
    uses(&Query::new(all().eq("key", "a")), "c1_i0 (k1=?)");
    uses(
        &Query::new(all().one_of("key", vec!["a".into(), "b".into()])),
        "c1_i0 (k1=?)",
    );
    uses(
        &Query::new(all().gte("amount", 5).lt("amount", 9)),
        "(k3>? AND k3<?)",
    );
    uses(&Query::new(all().gte("due", date(1))), "(k4>? AND k4<?)");
    uses(
        &Query::new(all().eq("authData.weixin.uid", "a")),
        "MULTI-INDEX OR",
    );

    // Sorting by an index needs no sorting.
    let newest = Query::new(all()).order_by("-createdAt").limit(20);
    let plan = store
        .explain(&logs, &newest, &Principal::Master)
        .unwrap()
        .join("; ");
    assert!(plan.contains("SCAN c1 USING INDEX c1_created"), "{plan}");
}
