//! Indexes: queries use them, they lose nothing, and the cost of a query among many objects.

use std::path::Path;
use std::time::Duration;

use paylog::environment::Environment;
use paylog::model::{
    Class, ClassName, Column, ColumnType, Document, Filter, Index, ObjectId, Principal, Query, SchemaChange,
    Timestamp, Update,
};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{Database, Store, Write, WriteOutcome};
use rusqlite::Connection;
use serde_json::{Value, json};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Environment::system()).unwrap()
}

fn places() -> ClassName {
    ClassName::parse("Place").unwrap()
}

fn index(keys: &[&str], unique: bool, sparse: bool) -> Index {
    Index {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        unique,
        sparse,
    }
}

fn point(latitude: f64, longitude: f64) -> Value {
    json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude})
}

fn query(filter: &Value) -> Query {
    Query::new(Filter::parse(filter).unwrap())
}

fn user(id: &str, roles: &[&str]) -> Principal {
    Principal::Client {
        user: Some(ObjectId::parse(id).unwrap()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    }
}

fn create(fields: &Value) -> Write {
    let fields = fields.as_object().unwrap().iter();
    let update = fields.fold(Update::new(), |update, (key, value)| {
        update.set(key, value.clone())
    });
    Write::create(&places(), update)
}

async fn define(store: &dyn Database, indexes: Vec<Index>) {
    let mut class = Class::new(places());
    for (name, column_type) in [
        ("name", ColumnType::String),
        ("code", ColumnType::String),
        ("n", ColumnType::Number),
        ("at", ColumnType::GeoPoint),
    ] {
        class.columns.insert(name.to_owned(), Column::new(column_type));
    }
    class.indexes = indexes;
    store.define(SchemaChange::CreateClass(class)).await.unwrap();
}

async fn fill(store: &dyn Database, objects: impl Iterator<Item = Value>) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    let writes: Vec<Write> = objects.map(|object| create(&object)).collect();
    for writes in writes.chunks(1000) {
        for outcome in store.batch(writes.to_vec()).await {
            let WriteOutcome::Applied(written) = outcome else {
                panic!("{outcome:?}");
            };
            ids.push(written.object_id.unwrap());
        }
    }
    ids
}

// compat: index.used index.created_at index.updated_at index.acl index.compound index.sparse geo.index
#[tokio::test]
async fn query_on_indexed_column_uses_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let indexes = vec![
        index(&["name"], false, false),
        index(&["code"], true, true),
        index(&["n", "createdAt"], false, false),
    ];
    define(&store, indexes).await;
    fill(&store, [json!({"n": 1, "ACL": {}})].into_iter()).await;
    let time = json!({"__type": "Date", "iso": "2026-01-01T00:00:00.000Z"});
    let master = Principal::Master;
    let plan = |filter: &Value, order: &str, principal: &Principal| {
        let query = query(filter).order_by(order);
        store.explain(&places(), &query, principal).unwrap().join("; ")
    };
    for (filter, order, expected) in [
        (json!({"objectId": "a"}), "", "autoindex_c1_1 (id=?)"),
        // Whose ids are known is found by them, whatever else is asked: all objects may have the name.
        (
            json!({"objectId": {"$in": ["a", "b"]}, "name": "a"}),
            "",
            "autoindex_c1_1 (id=?)",
        ),
        (
            json!({"name": {"$in": ["a", "b"]}, "objectId": {"$in": (0..50).map(|n| n.to_string()).collect::<Vec<_>>()}}),
            "name",
            "autoindex_c1_1 (id=?)",
        ),
        (json!({"createdAt": {"$gt": time}}), "", "c1_created (created>?)"),
        (
            json!({"updatedAt": {"$lte": time}}),
            "-updatedAt",
            "c1_updated (updated<?)",
        ),
        (json!({"name": "a"}), "", "c1_i0 (k1=?)"),
        (json!({"name": {"$in": ["a", "b"]}}), "", "c1_i0 (k1=?)"),
        (
            json!({"name": {"$gte": "a", "$lt": "b"}}),
            "name",
            "c1_i0 (k1>? AND k1<?)",
        ),
        (
            json!({"name": {"$regex": "^\\Qa b\\E"}}),
            "",
            "c1_i0 (k1>? AND k1<?)",
        ),
        (json!({"code": "a"}), "", "c1_i1 (k2=?)"),
        (json!({"n": 1}), "-createdAt", "c1_i2 (k3=?)"),
        (
            json!({"n": 1, "createdAt": {"$gt": time}}),
            "",
            "c1_i2 (k3=? AND created>?)",
        ),
        (
            json!({"at": {"$within": {"$box": [point(1.0, 1.0), point(2.0, 2.0)]}}}),
            "",
            "c1_k4 (k4>? AND k4<?)",
        ),
        (
            json!({"at": {"$nearSphere": point(1.0, 1.0)}}),
            "",
            "c1_k4 (k4>? AND k4<?)",
        ),
    ] {
        let plan = plan(&filter, order, &master);
        assert!(
            plan.contains(expected) && !plan.contains("SCAN"),
            "{filter} {order}: {plan}"
        );
    }
    // By an index in its order, nothing is sorted.
    let sorted = plan(&json!({"n": 1}), "-createdAt", &master);
    assert!(!sorted.contains("USE TEMP B-TREE FOR ORDER BY"), "{sorted}");
    // What a client may read is found by who may read it.
    let own = plan(&json!({}), "-createdAt", &user("me", &["boss"]));
    assert!(
        own.contains("reader USING PRIMARY KEY (class=? AND reader=?)"),
        "{own}"
    );
    assert!(own.contains("c1_k5 (k5=?)") && !own.contains("SCAN c1"), "{own}");
}

