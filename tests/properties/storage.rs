//! SQLite agrees with the evaluator for all stored data, queries and indexes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::{
    ClassName, Document, ErrorCode, Filter, Index, KeyPath, ObjectId, Op, Pointer, Principal, Query,
    SchemaChange, Test, Timestamp, Update,
};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{AtomicStore, CommitOutcome, Database, Store, Write, WriteOutcome};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::strategies::{self, COLUMNS, cases};

/// A clock and a random source that depend on the step alone, so that two stores in the same step produce the same
/// ids and times, however often each of them asks.
#[derive(Default)]
struct Steps {
    step: AtomicU64,
    drawn: AtomicI64,
}

impl Steps {
    fn next(&self) {
        self.step.fetch_add(1, Ordering::Relaxed);
        self.drawn.store(0, Ordering::Relaxed);
    }
}

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        let step = i64::try_from(self.step.load(Ordering::Relaxed)).unwrap();
        // Several steps fall into one millisecond, so that times meet.
        Timestamp::from_millis(1_700_000_000_000 + step / 3)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

impl Entropy for Steps {
    fn fill(&self, bytes: &mut [u8]) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).unsigned_abs();
        let step = self.step.load(Ordering::Relaxed);
        let mixed = (step * 1000 + drawn).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (byte, value) in bytes.iter_mut().zip(mixed.to_be_bytes()) {
            *byte = value;
        }
    }
}

