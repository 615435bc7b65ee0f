//! The loader port, through which objects are loaded unchanged, for each storage engine.

use std::sync::Arc;

use paylog::environment::Environment;
use paylog::model::{
    ClassName, CloudError, Document, Filter, Index, ObjectId, Pointer, Principal, Query, SchemaChange,
};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::load::{IfExists, Link, LoadBatch, LoadOutcome, LoadStep, Loader};
use serde_json::{Value, json};

use super::class_name;

/// Both engines, and the folder that they need.
fn engines() -> (tempfile::TempDir, [Arc<dyn Loader>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path(), Environment::system()).unwrap();
    (
        folder,
        [
            Arc::new(MemoryStore::new(Environment::system())),
            Arc::new(sqlite),
        ],
    )
}

fn document(value: Value) -> Document {
    serde_json::from_value(value).unwrap()
}

/// An object of `Post` with this day as `updatedAt`.
fn post(id: &str, day: u32, fields: Value) -> Document {
    let mut all = document(fields);
    all.insert("objectId".to_owned(), id.into());
    all.insert("createdAt".to_owned(), "2020-01-01T00:00:00.000Z".into());
    all.insert(
        "updatedAt".to_owned(),
        format!("2020-02-{day:02}T00:00:00.000Z").into(),
    );
    all
}

fn put(document: Document, over: IfExists) -> LoadStep {
    LoadStep::Put {
        class: class_name("Post"),
        document,
        if_exists: over,
        fill_missing: &["password", "salt"],
    }
}

fn pointer(class: &str, id: &str) -> Pointer {
    Pointer {
        class_name: class_name(class),
        object_id: ObjectId::parse(id).unwrap(),
    }
}

fn link(owner: &str, target: &str) -> Link {
    Link {
        owner: pointer("Post", owner),
        key: "likes".to_owned(),
        target: pointer("_User", target),
    }
}

async fn load(store: &dyn Loader, steps: Vec<LoadStep>) -> Vec<LoadOutcome> {
    store.load(LoadBatch::new(steps)).await.unwrap()
}

fn refused_with(loaded: &LoadOutcome) -> i32 {
    match loaded {
        LoadOutcome::Refused(error) => error.code.0,
        other => panic!("{other:?}"),
    }
}

/// A value too long for its index is refused alone; a reserved name is accepted for an existing column.
// compat: index.key_length key.reserved
#[tokio::test]
async fn value_too_long_for_index_is_refused_and_others_are_loaded() {
    let (_folder, stores) = engines();
    for store in stores {
        let index = Index {
            keys: vec!["name".to_owned()],
            unique: false,
            sparse: true,
        };
        let change = SchemaChange::AddIndex(class_name("Post"), index);
        store.define(change).await.unwrap();
        let steps = [("a", "x".repeat(1025)), ("b", "x".repeat(1024))]
            .map(|(id, name)| put(post(id, 1, json!({"name": name, "Acl": "x"})), IfExists::Keep));
        let done = load(&*store, steps.into()).await;
        assert_eq!(refused_with(&done[0]), 1);
        assert_eq!(done[1], LoadOutcome::Created);
        let there = store
            .find(&class_name("Post"), &Query::new(Filter::all()))
            .await
            .unwrap();
        assert_eq!((there.len(), there[0].text("Acl")), (1, Some("x")));
        // What replaces it is held to the same.
        let longer = post("b", 2, json!({"name": "x".repeat(1025)}));
        let done = load(&*store, vec![put(longer, IfExists::ReplaceOlder)]).await;
        assert_eq!(refused_with(&done[0]), 1);
    }
}

/// Objects keep their times; columns are created; users with read access find private objects.
#[tokio::test]
async fn objects_are_loaded_unchanged() {
    let (_folder, engines) = engines();
    for store in engines {
        let given = post(
            "p-1",
            3,
            json!({"b": 1, "a": 1.5, "when": {"__type": "Date", "iso": "2026-01-02T03:04:05Z"},
                "likes": {"__type": "Relation", "className": "_User"},
                "ACL": {"u1": {"read": true}}}),
        );
        assert_eq!(
            load(&*store, vec![put(given, IfExists::Keep)]).await,
            [LoadOutcome::Created]
        );
        let class = class_name("Post");
        let id = ObjectId::parse("p-1").unwrap();
        let expected = document(json!({
            "b": 1, "a": 1.5, "when": {"__type": "Date", "iso": "2026-01-02T03:04:05.000Z"},
            "ACL": {"u1": {"read": true}}, "objectId": "p-1",
            "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-02-03T00:00:00.000Z",
        }));
        assert_eq!(store.get(&class, &id).await.unwrap(), Some(expected));
        let columns: Vec<String> = store.schema().classes[&class].columns.keys().cloned().collect();
        assert_eq!(columns, ["a", "b", "likes", "when"]);
        let reader = |user: &str| Principal::Client {
            user: Some(ObjectId::parse(user).unwrap()),
            roles: Vec::new(),
        };
        let all = paylog::model::Query::new(Filter::all());
        assert_eq!(
            store
                .find_as(&class, &all, &reader("u1"))
                .await
                .unwrap()
                .results
                .len(),
            1
        );
        assert_eq!(
            store
                .find_as(&class, &all, &reader("u2"))
                .await
                .unwrap()
                .results
                .len(),
            0
        );
        // Another version opens it to the other one, and has another time of creation.
        let mut other = post("p-1", 4, json!({"ACL": {"u2": {"read": true}}}));
        other.insert("createdAt".to_owned(), "2019-01-01T00:00:00.000Z".into());
        assert_eq!(
            load(&*store, vec![put(other, IfExists::ReplaceOlder)]).await,
            [LoadOutcome::Replaced]
        );
        assert_eq!(
            store
                .find_as(&class, &all, &reader("u1"))
                .await
                .unwrap()
                .results
                .len(),
            0
        );
        let found = store.find_as(&class, &all, &reader("u2")).await.unwrap().results;
        assert_eq!(found[0].text("createdAt"), Some("2019-01-01T00:00:00.000Z"));
        let early = Filter::all().and_key(
            "createdAt",
            paylog::model::Test::Lt(json!({"__type": "Date", "iso": "2019-06-01T00:00:00.000Z"})),
        );
        assert_eq!(store.count(&class, &early).await.unwrap(), 1);
    }
}