/// A deterministic generator of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn acl(numbers: &mut Numbers) -> Option<Value> {
    match numbers.below(40) {
        0 => None,
        1 => Some(json!({"*": {"read": true}})),
        2 => Some(json!({"me": {"read": true, "write": true}})),
        3 => Some(json!({"role:boss": {"read": true}, "me": {"read": true}})),
        4 => Some(json!({"me": {"read": false, "write": true}})),
        5 => Some(json!({})),
        _ => Some(json!({"somebody": {"read": true}, "*": {"write": true}})),
    }
}

/// Among thousands of private objects a client finds exactly the readable ones, while ACLs change.
// compat: index.acl acl.read
#[tokio::test]
async fn readable_rows_are_found_among_many_private_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    let sqlite = open(folder.path());
    let mut objects: Vec<Value> = (0..60).map(|n| json!({"n": n % 7, "name": "public"})).collect();
    objects.extend((0..2500).map(|n| {
        let mut object = json!({"n": n % 7, "name": format!("name {n}")});
        if let Some(acl) = acl(&mut numbers) {
            object["ACL"] = acl;
        }
        object
    }));
    let mut ids = fill(&sqlite, objects.into_iter()).await;
    for round in 0..3 {
        compare_with_the_evaluator(&sqlite).await;
        let mut writes = Vec::new();
        for _ in 0..200 {
            let place = usize::try_from(numbers.below(ids.len() as u64)).unwrap();
            let id = &ids[place];
            writes.push(match (numbers.below(4), acl(&mut numbers)) {
                (0, _) => {
                    let gone = Write::delete(&places(), id, Filter::all());
                    ids.remove(place);
                    gone
                }
                (_, Some(acl)) => Write::update(&places(), id, Filter::all(), Update::new().set("ACL", acl)),
                (_, None) => {
                    let op = paylog::model::Op::Delete;
                    Write::update(&places(), id, Filter::all(), Update::new().with("ACL", op))
                }
            });
        }
        for outcome in sqlite.batch(writes).await {
            assert!(
                matches!(outcome, WriteOutcome::Applied(_)),
                "round {round}: {outcome:?}"
            );
        }
    }
    compare_with_the_evaluator(&sqlite).await;
    // Every object still has its readers, and no other.
    sqlite.close().await;
    drop(sqlite);
    let connection = Connection::open(folder.path().join("paylog.sqlite3")).unwrap();
    let count = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    let stale = "SELECT count(*) FROM reader WHERE id NOT IN (SELECT id FROM c1)";
    assert_eq!(count(stale), 0);
}

async fn compare_with_the_evaluator(sqlite: &SqliteStore) {
    let all = {
        let mut all = Vec::new();
        loop {
            let query = Query {
                skip: u32::try_from(all.len()).unwrap(),
                ..Query::default().limit(1000)
            };
            let page = sqlite.find(&places(), &query).await.unwrap();
            if page.is_empty() {
                break all;
            }
            all.extend(page);
        }
    };
    for principal in [
        Principal::anonymous(),
        user("me", &[]),
        user("other", &["boss"]),
        user("me", &["boss"]),
    ] {
        for (filter, order) in [
            (json!({}), ""),
            (json!({}), "-createdAt"),
            (json!({"n": {"$lt": 3}}), "-n,name"),
            (json!({"name": {"$regex": "1"}}), ""),
        ] {
            let wanted = Query {
                count: true,
                ..query(&filter).order_by(order).limit(1000)
            };
            let mut expected: Vec<Document> = all
                .iter()
                .filter(|document| principal.may_read(document) && wanted.filter.matches(document).unwrap())
                .cloned()
                .collect();
            wanted.sort(&mut expected);
            let found = sqlite.find_as(&places(), &wanted, &principal).await.unwrap();
            assert_eq!(found.count, Some(expected.len() as u64), "{principal:?} {filter}");
            assert_eq!(found.results, expected, "{principal:?} {filter} {order}");
        }
    }
}

