//! The contract of the ports of `store`, as one suite that every engine passes.
//!
//! Each behaviour is a function of a [`StoreFixture`] and uses classes of its own, so that all of them can run on one store.
//! [`conformance`] makes a test of each.

use std::slice;
use std::sync::Arc;

use paylog::environment::Environment;
use paylog::model::{
    Class, ClassName, Column, ColumnType, Document, ErrorCode, Filter, Index, ObjectId, Op, Pointer,
    Principal, Query, SchemaChange, Test, Timestamp, Update, Value,
};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{CommitOutcome, Database, ReadError, Store, Write, WriteOutcome, Written};
use serde_json::json;

/// A store and its database: the same object for an embedded engine, the server's database for a REST client.
pub(crate) struct StoreFixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) database: Arc<dyn Database>,
    /// Resources that live as long as the store.
    pub(crate) _keep: Option<tempfile::TempDir>,
}

fn memory() -> StoreFixture {
    let store = Arc::new(MemoryStore::new(Environment::system()));
    StoreFixture {
        database: Arc::clone(&store) as Arc<dyn Database>,
        store,
        _keep: None,
    }
}

fn sqlite() -> StoreFixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path(), Environment::system()).unwrap());
    StoreFixture {
        database: Arc::clone(&store) as Arc<dyn Database>,
        store,
        _keep: Some(folder),
    }
}

macro_rules! conformance {
    ($engine:ident: $($behaviour:ident),* $(,)?) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    super::$behaviour(super::$engine()).await;
                }
            )*
        }
    };
}

macro_rules! every_behaviour {
    ($($engine:ident),*) => {
        $(conformance!($engine:
            created_object_is_read,
            absent_object_and_class_are_empty,
            update_requires_precondition,
            delete_requires_precondition,
            operations_apply_to_stored_values,
            batch_continues_after_refusal,
            commit_is_all_or_nothing,
            commit_writes_see_earlier_writes,
            commit_reports_first_refusal,
            duplicate_unique_value_is_refused,
            sparse_and_compound_unique_indexes_are_enforced,
            unique_index_over_duplicates_is_refused,
            indexed_value_is_limited_to_a_kilobyte,
            column_keeps_type,
            refused_write_adds_no_columns,
            column_default_and_required_are_applied,
            write_of_reserved_keys_is_refused,
            query_filters_sorts_skips_and_limits,
            query_count_ignores_limit,
            unresolved_subquery_is_refused,
            acl_hides_and_protects_objects,
            relations_are_stored_beside_document,
            concurrent_conditional_updates_never_overspend,
        );)*
    };
}

every_behaviour!(memory, sqlite);

pub(crate) fn class(name: &str) -> ClassName {
    ClassName::parse(name).unwrap()
}

pub(crate) fn applied(outcome: WriteOutcome) -> Written {
    match outcome {
        WriteOutcome::Applied(written) => written,
        other => panic!("not applied: {other:?}"),
    }
}

fn code(outcome: WriteOutcome) -> ErrorCode {
    match outcome {
        WriteOutcome::Rejected(error) => error.code,
        other => panic!("not rejected: {other:?}"),
    }
}

async fn create(fixture: &StoreFixture, class: &ClassName, fields: Update) -> ObjectId {
    let written = applied(fixture.store.write(Write::create(class, fields)).await);
    written.object_id.unwrap()
}

async fn read(fixture: &StoreFixture, class: &ClassName, id: &ObjectId) -> Document {
    fixture.store.get(class, id).await.unwrap().unwrap()
}

fn unique(keys: &[&str], sparse: bool) -> Index {
    Index {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        unique: true,
        sparse,
    }
}

async fn created_object_is_read(fixture: StoreFixture) {
    let class = class("Created");
    let fields = Update::new()
        .set("name", "tea")
        .set("price", 100)
        .set("tags", json!(["a", null, 1.5]))
        .set(
            "when",
            json!({"__type": "Date", "iso": "2026-01-02T03:04:05.678Z"}),
        );
    let written = applied(fixture.store.write(Write::create(&class, fields)).await);
    let id = written.object_id.unwrap();
    assert!(written.created_at.is_some());

    let document = read(&fixture, &class, &id).await;
    assert_eq!(document.object_id(), Some(id.clone()));
    assert_eq!(document.created_at(), written.created_at);
    assert_eq!(document.updated_at(), written.created_at);
    assert_eq!(document.text("name"), Some("tea"));
    assert_eq!(document["price"].to_string(), "100");
    assert_eq!(document["tags"], json!(["a", null, 1.5]));
    assert_eq!(document["when"]["iso"], "2026-01-02T03:04:05.678Z");
}