/// Each rule of replacement; fields that the source hides are kept.
#[tokio::test]
async fn object_is_replaced_only_if_the_rule_allows() {
    let (_folder, engines) = engines();
    for store in engines {
        let n = |day: u32, n: u32| post("p", day, json!({ "n": n }));
        let kept = LoadOutcome::Kept {
            updated_at: n(10, 1).updated_at(),
        };
        let matching = |n: u32| IfExists::ReplaceMatching(Filter::all().eq("n", n));
        let steps = vec![
            (put(n(10, 1), matching(1)), LoadOutcome::Kept { updated_at: None }),
            (put(n(10, 1), IfExists::ReplaceOlder), LoadOutcome::Created),
            (put(n(10, 1), IfExists::ReplaceOlder), LoadOutcome::Unchanged),
            (put(n(11, 2), IfExists::Keep), kept.clone()),
            (put(n(10, 2), IfExists::ReplaceOlder), kept.clone()),
            (put(n(9, 2), IfExists::ReplaceOlder), kept.clone()),
            (put(n(9, 2), matching(7)), kept.clone()),
            (put(n(9, 2), matching(1)), LoadOutcome::Replaced),
            (put(n(12, 3), IfExists::ReplaceOlder), LoadOutcome::Replaced),
            (put(n(1, 4), IfExists::Replace), LoadOutcome::Replaced),
        ];
        let (steps, expected): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        assert_eq!(load(&*store, steps).await, expected);

        let secret = |day: u32, n: u32| post("p", day, json!({"n": n, "password": "hash"}));
        // A source that knows the password completes the one that does not, and is not forgotten by it.
        assert_eq!(
            load(&*store, vec![put(secret(1, 9), IfExists::ReplaceOlder)]).await,
            [LoadOutcome::Replaced]
        );
        let id = ObjectId::parse("p").unwrap();
        let stored = store.get(&class_name("Post"), &id).await.unwrap().unwrap();
        assert_eq!(
            (stored.integer("n"), stored.text("password")),
            (Some(4), Some("hash"))
        );
        assert_eq!(
            load(&*store, vec![put(n(2, 5), IfExists::ReplaceOlder)]).await,
            [LoadOutcome::Replaced]
        );
        assert_eq!(
            load(&*store, vec![put(n(2, 5), IfExists::ReplaceOlder)]).await,
            [LoadOutcome::Unchanged]
        );
        let stored = store.get(&class_name("Post"), &id).await.unwrap().unwrap();
        assert_eq!(
            (stored.integer("n"), stored.text("password")),
            (Some(5), Some("hash"))
        );
        // A salt belongs to its hash, and to no other.
        let salted = post("p", 2, json!({"n": 5, "password": "old", "salt": "s"}));
        let done = load(&*store, vec![put(salted, IfExists::ReplaceOlder)]).await;
        assert!(matches!(done[0], LoadOutcome::Kept { .. }), "{done:?}");
        let remove = |n: u32| LoadStep::Remove {
            class: class_name("Post"),
            id: id.clone(),
            precondition: Filter::all().eq("n", n),
        };
        let done = load(&*store, vec![remove(1), remove(5), remove(5)]).await;
        assert_eq!(done[1..], [LoadOutcome::Removed, LoadOutcome::Unchanged]);
        assert!(matches!(done[0], LoadOutcome::Kept { .. }));
    }
}