/// A database of the first format, with ACLs and points in it, gets its indexes on opening.
#[tokio::test]
async fn older_database_gets_derived_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    define(&store, Vec::new()).await;
    let others = (0..1500).map(|n| json!({"n": n, "at": point(f64::from(n % 80), 0.0), "ACL": {}}));
    fill(&store, others).await;
    fill(
        &store,
        [json!({"n": -1, "at": point(50.5, 0.0), "ACL": {"me": {"read": true}}})].into_iter(),
    )
    .await;
    store.close().await;
    drop(store);
    let connection = Connection::open(folder.path().join("paylog.sqlite3")).unwrap();
    connection
        .execute_batch(
            "DROP INDEX c1_k1; DROP INDEX c1_k2; ALTER TABLE c1 DROP COLUMN k1; ALTER TABLE c1 DROP COLUMN k2;
             DROP TABLE reader; PRAGMA user_version = 1;
             UPDATE class SET entry = json_remove(json_set(entry, '$.keys', json_array()), '$.derived');",
        )
        .unwrap();
    drop(connection);
    let store = open(folder.path());
    let me = user("me", &[]);
    let own = store
        .find_as(&places(), &Query::default(), &me)
        .await
        .unwrap()
        .results;
    assert_eq!(own.len(), 1);
    let plan = store
        .explain(&places(), &Query::default(), &me)
        .unwrap()
        .join("; ");
    assert!(plan.contains("reader USING PRIMARY KEY"), "{plan}");
    let near = query(&json!({"at": {"$nearSphere": point(50.6, 0.0)}})).limit(1);
    let nearest = store.find(&places(), &near).await.unwrap();
    assert_eq!(nearest[0].integer("n"), Some(-1));
    assert!(
        folder.path().join("paylog.sqlite3.format-1").exists(),
        "the older database is kept beside it"
    );
}

/// A list too long to be bound one by one is searched in the index too.
// compat: where.in
#[tokio::test]
async fn long_in_list_uses_index() {
    let folder = tempfile::tempdir().unwrap();
    let (sqlite, memory) = (open(folder.path()), MemoryStore::new(Environment::system()));
    for store in [&sqlite as &dyn Database, &memory] {
        define(store, vec![index(&["name"], false, false)]).await;
        let objects =
            (0..3000).map(|n| json!({"name": format!("name {n}"), "n": n, "code": format!("é {n}")}));
        fill(store, objects).await;
    }
    let names: Vec<Value> = (0..5000).map(|n| json!(format!("name {}", n * 3))).collect();
    let numbers: Vec<Value> = (0..5000).map(|n| json!(n * 2)).collect();
    let codes: Vec<Value> = (0..200).map(|n| json!(format!("é {}", n * 7))).collect();
    for filter in [
        json!({"name": {"$in": names}}),
        json!({"name": {"$nin": names}}),
        json!({"n": {"$in": numbers}}),
        json!({"code": {"$in": codes}, "n": {"$lt": 700}}),
        json!({"n": {"$in": [null, 1.5, "a", 7, 7.0]}}),
    ] {
        let query = Query {
            count: true,
            ..query(&filter).order_by("n").limit(1000)
        };
        let mut answers = Vec::new();
        for store in [&sqlite as &dyn Database, &memory] {
            let found = store
                .find_as(&places(), &query, &Principal::Master)
                .await
                .unwrap();
            let numbers: Vec<_> = found.results.iter().map(|row| row.integer("n")).collect();
            answers.push((numbers, found.count));
        }
        assert_eq!(answers[0], answers[1]);
        assert!(answers[0].1.unwrap() > 0);
    }
    let plan = store_plan(&sqlite, &json!({"name": {"$in": names}}));
    assert!(plan.contains("c1_i0 (k1=?)"), "{plan}");
}

fn store_plan(store: &SqliteStore, filter: &Value) -> String {
    store
        .explain(&places(), &query(filter), &Principal::Master)
        .unwrap()
        .join("; ")
}