async fn absent_object_and_class_are_empty(fixture: StoreFixture) {
    let absent = ObjectId::parse("0123456789abcdef01234567").unwrap();
    let class = class("Absent");
    assert_eq!(fixture.store.get(&class, &absent).await.unwrap(), None);
    assert_eq!(fixture.store.find(&class, &Query::default()).await.unwrap(), []);
    assert_eq!(fixture.store.count(&class, &Filter::all()).await.unwrap(), 0);
    create(&fixture, &class, Update::new().set("n", 1)).await;
    assert_eq!(fixture.store.get(&class, &absent).await.unwrap(), None);
    let update = Write::update(
        &class,
        &absent,
        Filter::all().eq("n", 1),
        Update::new().set("n", 2),
    );
    assert_eq!(fixture.store.write(update).await, WriteOutcome::NotMatched);
    let delete = Write::delete(&class, &absent, Filter::all().eq("n", 1));
    assert_eq!(fixture.store.write(delete).await, WriteOutcome::NotMatched);
    assert_eq!(fixture.store.count(&class, &Filter::all()).await.unwrap(), 1);
}

async fn update_requires_precondition(fixture: StoreFixture) {
    let class = class("Guarded");
    let id = create(
        &fixture,
        &class,
        Update::new().set("account", 100).set("paylogs", json!([])),
    )
    .await;
    let debit = || {
        Write::update(
            &class,
            &id,
            Filter::all().ne("paylogs", "log1").gte("account", 60),
            Update::new()
                .increment("account", -60)
                .add_unique("paylogs", vec!["log1".into()]),
        )
    };
    let written = applied(fixture.store.write(debit()).await);
    assert_eq!(written.fields.integer("account"), Some(40));
    assert_eq!(written.fields["paylogs"], json!(["log1"]));
    assert!(written.updated_at.is_some());
    assert_eq!(fixture.store.write(debit()).await, WriteOutcome::NotMatched);
    let document = read(&fixture, &class, &id).await;
    assert_eq!(document.integer("account"), Some(40));
    assert_eq!(document.updated_at(), written.updated_at);
}

async fn delete_requires_precondition(fixture: StoreFixture) {
    let class = class("Deleted");
    let id = create(&fixture, &class, Update::new().set("n", 1)).await;
    let refused = Write::delete(&class, &id, Filter::all().eq("n", 2));
    assert_eq!(fixture.store.write(refused).await, WriteOutcome::NotMatched);
    applied(
        fixture
            .store
            .write(Write::delete(&class, &id, Filter::all().eq("n", 1)))
            .await,
    );
    assert_eq!(fixture.store.get(&class, &id).await.unwrap(), None);
}

async fn operations_apply_to_stored_values(fixture: StoreFixture) {
    let class = class("Operated");
    let fields = Update::new()
        .set("n", 5)
        .set("tags", json!(["a", "b", "a"]))
        .set("gone", "x")
        .set("o", json!({"x": 1}));
    let id = create(&fixture, &class, fields).await;
    let update = Update::new()
        .increment("n", 7)
        .increment("fresh", 3)
        .with("tags", Op::Remove(vec!["a".into()]))
        .delete("gone")
        .with("bits", Op::BitOr(6))
        .set("o.y", 2);
    applied(
        fixture
            .store
            .write(Write::update(&class, &id, Filter::all(), update))
            .await,
    );
    let document = read(&fixture, &class, &id).await;
    assert_eq!(document["n"], json!(12));
    assert_eq!(document["fresh"], json!(3));
    assert_eq!(document["tags"], json!(["b"]));
    assert_eq!(document.get("gone"), None);
    assert_eq!(document["bits"], json!(6));
    assert_eq!(document["o"], json!({"x": 1, "y": 2}));
}