/// A refused step leaves no trace, and the other steps of its batch are loaded.
#[tokio::test]
async fn refused_step_does_not_affect_the_others() {
    let (_folder, engines) = engines();
    for store in engines {
        let unique = Index {
            keys: vec!["slug".to_owned()],
            unique: true,
            sparse: true,
        };
        store
            .define(SchemaChange::AddIndex(class_name("Post"), unique))
            .await
            .unwrap();
        let done = load(
            &*store,
            vec![
                put(post("a", 1, json!({"slug": "x", "n": 1})), IfExists::Keep),
                put(post("b", 1, json!({"slug": "x", "fresh": 1})), IfExists::Keep),
                put(post("c", 1, json!({"n": "text"})), IfExists::Keep),
                put(post("d", 1, json!({"__secret": 1})), IfExists::Keep),
                put(post("e", 1, json!({"n": {"__type": "Novel"}})), IfExists::Keep),
                put(post("f", 1, json!({"ACL": {"*": true}})), IfExists::Keep),
                put(document(json!({"objectId": "g"})), IfExists::Keep),
                put(
                    post("h", 1, json!({"text": "x".repeat(17 << 20)})),
                    IfExists::Keep,
                ),
                put(post("i", 1, json!({"slug": "y"})), IfExists::Keep),
                put(post("i", 2, json!({"slug": "x"})), IfExists::ReplaceOlder),
                LoadStep::Link(Link {
                    key: "n".to_owned(),
                    ..link("a", "u")
                }),
            ],
        )
        .await;
        let codes: Vec<i32> = [1, 2, 3, 4, 5, 6, 7, 9, 10]
            .map(|place: usize| refused_with(&done[place]))
            .into();
        assert_eq!(codes, [137, 111, 105, 107, 123, 107, 116, 137, 111]);
        assert_eq!(
            (&done[0], &done[8]),
            (&LoadOutcome::Created, &LoadOutcome::Created)
        );
        let class = class_name("Post");
        assert_eq!(store.count(&class, &Filter::all()).await.unwrap(), 2);
        let columns: Vec<String> = store.schema().classes[&class].columns.keys().cloned().collect();
        assert_eq!(columns, ["n", "slug"]);
    }
}

/// Links are a set, are listed in order and page by page, and are deleted with their owner.
#[tokio::test]
async fn links_are_added_listed_and_deleted_with_owner() {
    let (_folder, engines) = engines();
    for store in engines {
        let steps = ["b u1", "a u2", "a u1", "a u1"].map(|pair| {
            let (owner, target) = pair.split_once(' ').unwrap();
            LoadStep::Link(link(owner, target))
        });
        let done = load(&*store, steps.into()).await;
        assert_eq!(
            done,
            [
                LoadOutcome::Created,
                LoadOutcome::Created,
                LoadOutcome::Created,
                LoadOutcome::Unchanged
            ]
        );
        let class = class_name("Post");
        let first = store.links(&class, "likes", None, 2).await.unwrap();
        assert_eq!(first, [link("a", "u1"), link("a", "u2")]);
        let rest = store.links(&class, "likes", first.last(), 2).await.unwrap();
        assert_eq!(rest, [link("b", "u1")]);
        assert!(store.links(&class, "other", None, 2).await.unwrap().is_empty());

        load(&*store, vec![put(post("a", 1, json!({})), IfExists::Keep)]).await;
        let remove = LoadStep::Remove {
            class: class.clone(),
            id: ObjectId::parse("a").unwrap(),
            precondition: Filter::all(),
        };
        let done = load(
            &*store,
            vec![
                remove,
                LoadStep::Unlink(link("b", "u1")),
                LoadStep::Unlink(link("b", "u1")),
            ],
        )
        .await;
        assert_eq!(
            done,
            [LoadOutcome::Removed, LoadOutcome::Removed, LoadOutcome::Unchanged]
        );
        assert!(store.links(&class, "likes", None, 9).await.unwrap().is_empty());
    }
}

/// A note is committed with its batch or not at all; a batch whose conclusion fails has no effect.
#[tokio::test]
async fn notes_are_committed_with_their_batch() {
    let (_folder, engines) = engines();
    for store in engines {
        assert_eq!(store.note("place").await.unwrap(), None);
        let step = |id: &str| put(post(id, 1, json!({"n": 1})), IfExists::Keep);
        let batch = LoadBatch::with_note(vec![step("a")], "place", "1");
        assert_eq!(store.load(batch).await.unwrap(), [LoadOutcome::Created]);
        assert_eq!(store.note("place").await.unwrap().as_deref(), Some("1"));

        let mut failing = LoadBatch::new(vec![step("b"), LoadStep::Link(link("b", "u"))]);
        failing.make_notes = Box::new(|done| Err(CloudError::other(format!("{} steps", done.len()))));
        let error = store.load(failing).await.unwrap_err();
        assert_eq!(error.message, "2 steps");
        let pointers = [
            pointer("Post", "a"),
            pointer("Post", "b"),
            pointer("Nowhere", "a"),
        ];
        assert_eq!(store.exist(&pointers).await.unwrap(), [true, false, false]);
        let post: ClassName = class_name("Post");
        assert!(!store.schema().classes[&post].columns.contains_key("likes"));
        assert!(store.links(&post, "likes", None, 9).await.unwrap().is_empty());
        assert_eq!(store.note("place").await.unwrap().as_deref(), Some("1"));
    }
}