/// Both engines, in lockstep.
struct Pair {
    memory: (MemoryStore, Arc<Steps>),
    sqlite: (SqliteStore, Arc<Steps>),
    /// Environments of the engines.
    environments: [Environment; 2],
    _folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let environment = || {
            let steps = Arc::new(Steps::default());
            (
                Environment::new(Arc::clone(&steps) as _, Arc::clone(&steps) as _),
                steps,
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let (first, first_steps) = environment();
        let (second, second_steps) = environment();
        Self {
            memory: (MemoryStore::new(first.clone()), first_steps),
            sqlite: (
                SqliteStore::open(folder.path(), second.clone()).unwrap(),
                second_steps,
            ),
            environments: [first, second],
            _folder: folder,
        }
    }

    fn next(&self) {
        self.memory.1.next();
        self.sqlite.1.next();
        // Of what has not come to be, one engine may have made ids that the other has not.
        let made = |environment: &Environment| {
            let id = environment.object_id();
            u32::from_str_radix(&id.as_str()[18..], 16).unwrap()
        };
        let [memory, sqlite] = &self.environments;
        let (first, second) = (made(memory), made(sqlite));
        for (environment, missing) in [
            (memory, second.saturating_sub(first)),
            (sqlite, first.saturating_sub(second)),
        ] {
            for _ in 0..missing {
                let _ = environment.object_id();
            }
        }
    }

    async fn define(&self, change: SchemaChange) {
        let memory = self.memory.0.define(change.clone()).await;
        let sqlite = self.sqlite.0.define(change).await;
        assert_eq!(memory, sqlite);
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.next();
        let memory = self.memory.0.batch(writes.clone()).await;
        let sqlite = self.sqlite.0.batch(writes).await;
        assert_eq!(memory, sqlite);
        memory
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        self.next();
        let memory = self.memory.0.commit(writes.clone()).await;
        let sqlite = self.sqlite.0.commit(writes).await;
        assert_eq!(memory, sqlite);
        memory
    }

    async fn ask(&self, class: &ClassName, query: &Query, principal: &Principal) {
        let memory = self.memory.0.find_as(class, query, principal).await;
        let sqlite = self.sqlite.0.find_as(class, query, principal).await;
        // The evaluator gives up on patterns that backtrack without end; SQL may have left those rows out.
        if memory.as_ref().is_err_and(|_| sqlite.is_ok()) {
            return;
        }
        assert_eq!(memory, sqlite, "{query:?} as {principal:?}");
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

fn class() -> ClassName {
    ClassName::parse("Thing").unwrap()
}

fn index(keys: &[&str], unique: bool, sparse: bool) -> Index {
    Index {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        unique,
        sparse,
    }
}

/// Indexes over columns of every type, and none.
fn indexes() -> impl Strategy<Value = Vec<Index>> {
    let all: Vec<Index> = [
        ["n"],
        ["s"],
        ["b"],
        ["d"],
        ["l"],
        ["p"],
        ["o.x"],
        ["o.x.y"],
        ["none"],
    ]
    .iter()
    .map(|keys| index(keys, false, false))
    .chain([index(&["n", "s"], false, false)])
    .collect();
    prop::sample::subsequence(all, 0..5)
}

/// Unique indexes.
fn unique_indexes() -> impl Strategy<Value = Vec<Index>> {
    let all = vec![
        index(&["n"], true, true),
        index(&["s"], true, false),
        index(&["d"], true, true),
        index(&["b", "s"], true, true),
        index(&["n", "o.x"], true, false),
        index(&["p"], true, true),
        index(&["l"], true, true),
    ];
    prop::sample::subsequence(all, 0..3)
}

fn create(document: &Document) -> Write {
    let fields = document.iter().fold(Update::new(), |update, (key, value)| {
        update.set(key, value.clone())
    });
    Write::create(&class(), fields)
}

/// An optional ACL.
fn acls() -> impl Strategy<Value = Option<Value>> {
    prop::option::weighted(
        0.4,
        prop::sample::select(vec![
            json!({}),
            json!({"*": {"read": true}}),
            json!({"me": {"read": true, "write": true}}),
            json!({"role:boss": {"read": true}, "*": {"read": false}}),
        ]),
    )
}

fn principals() -> impl Strategy<Value = Principal> {
    let client = |user: Option<&str>, roles: &[&str]| Principal::Client {
        user: user.map(|id| ObjectId::parse(id).unwrap()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    prop::sample::select(vec![
        Principal::Master,
        Principal::Master,
        client(None, &[]),
        client(Some("me"), &[]),
        client(Some("other"), &["boss"]),
    ])
}

/// Tests of columns with values of their own type, which SQL decides itself, and of the common columns.
fn typed_filters() -> impl Strategy<Value = Filter> {
    let of_column = prop::sample::select(COLUMNS.to_vec())
        .prop_flat_map(|column| (Just(column), vec(strategies::values_of(column), 3), 0_usize..10));
    let dates = (0_i64..12).prop_map(|millis| {
        let time = Timestamp::from_millis(1_700_000_000_000 + millis).to_string();
        json!({"__type": "Date", "iso": time})
    });
    let of_times = (
        prop::sample::select(vec!["createdAt", "updatedAt"]),
        vec(dates, 3),
        0_usize..10,
    );
    let tests = prop_oneof![5 => of_column, 1 => of_times].prop_map(|(column, values, kind)| {
        let first = values[0].clone();
        let test = match kind {
            0 => Test::Eq(first),
            1 => Test::Ne(first),
            2 => Test::Lt(first),
            3 => Test::Lte(first),
            4 => Test::Gt(first),
            5 => Test::Gte(first),
            6 => Test::In(values),
            7 => Test::Nin(values),
            8 => Test::Not(Box::new(Test::Gt(first))),
            _ => Test::Exists(first.is_null()),
        };
        Filter::Key(KeyPath::new(column), test)
    });
    (vec(tests, 1..4), 0_usize..4).prop_map(|(parts, kind)| match kind {
        0 | 1 => Filter::And(parts),
        2 => Filter::And(vec![Filter::Or(parts)]),
        _ => Filter::And(vec![Filter::Nor(parts)]),
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let order = prop::sample::select(vec![
        "",
        "updatedAt",
        "-createdAt,n",
        "-objectId",
        "o.x",
        "none,-s",
        "-ACL",
    ]);
    let typed =
        (typed_filters(), strategies::queries()).prop_map(|(filter, query)| Query { filter, ..query });
    prop_oneof![strategies::queries().boxed(), typed.boxed()]
        .prop_flat_map(move |query| (Just(query), prop::option::weighted(0.3, order.clone())))
        .prop_map(|(query, order)| match order {
            Some(order) => query.order_by(order),
            None => query,
        })
}

/// Points that lie close together, far apart, at a pole and at the date line.
fn points() -> impl Strategy<Value = Value> {
    let point = |latitude: f64, longitude: f64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude});
    prop_oneof![
        4 => (-20_i32..20, -20_i32..20).prop_map(move |(north, east)| {
            point(39.9 + f64::from(north) / 500.0, 116.4 + f64::from(east) / 500.0)
        }),
        2 => (-90_i32..=90, -180_i32..=180).prop_map(move |(north, east)| point(north.into(), east.into())),
        1 => (-90_i32..=-88, -180_i32..=180).prop_map(move |(north, east)| point(north.into(), east.into())),
        1 => (-3_i32..3, prop::sample::select(vec![-180.0, -179.99, 179.99, 180.0]))
            .prop_map(move |(north, east)| point(f64::from(north) / 100.0, east)),
    ]
}

fn geo_filters() -> impl Strategy<Value = Filter> {
    let distances = prop::sample::select(vec![
        json!({}),
        json!({"$maxDistanceInKilometers": 3}),
        json!({"$maxDistanceInMiles": 100, "$minDistanceInKilometers": 2}),
        json!({"$maxDistance": 0.5}),
        json!({"$minDistanceInKilometers": 500}),
    ]);
    let near = (points(), distances).prop_map(|(centre, mut test)| {
        test["$nearSphere"] = centre;
        test
    });
    let within = (points(), points()).prop_map(|(a, b)| json!({"$within": {"$box": [a, b]}}));
    let test = prop_oneof![3 => near, 1 => within, 1 => Just(json!({"$exists": true}))];
    (test, prop::option::of(0_i64..4)).prop_map(|(test, below)| {
        let filter = match below {
            Some(below) => json!({"at": test, "n": {"$lt": below}}),
            None => json!({"at": test}),
        };
        Filter::parse(&filter).unwrap()
    })
}

/// A write of an existing document or of a new one.
#[derive(Clone, Debug)]
enum Step {
    Create(Document),
    Update(usize, Filter, Update),
    Delete(usize, Filter),
    Relate(usize, Op),
}

fn steps() -> impl Strategy<Value = Step> {
    let preconditions = || {
        prop_oneof![
            3 => Just(Filter::all()),
            2 => typed_filters(),
            1 => strategies::filters(),
        ]
    };
    let pointers = vec(prop::sample::select(vec!["a", "b", "c"]), 1..3).prop_map(|ids| {
        let pointer = |id: &&str| Pointer {
            class_name: ClassName::parse("Target").unwrap(),
            object_id: ObjectId::parse(id).unwrap(),
        };
        ids.iter().map(pointer).collect::<Vec<_>>()
    });
    prop_oneof![
        4 => (strategies::documents(), acls()).prop_map(|(mut document, acl)| {
            if let Some(acl) = acl {
                document.insert("ACL".to_owned(), acl);
            }
            Step::Create(document)
        }),
        1 => (0_usize..8, acls()).prop_map(|(at, acl)| {
            let op = acl.map_or(Op::Delete, Op::Set);
            Step::Update(at, Filter::all(), Update::new().with("ACL", op))
        }),
        4 => (0_usize..8, preconditions(), strategies::updates())
            .prop_map(|(at, precondition, update)| Step::Update(at, precondition, update)),
        2 => (0_usize..8, preconditions(), strategies::wild_updates())
            .prop_map(|(at, precondition, update)| Step::Update(at, precondition, update)),
        1 => (0_usize..8, preconditions()).prop_map(|(at, precondition)| Step::Delete(at, precondition)),
        1 => (0_usize..8, pointers, any::<bool>()).prop_map(|(at, targets, add)| {
            let op = if add { Op::AddRelation(targets) } else { Op::RemoveRelation(targets) };
            Step::Relate(at, op)
        }),
    ]
}

fn to_write(step: Step, ids: &[ObjectId]) -> Write {
    let absent = ObjectId::parse("absent").unwrap();
    let id = |at: usize| ids.get(at).unwrap_or(&absent);
    match step {
        Step::Create(document) => create(&document),
        Step::Update(at, precondition, update) => Write::update(&class(), id(at), precondition, update),
        Step::Delete(at, precondition) => Write::delete(&class(), id(at), precondition),
        Step::Relate(at, op) => {
            let update = Update::new().with("r", op);
            Write::update(&class(), id(at), Filter::all(), update)
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    /// Rows, their order and their number agree with the evaluator, with any indexes and for any principal.
    #[test]
    fn sqlite_query_agrees_with_evaluator(
        documents in vec((strategies::documents(), acls()), 0..24),
        indexes in indexes(),
        questions in vec((queries(), principals()), 24),
    ) {
        runtime().block_on(async {
            let pair = Pair::new();
            let (before, after) = documents.split_at(documents.len() / 2);
            for half in [before, after] {
                for (document, acl) in half {
                    let mut document = document.clone();
                    if let Some(acl) = acl {
                        document.insert("ACL".to_owned(), acl.clone());
                    }
                    pair.batch(vec![create(&document)]).await;
                }
                for index in &indexes {
                    pair.define(SchemaChange::AddIndex(class(), index.clone())).await;
                }
            }
            for (query, principal) in &questions {
                pair.ask(&class(), query, principal).await;
            }
        });
    }

    /// Points are found, sorted by distance and counted as by the evaluator, for any principal.
    #[test]
    fn sqlite_geo_query_agrees_with_evaluator(
        places in vec((prop::option::weighted(0.9, points()), acls(), 0_i64..4), 0..60),
        questions in vec((geo_filters(), principals(), any::<bool>(), 0_u32..4, 0_u32..12, any::<bool>()), 24),
    ) {
        runtime().block_on(async {
            let pair = Pair::new();
            for (at, acl, n) in places {
                let mut document = Document::new();
                document.insert("n".to_owned(), n.into());
                for (key, value) in [("at", at), ("ACL", acl)] {
                    if let Some(value) = value {
                        document.insert(key.to_owned(), value);
                    }
                }
                pair.batch(vec![create(&document)]).await;
            }
            for (filter, principal, count, skip, limit, ordered) in questions {
                let query = Query { count, skip, ..Query::new(filter).limit(limit) };
                let query = if ordered { query.order_by("-n") } else { query };
                pair.ask(&class(), &query, &principal).await;
            }
        });
    }

    /// The same writes have the same outcomes and leave the same documents, classes and relations.
    #[test]
    fn sqlite_agrees_with_memory_after_any_writes(
        indexes in unique_indexes(),
        groups in vec((any::<bool>(), vec(steps(), 1..5)), 1..10),
    ) {
        runtime().block_on(async {
            let pair = Pair::new();
            for index in indexes {
                pair.define(SchemaChange::AddIndex(class(), index)).await;
            }
            let mut ids: Vec<ObjectId> = Vec::new();
            for (atomic, steps) in groups {
                let writes: Vec<Write> = steps.into_iter().map(|step| to_write(step, &ids)).collect();
                let written: Vec<_> = if atomic {
                    match pair.commit(writes).await {
                        CommitOutcome::Applied(written) => written,
                        CommitOutcome::Refused { outcome, .. } => {
                            let retryable = matches!(&outcome, WriteOutcome::NotMatched | WriteOutcome::Rejected(_));
                            assert!(retryable, "{outcome:?}");
                            continue;
                        }
                        CommitOutcome::Unknown(reason) => panic!("{reason}"),
                    }
                } else {
                    let outcomes = pair.batch(writes).await.into_iter();
                    outcomes
                        .filter_map(|outcome| match outcome {
                            WriteOutcome::Applied(written) => Some(written),
                            WriteOutcome::Rejected(error) => {
                                assert_ne!(error.code, ErrorCode::UNAVAILABLE);
                                None
                            }
                            _ => None,
                        })
                        .collect()
                };
                ids.extend(written.into_iter().filter(|written| written.created_at.is_some()).filter_map(|written| written.object_id));
            }
            let all = Query { count: true, ..Query::default() };
            pair.ask(&class(), &all, &Principal::Master).await;
            pair.ask(&class(), &all, &Principal::anonymous()).await;
            assert_eq!(pair.memory.0.schema(), pair.sqlite.0.schema());
            for id in ids {
                let owner = Pointer { class_name: class(), object_id: id };
                let memory = pair.memory.0.related(&owner, "r").await;
                assert_eq!(memory, pair.sqlite.0.related(&owner, "r").await);
            }
        });
    }
}