async fn batch_continues_after_refusal(fixture: StoreFixture) {
    let class = class("Batched");
    let id = create(&fixture, &class, Update::new().set("n", 1)).await;
    let writes = vec![
        Write::update(&class, &id, Filter::all().eq("n", 9), Update::new().set("n", 0)),
        Write::update(&class, &id, Filter::all(), Update::new().set("n", "text")),
        Write::update(
            &class,
            &id,
            Filter::all().eq("n", 1),
            Update::new().increment("n", 1),
        ),
        Write::update(
            &class,
            &id,
            Filter::all().eq("n", 2),
            Update::new().increment("n", 1),
        ),
    ];
    let mut outcomes = fixture.store.batch(writes).await.into_iter();
    assert_eq!(outcomes.next(), Some(WriteOutcome::NotMatched));
    assert_eq!(code(outcomes.next().unwrap()), ErrorCode::INCORRECT_TYPE);
    applied(outcomes.next().unwrap());
    applied(outcomes.next().unwrap());
    assert_eq!(outcomes.next(), None);
    assert_eq!(read(&fixture, &class, &id).await.integer("n"), Some(3));
    assert_eq!(fixture.store.batch(Vec::new()).await, []);
}

async fn commit_is_all_or_nothing(fixture: StoreFixture) {
    let Some(atomic) = fixture.store.atomic() else {
        return;
    };
    let (users, logs) = (class("CommitUser"), class("CommitLog"));
    let change = SchemaChange::AddIndex(logs.clone(), unique(&["key"], false));
    fixture.database.define(change).await.unwrap();
    let user = create(&fixture, &users, Update::new().set("account", 100)).await;
    let pay = |key: &str, amount: i64| {
        vec![
            Write::create(&logs, Update::new().set("key", key).set("amount", amount)),
            Write::update(
                &users,
                &user,
                Filter::all().gte("account", amount),
                Update::new().increment("account", -amount),
            ),
        ]
    };
    let CommitOutcome::Applied(written) = atomic.commit(pay("a", 60)).await else {
        panic!("the first payment is possible");
    };
    assert_eq!(written.len(), 2);
    assert_eq!(written[1].fields.integer("account"), Some(40));

    let refused = atomic.commit(pay("b", 60)).await;
    let outcome = WriteOutcome::NotMatched;
    assert_eq!(refused, CommitOutcome::Refused { index: 1, outcome });

    // The unique index refuses after the account was changed.
    let mut writes = pay("a", 10);
    writes.reverse();
    let CommitOutcome::Refused { index: 1, outcome } = atomic.commit(writes).await else {
        panic!("the key is taken");
    };
    assert_eq!(code(outcome), ErrorCode::DUPLICATE_VALUE);

    assert_eq!(fixture.store.count(&logs, &Filter::all()).await.unwrap(), 1);
    assert_eq!(read(&fixture, &users, &user).await.integer("account"), Some(40));
}

async fn commit_writes_see_earlier_writes(fixture: StoreFixture) {
    let Some(atomic) = fixture.store.atomic() else {
        return;
    };
    let class = class("Seen");
    let id = create(&fixture, &class, Update::new().set("n", 1)).await;
    let add = |expected: i64| {
        Write::update(
            &class,
            &id,
            Filter::all().eq("n", expected),
            Update::new().increment("n", 1),
        )
    };
    let CommitOutcome::Applied(written) = atomic.commit(vec![add(1), add(2)]).await else {
        panic!("the second write sees the first");
    };
    assert_eq!(written[1].fields.integer("n"), Some(3));

    let delete = Write::delete(&class, &id, Filter::all());
    let outcome = WriteOutcome::NotMatched;
    let refused = atomic.commit(vec![delete, add(3)]).await;
    assert_eq!(refused, CommitOutcome::Refused { index: 1, outcome });
    assert_eq!(read(&fixture, &class, &id).await.integer("n"), Some(3));

    // The first write gives the new column its type.
    let writes = vec![
        Write::create(&class, Update::new().set("fresh", 1)),
        Write::create(&class, Update::new().set("fresh", "text")),
    ];
    let CommitOutcome::Refused { index: 1, outcome } = atomic.commit(writes).await else {
        panic!("the column is a number");
    };
    assert_eq!(code(outcome), ErrorCode::INCORRECT_TYPE);
    create(&fixture, &class, Update::new().set("fresh", "text")).await;
}