/// A prefix is found by the index, regardless of the rest.
// compat: where.regex
#[tokio::test]
async fn prefix_pattern_uses_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    define(&store, vec![index(&["name"], false, false)]).await;
    let names = [
        "ab",
        "ab\u{10ffff}c",
        "ab.c",
        "aB",
        "a",
        "abc",
        "b",
        "\u{d7ff}x",
        "\u{e000}x",
        "",
    ];
    fill(&store, names.iter().map(|name| json!({"name": name}))).await;
    for (pattern, uses_index) in [
        (r"^\Qab\E", true),
        ("^ab", true),
        ("^abc?", true),
        ("^ab*", true),
        ("^ab|^b", false),
        ("^\\Q\u{d7ff}\\E", true),
        ("ab", false),
        (r"^\Qab.\E", true),
        (r"^\Qa\E\Qb", true),
        (r"^ab\E*", true),
        (r"^ab\.", true),
        ("^ab(?#or not)?", true),
        ("^a(b|c)", true),
        ("^(ab)", false),
    ] {
        let filter = json!({"name": {"$regex": pattern}});
        let wanted = query(&filter).order_by("name");
        let mut found: Vec<String> = store
            .find(&places(), &wanted)
            .await
            .unwrap()
            .iter()
            .map(|row| row.text("name").unwrap().to_owned())
            .collect();
        let mut expected: Vec<String> = names
            .iter()
            .filter(|name| {
                let document = Document::from_iter([("name".to_owned(), json!(name))]);
                wanted.filter.matches(&document).unwrap()
            })
            .map(|name| (*name).to_owned())
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{pattern}");
        assert_eq!(
            store_plan(&store, &filter).contains("c1_i0 (k1>"),
            uses_index,
            "{pattern}"
        );
    }
}

/// The shortest of several durations: the cost of the query, without the machine's noise.
async fn cost(store: &SqliteStore, query: &Query, principal: &Principal) -> Duration {
    let clock = Environment::system();
    let mut shortest = Duration::MAX;
    for _ in 0..7 {
        let started = clock.elapsed();
        let found = store.find_as(&places(), query, principal).await.unwrap();
        shortest = shortest.min(clock.elapsed().saturating_sub(started));
        assert!(
            !found.results.is_empty() || found.count > Some(0),
            "{query:?} finds nothing"
        );
    }
    shortest
}

/// A query by an index stays fast among many objects. `PAYLOG_OBJECTS=1000000` runs the full size.
// compat: index.fast
#[tokio::test(flavor = "multi_thread")]
async fn indexed_query_is_fast_among_many_objects() {
    let objects: i64 =
        std::env::var_os("PAYLOG_OBJECTS").map_or(10_000, |count| count.to_str().unwrap().parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let indexes = vec![
        index(&["name"], false, false),
        index(&["code"], true, true),
        index(&["n", "createdAt"], false, false),
    ];
    define(&store, indexes).await;
    let clock = Environment::system();
    let started = clock.elapsed();
    let mut numbers = Numbers(3);
    let mut made = 0;
    while made < objects {
        let chunk = (made..objects.min(made + 10_000)).map(|n| {
            #[expect(clippy::cast_precision_loss, reason = "numbers below a million")]
            let mut degrees = |span: u64| numbers.below(span * 1000) as f64 / 1000.0 - (span / 2) as f64;
            let at = point(degrees(180), degrees(360));
            let owner = format!("user{}", n / 10);
            json!({"name": format!("name {}", n / 5), "code": format!("code {n}"), "n": n % 100, "at": at,
                "text": "some text that makes the object as long as objects are", "ACL": {owner: {"read": true}}})
        });
        fill(&store, chunk).await;
        made += 10_000;
    }
    println!(
        "{objects} objects made in {:?}",
        clock.elapsed().saturating_sub(started)
    );
    let middle = store
        .find(
            &places(),
            &Query::new(Filter::all().eq("code", format!("code {}", objects / 2))),
        )
        .await
        .unwrap();
    let time = Timestamp::from_millis(middle[0].created_at().unwrap().as_millis()).to_string();
    let time = json!({"__type": "Date", "iso": time});
    let (master, owner) = (
        Principal::Master,
        user(&format!("user{}", objects / 20), &["nobody"]),
    );
    let half = objects / 2;
    for (what, filter, order, principal) in [
        (
            "equality",
            json!({"name": format!("name {}", half / 5)}),
            "",
            &master,
        ),
        ("unique", json!({"code": format!("code {half}")}), "", &master),
        (
            "prefix",
            json!({"name": {"$regex": format!("^\\Qname {}\\E", half / 5)}}),
            "",
            &master,
        ),
        (
            "compound",
            json!({"n": 50, "createdAt": {"$gte": time}}),
            "createdAt",
            &master,
        ),
        ("newest", json!({}), "-createdAt", &master),
        (
            "range",
            json!({"createdAt": {"$gte": time}}),
            "createdAt",
            &master,
        ),
        (
            "near",
            json!({"at": {"$nearSphere": point(30.0, 100.0)}}),
            "",
            &master,
        ),
        ("acl", json!({}), "-createdAt", &owner),
        (
            "acl and equality",
            json!({"name": format!("name {}", half / 5)}),
            "",
            &owner,
        ),
    ] {
        let query = query(&filter).order_by(order).limit(10);
        let cost = cost(&store, &query, principal).await;
        println!("{what}: {cost:?}");
        assert!(cost < Duration::from_millis(10), "{what} took {cost:?}");
    }
}