/// 1024 bytes of UTF-8. Longer values are refused on writing and on creating the index.
async fn indexed_value_is_limited_to_a_kilobyte(fixture: StoreFixture) {
    let class = class("Long");
    let index = |keys: &[&str]| Index {
        unique: false,
        ..unique(keys, false)
    };
    let change = SchemaChange::AddIndex(class.clone(), index(&["text", "list", "map.text", "maps.text"]));
    fixture.database.define(change).await.unwrap();
    let (longest, too_long) = ("é".repeat(512), format!("{}a", "é".repeat(512)));
    let fields = |text: &str| {
        [
            ("text", json!(text)),
            ("list", json!(["a", text])),
            ("map", json!({"text": text})),
            ("maps", json!([{"text": text}])),
        ]
    };
    let id = create(
        &fixture,
        &class,
        Update::new().with("free", Op::Set(json!(too_long))),
    )
    .await;
    for (key, value) in fields(&longest) {
        let update = Update::new().with(key, Op::Set(value));
        let fits = Write::update(
            &class,
            &create(&fixture, &class, Update::new()).await,
            Filter::all(),
            update,
        );
        applied(fixture.store.write(fits).await);
    }
    for (key, value) in fields(&too_long) {
        let update = Update::new().with(key, Op::Set(value.clone()));
        for write in [
            Write::create(&class, update.clone()),
            Write::update(&class, &id, Filter::all(), update),
        ] {
            match fixture.store.write(write).await {
                WriteOutcome::Rejected(error) => {
                    assert_eq!(error.code, ErrorCode::OTHER);
                    assert!(error.message.starts_with("The key is too long"), "{key}: {error}");
                }
                other => panic!("not rejected: {other:?}"),
            }
        }
    }
    let refused = SchemaChange::AddIndex(class.clone(), index(&["free"]));
    let refused = fixture.database.define(refused).await.unwrap_err();
    assert!(refused.message.starts_with("The key is too long"), "{refused}");
    let list = Update::new().with("longList", Op::Set(json!(vec![longest; 3])));
    create(&fixture, &class, list).await;
    let fits = SchemaChange::AddIndex(class.clone(), index(&["longList"]));
    fixture.database.define(fits).await.unwrap();
}

async fn duplicate_unique_value_is_refused(fixture: StoreFixture) {
    let class = class("Unique");
    let change = SchemaChange::AddIndex(class.clone(), unique(&["key"], false));
    fixture.database.define(change).await.unwrap();
    let first = create(&fixture, &class, Update::new().set("key", "a")).await;
    let again = fixture
        .store
        .write(Write::create(&class, Update::new().set("key", "a")))
        .await;
    let WriteOutcome::Rejected(error) = again else {
        panic!("the value is taken: {again:?}");
    };
    assert_eq!(error.code, ErrorCode::DUPLICATE_VALUE);
    assert_eq!(
        error.message,
        "A unique field was given a value that is already taken."
    );
    let second = create(&fixture, &class, Update::new().set("key", "A")).await;
    let rename = |id, key: &str| Write::update(&class, id, Filter::all(), Update::new().set("key", key));
    assert_eq!(
        code(fixture.store.write(rename(&second, "a")).await),
        ErrorCode::DUPLICATE_VALUE
    );
    applied(fixture.store.write(rename(&first, "b")).await);
    applied(fixture.store.write(rename(&second, "a")).await);
    applied(
        fixture
            .store
            .write(Write::delete(&class, &first, Filter::all()))
            .await,
    );
    create(&fixture, &class, Update::new().set("key", "b")).await;
    // A missing value is a value: there can be one.
    create(&fixture, &class, Update::new().set("n", 1)).await;
    let missing = Write::create(&class, Update::new().set("n", 2));
    assert_eq!(
        code(fixture.store.write(missing).await),
        ErrorCode::DUPLICATE_VALUE
    );
    let null = Write::create(&class, Update::new().set("key", Value::Null));
    assert_eq!(code(fixture.store.write(null).await), ErrorCode::DUPLICATE_VALUE);
}

async fn sparse_and_compound_unique_indexes_are_enforced(fixture: StoreFixture) {
    let class = class("Sparse");
    for index in [
        unique(&["key"], true),
        unique(&["a", "o.b"], true),
        unique(&["n"], true),
    ] {
        let change = SchemaChange::AddIndex(class.clone(), index);
        fixture.database.define(change).await.unwrap();
    }
    let write = |fields: Update| fixture.store.write(Write::create(&class, fields));
    applied(write(Update::new()).await);
    applied(write(Update::new()).await);
    applied(write(Update::new().set("key", "x")).await);
    assert_eq!(
        code(write(Update::new().set("key", "x")).await),
        ErrorCode::DUPLICATE_VALUE
    );
    let pair = |a: i64, b: i64| Update::new().set("a", a).set("o", json!({"b": b}));
    applied(write(pair(1, 1)).await);
    applied(write(pair(1, 2)).await);
    assert_eq!(code(write(pair(1, 2)).await), ErrorCode::DUPLICATE_VALUE);
    // Half of the keys: in the index, with the other half missing.
    applied(write(Update::new().set("a", 1)).await);
    assert_eq!(
        code(write(Update::new().set("a", 1)).await),
        ErrorCode::DUPLICATE_VALUE
    );
    // Numbers are equal by value.
    applied(write(Update::new().set("n", 7)).await);
    assert_eq!(
        code(write(Update::new().set("n", 7.0)).await),
        ErrorCode::DUPLICATE_VALUE
    );
}

async fn unique_index_over_duplicates_is_refused(fixture: StoreFixture) {
    let class = class("Late");
    create(&fixture, &class, Update::new().set("key", "a").set("free", 1)).await;
    create(&fixture, &class, Update::new().set("key", "a").set("free", 2)).await;
    let add = |key: &str| SchemaChange::AddIndex(class.clone(), unique(&[key], false));
    let error = fixture.database.define(add("key")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DUPLICATE_VALUE);
    assert!(fixture.database.schema().classes[&class].indexes.is_empty());
    // The refused index leaves nothing behind.
    create(&fixture, &class, Update::new().set("key", "a").set("free", 3)).await;
    let schema = fixture.database.define(add("free")).await.unwrap();
    assert_eq!(schema.classes[&class].indexes.len(), 1);
    let taken = Write::create(&class, Update::new().set("free", 2));
    assert_eq!(code(fixture.store.write(taken).await), ErrorCode::DUPLICATE_VALUE);
    let found = fixture
        .store
        .find(&class, &Query::new(Filter::all().eq("free", 2)))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
}

async fn column_keeps_type(fixture: StoreFixture) {
    let class = class("Typed");
    let id = create(&fixture, &class, Update::new().set("n", 1)).await;
    let wrong = Write::update(&class, &id, Filter::all(), Update::new().set("n", "text"));
    assert_eq!(code(fixture.store.write(wrong).await), ErrorCode::INCORRECT_TYPE);
    applied(
        fixture
            .store
            .write(Write::update(
                &class,
                &id,
                Filter::all(),
                Update::new().set("n", Value::Null),
            ))
            .await,
    );
    assert_eq!(read(&fixture, &class, &id).await["n"], Value::Null);
    let schema = fixture.database.schema();
    assert_eq!(
        schema.classes[&class].columns["n"].column_type,
        ColumnType::Number
    );
}

async fn refused_write_adds_no_columns(fixture: StoreFixture) {
    let class = class("Refused");
    let change = SchemaChange::AddIndex(class.clone(), unique(&["key"], true));
    fixture.database.define(change).await.unwrap();
    let id = create(&fixture, &class, Update::new().set("key", "a")).await;
    let duplicate = Update::new().set("key", "a").set("fresh", 1);
    assert_eq!(
        code(fixture.store.write(Write::create(&class, duplicate)).await),
        ErrorCode::DUPLICATE_VALUE
    );
    let unmatched = Update::new().set("fresh", 1);
    let write = Write::update(&class, &id, Filter::all().eq("key", "b"), unmatched);
    assert_eq!(fixture.store.write(write).await, WriteOutcome::NotMatched);
    assert!(
        !fixture.database.schema().classes[&class]
            .columns
            .contains_key("fresh")
    );
    create(&fixture, &class, Update::new().set("fresh", "text")).await;
}

async fn column_default_and_required_are_applied(fixture: StoreFixture) {
    let mut definition = Class::new(class("Defaults"));
    let mut filled = Column::new(ColumnType::String);
    filled.default = Some("leancloud".into());
    definition.columns.insert("company".to_owned(), filled);
    let mut needed = Column::new(ColumnType::Number);
    needed.required = true;
    definition.columns.insert("n".to_owned(), needed);
    let class = definition.name.clone();
    fixture
        .database
        .define(SchemaChange::CreateClass(definition))
        .await
        .unwrap();
    let refused = Write::create(&class, Update::new().set("company", "x"));
    assert_eq!(code(fixture.store.write(refused).await), ErrorCode::KEY_REQUIRED);
    let id = create(&fixture, &class, Update::new().set("n", 1)).await;
    assert_eq!(
        read(&fixture, &class, &id).await.text("company"),
        Some("leancloud")
    );
}

async fn write_of_reserved_keys_is_refused(fixture: StoreFixture) {
    let class = class("Own");
    for key in ["objectId", "createdAt", "updatedAt"] {
        let write = Write::create(&class, Update::new().set(key, "5d8307fd000000000000000a"));
        assert_eq!(
            code(fixture.database.write(write).await),
            ErrorCode::KEY_READ_ONLY
        );
    }
}

async fn query_filters_sorts_skips_and_limits(fixture: StoreFixture) {
    let class = class("Queried");
    let mut ids = Vec::new();
    for n in 0..20_i64 {
        let fields = Update::new()
            .set("n", n % 7)
            .set("name", format!("row {n}"))
            .set("o", json!({"deep": n}))
            .set("tags", json!([n, n + 1]));
        ids.push(create(&fixture, &class, fields).await);
    }
    let names = async |query: Query| -> Vec<String> {
        let found = fixture.store.find(&class, &query).await.unwrap();
        let name = |document: &Document| document.text("name").unwrap().to_owned();
        found.iter().map(name).collect()
    };
    assert_eq!(names(Query::new(Filter::all().eq("n", 3))).await.len(), 3);
    let by_name = Query::new(Filter::all().gte("n", 5)).order_by("n,-name");
    assert_eq!(
        names(by_name.clone()).await,
        ["row 5", "row 19", "row 12", "row 6", "row 13"]
    );
    let window = Query {
        skip: 1,
        ..by_name.limit(2)
    };
    assert_eq!(names(window).await, ["row 19", "row 12"]);
    let nested = Query::new(Filter::all().eq("o.deep", 4));
    assert_eq!(names(nested).await, ["row 4"]);
    let element = Query::new(Filter::all().eq("tags", 9)).order_by("name");
    assert_eq!(names(element).await, ["row 8", "row 9"]);
    let by_nested = Query::new(Filter::all().lt("o.deep", 3)).order_by("-o.deep");
    assert_eq!(names(by_nested).await, ["row 2", "row 1", "row 0"]);
    let of_ids = vec![ids[3].as_str().into(), ids[1].as_str().into()];
    assert_eq!(
        names(Query::new(Filter::all().one_of("objectId", of_ids)).order_by("name")).await,
        ["row 1", "row 3"]
    );
    let after: Value = json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"});
    assert_eq!(
        names(Query::new(Filter::all().gte("createdAt", after)))
            .await
            .len(),
        20
    );
    let found = fixture.store.find(&class, &Query::default()).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|document| document.object_id().unwrap())
        .collect();
    ids.sort();
    assert_eq!(found, ids);
}

async fn query_count_ignores_limit(fixture: StoreFixture) {
    let class = class("Counted");
    for n in 0..12 {
        create(
            &fixture,
            &class,
            Update::new().set("n", n).set("o", json!({"n": n})),
        )
        .await;
    }
    let anyone = Principal::anonymous();
    for key in ["n", "o.n"] {
        let filter = Filter::all().gte(key, 4);
        assert_eq!(fixture.store.count(&class, &filter).await.unwrap(), 8);
        for principal in [&Principal::Master, &anyone] {
            let query = Query {
                count: true,
                skip: 1,
                ..Query::new(filter.clone()).limit(3)
            };
            let found = fixture.database.find_as(&class, &query, principal).await.unwrap();
            assert_eq!((found.results.len(), found.count), (3, Some(8)));
            let query = Query {
                count: true,
                ..Query::new(filter.clone()).limit(0)
            };
            let found = fixture.database.find_as(&class, &query, principal).await.unwrap();
            assert_eq!((found.results.len(), found.count), (0, Some(8)));
        }
    }
}

async fn unresolved_subquery_is_refused(fixture: StoreFixture) {
    let owner = Pointer {
        class_name: class("Post"),
        object_id: ObjectId::parse("a").unwrap(),
    };
    let filter = Filter::RelatedTo {
        object: owner,
        key: "likes".to_owned(),
    };
    let found = fixture
        .database
        .find(&class("Unresolved"), &Query::new(filter))
        .await;
    assert!(matches!(found, Err(ReadError::Rejected(_))), "{found:?}");
}

async fn acl_hides_and_protects_objects(fixture: StoreFixture) {
    let class = class("Protected");
    let owner = ObjectId::parse("owner").unwrap();
    let as_owner = Principal::Client {
        user: Some(owner.clone()),
        roles: Vec::new(),
    };
    let as_reader = Principal::Client {
        user: None,
        roles: vec!["reader".to_owned()],
    };
    let acl = json!({"owner": {"read": true, "write": true}, "role:reader": {"read": true}});
    let secret = create(&fixture, &class, Update::new().set("n", 1).set("ACL", acl)).await;
    let open = create(&fixture, &class, Update::new().set("n", 2)).await;
    let anyone = Principal::anonymous();
    let database = &fixture.database;

    assert!(database.get_as(&class, &secret, &anyone).await.unwrap().is_none());
    assert!(database.get_as(&class, &open, &anyone).await.unwrap().is_some());
    for principal in [&as_owner, &as_reader, &Principal::Master] {
        assert!(
            database
                .get_as(&class, &secret, principal)
                .await
                .unwrap()
                .is_some()
        );
    }
    let query = Query {
        count: true,
        ..Query::default()
    };
    let found = database.find_as(&class, &query, &anyone).await.unwrap();
    assert_eq!((found.results.len(), found.count), (1, Some(1)));
    let found = database.find_as(&class, &query, &as_reader).await.unwrap();
    assert_eq!((found.results.len(), found.count), (2, Some(2)));

    let change = |id, expected: i64| {
        let precondition = Filter::all().eq("n", expected);
        vec![Write::update(
            &class,
            id,
            precondition,
            Update::new().set("seen", true),
        )]
    };
    for principal in [&anyone, &as_reader] {
        // The right to write is looked at before the precondition is.
        let outcome = database.write_as(change(&secret, 9), principal).await.remove(0);
        let WriteOutcome::Rejected(error) = outcome else {
            panic!("forbidden: {outcome:?}");
        };
        assert_eq!(error.code, ErrorCode::FORBIDDEN);
        assert_eq!(error.message, "Forbidden writing by object's ACL.");
        let delete = vec![Write::delete(&class, &secret, Filter::all())];
        assert_eq!(
            code(database.write_as(delete, principal).await.remove(0)),
            ErrorCode::FORBIDDEN
        );
    }
    applied(database.write_as(change(&open, 2), &anyone).await.remove(0));
    assert_eq!(
        database.write_as(change(&secret, 9), &as_owner).await,
        [WriteOutcome::NotMatched]
    );
    applied(database.write_as(change(&secret, 1), &as_owner).await.remove(0));
    let absent = ObjectId::parse("absent").unwrap();
    assert_eq!(
        database.write_as(change(&absent, 1), &anyone).await,
        [WriteOutcome::NotMatched]
    );
}

async fn relations_are_stored_beside_document(fixture: StoreFixture) {
    let (posts, tags) = (class("RelationPost"), class("RelationTag"));
    let pointer = |class: &ClassName, id: &str| Pointer {
        class_name: class.clone(),
        object_id: ObjectId::parse(id).unwrap(),
    };
    let (b, a, c) = (pointer(&tags, "b"), pointer(&tags, "a"), pointer(&tags, "c"));
    let fields = Update::new().with("likes", Op::AddRelation(vec![b.clone(), a.clone()]));
    let post = create(&fixture, &posts, fields).await;
    let other = create(
        &fixture,
        &posts,
        Update::new().with("likes", Op::AddRelation(vec![a.clone()])),
    )
    .await;
    let owner = pointer(&posts, post.as_str());
    let related = async || fixture.database.related(&owner, "likes").await.unwrap();
    assert_eq!(related().await, [a.clone(), b.clone()]);
    assert_eq!(fixture.database.related(&owner, "other").await.unwrap(), []);

    let both = Op::Batch(vec![
        Op::AddRelation(vec![c.clone(), a.clone()]),
        Op::RemoveRelation(vec![b.clone()]),
    ]);
    let update = Update::new().with("likes", both);
    applied(
        fixture
            .store
            .write(Write::update(&posts, &post, Filter::all(), update))
            .await,
    );
    assert_eq!(related().await, [a.clone(), c.clone()]);
    let mut owners = vec![post.clone(), other.clone()];
    owners.sort();
    assert_eq!(
        fixture
            .database
            .owners(&posts, "likes", slice::from_ref(&a))
            .await
            .unwrap(),
        owners
    );
    let any = [
        b.clone(),
        c.clone(),
        a.clone(),
        a.clone(),
        pointer(&posts, a.object_id.as_str()),
    ];
    assert_eq!(
        fixture.database.owners(&posts, "likes", &any).await.unwrap(),
        owners
    );
    assert_eq!(
        fixture
            .database
            .owners(&posts, "likes", slice::from_ref(&c))
            .await
            .unwrap(),
        slice::from_ref(&post)
    );
    assert_eq!(
        fixture
            .database
            .owners(&posts, "likes", slice::from_ref(&b))
            .await
            .unwrap(),
        []
    );
    assert_eq!(fixture.database.owners(&posts, "likes", &[]).await.unwrap(), []);
    assert_eq!(
        fixture
            .database
            .owners(&posts, "other", slice::from_ref(&a))
            .await
            .unwrap(),
        []
    );

    let refused = Update::new().with("likes", Op::AddRelation(vec![b.clone()]));
    let write = Write::update(&posts, &post, Filter::all().eq("n", 1), refused);
    assert_eq!(fixture.store.write(write).await, WriteOutcome::NotMatched);
    assert_eq!(related().await, [a.clone(), c]);
    applied(
        fixture
            .store
            .write(Write::delete(&posts, &post, Filter::all()))
            .await,
    );
    assert_eq!(related().await, []);
    assert_eq!(
        fixture.database.owners(&posts, "likes", &[a]).await.unwrap(),
        [other]
    );
}

/// 64 tasks spend from one account with enough for 40, each under a precondition: 40 succeed.
async fn concurrent_conditional_updates_never_overspend(fixture: StoreFixture) {
    let class = class("Hot");
    let id = create(
        &fixture,
        &class,
        Update::new().set("account", 400).set("paylogs", json!([])),
    )
    .await;
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let mark = format!("log{task}");
            let precondition = Filter::all()
                .ne("paylogs", mark.as_str())
                .and_key("account", Test::Gte(10.into()));
            let update = Update::new()
                .increment("account", -10)
                .add_unique("paylogs", vec![mark.into()]);
            let write = Write::update(&class, &id, precondition, update);
            let store = Arc::clone(&fixture.store);
            tokio::spawn(async move { store.write(write).await })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        match task.await.unwrap() {
            WriteOutcome::Applied(_) => succeeded += 1,
            outcome => assert_eq!(outcome, WriteOutcome::NotMatched),
        }
    }
    assert_eq!(succeeded, 40);
    let document = read(&fixture, &class, &id).await;
    assert_eq!(document.integer("account"), Some(0));
    assert_eq!(document["paylogs"].as_array().unwrap().len(), 40);
    assert!(document.updated_at().unwrap() >= document.created_at().unwrap_or(Timestamp::EPOCH));
}

/// If a key is taken and a precondition fails too, the first write in order gives the reason: a repeated payment
/// must learn that its log exists.
async fn commit_reports_first_refusal(fixture: StoreFixture) {
    let Some(atomic) = fixture.store.atomic() else {
        return;
    };
    let class = class("Order");
    let change = SchemaChange::AddIndex(class.clone(), unique(&["key"], true));
    fixture.database.define(change).await.unwrap();
    let id = create(&fixture, &class, Update::new().set("key", "a")).await;
    let taken = Write::create(&class, Update::new().set("key", "a"));
    let unmatched = Write::update(
        &class,
        &id,
        Filter::all().eq("key", "b"),
        Update::new().set("n", 1),
    );
    let CommitOutcome::Refused { index: 0, outcome } =
        atomic.commit(vec![taken.clone(), unmatched.clone()]).await
    else {
        panic!("the key is taken");
    };
    assert_eq!(code(outcome), ErrorCode::DUPLICATE_VALUE);
    let outcome = WriteOutcome::NotMatched;
    let refused = atomic.commit(vec![unmatched, taken]).await;
    assert_eq!(refused, CommitOutcome::Refused { index: 0, outcome });
}
