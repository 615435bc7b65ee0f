//! Round trip: an export that is imported is exported again as the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use paylog::environment::Environment;
use paylog::migration::{ExportError, ExportOptions, export};
use paylog::model::{Acl, ClassPermissions, Column, ColumnType, Index, Permission, SchemaChange, Timestamp};
use paylog::storage::SqliteStore;
use paylog::store::Database;
use serde_json::json;

use super::{ImportFixture, class_name, import_from};

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

async fn export_to(store: &SqliteStore, target: &Path) {
    let options = ExportOptions {
        target: target.to_owned(),
        ..ExportOptions::default()
    };
    export(store, &options, |_| {}).await.unwrap();
}

/// A store with every kind of data that an app can have.
async fn store_with_all_kinds_of_data() -> ImportFixture {
    let fixture = ImportFixture::new();
    fixture.file(
        "_User.jsonl",
        "{\"objectId\":\"u1\",\"username\":\"ann\",\"password\":\"h\",\"salt\":\"s\",\"sessionToken\":\"t\",\"authData\":{\"weixin\":{\"openid\":\"o\"}},\"createdAt\":\"2020-01-01T00:00:00.000Z\"}\n\
         {\"objectId\":\"u2\",\"username\":\"bob\",\"createdAt\":\"2021-01-01T00:00:00.000Z\"}\n",
    );
    fixture.file(
        "_Role.jsonl",
        "{\"objectId\":\"r1\",\"name\":\"Admin\",\"ACL\":{\"*\":{\"read\":true}}}\n",
    );
    fixture.file(
        "_File.jsonl",
        "{\"objectId\":\"f1\",\"name\":\"n\",\"key\":\"k/n\",\"url\":\"https://files.example/k/n\",\"bucket\":\"b\",\"metaData\":{\"size\":1,\"owner\":\"u1\"}}\n",
    );
    fixture.file(
        "_Join:users:_Role.jsonl",
        "{\"owningId\":\"r1\",\"relatedId\":\"u2\"}\n{\"owningId\":\"r1\",\"relatedId\":\"u1\"}\n",
    );
    fixture.file(
        "Post.jsonl",
        "{\"z\":1.0,\"a\":1e300,\"objectId\":\"p2\",\"big\":9007199254740993,\"nothing\":null,\"text\":\"\\u0007\\u2028é\"}\n\
         {\"objectId\":\"p1\",\"place\":{\"__type\":\"GeoPoint\",\"latitude\":1,\"longitude\":2},\"f\":{\"__type\":\"File\",\"id\":\"f1\",\"name\":\"n\"},\"ACL\":{}}\n",
    );
    let post = class_name("Post");
    let index = Index {
        keys: vec!["z".to_owned(), "a".to_owned()],
        unique: true,
        sparse: true,
    };
    let permissions = ClassPermissions {
        create: Permission::LoggedIn,
        ..ClassPermissions::public()
    };
    let column = Column {
        default: Some(json!(3)),
        required: true,
        ..Column::new(ColumnType::Number)
    };
    for change in [
        SchemaChange::AddIndex(post.clone(), index),
        SchemaChange::SetPermissions(post.clone(), permissions),
        SchemaChange::SetColumn(post.clone(), "stars".to_owned(), column),
        SchemaChange::SetDefaultAcl(post, Some(Acl::public())),
    ] {
        fixture.store.define(change).await.unwrap();
    }
    let summary = fixture.import().await;
    assert_eq!(summary.report, None, "{:#?}", fixture.report());
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_import_export_gives_the_same_bytes() {
    let fixture = store_with_all_kinds_of_data().await;
    let root = fixture.folder.path();
    export_to(&fixture.store, &root.join("first")).await;
    let first = files(&root.join("first"));
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        [
            "Post.0.jsonl",
            "_File.0.jsonl",
            "_Join:roles:_Role.0.jsonl",
            "_Join:users:_Role.0.jsonl",
            "_Role.0.jsonl",
            "_User.0.jsonl",
            "paylog-schema.json"
        ]
    );
    assert_eq!(
        first["_Join:users:_Role.0.jsonl"]
            .lines()
            .skip(1)
            .collect::<Vec<_>>(),
        [
            r#"{"owningId":"r1","relatedId":"u1"}"#,
            r#"{"owningId":"r1","relatedId":"u2"}"#
        ]
    );
    assert!(
        first["_User.0.jsonl"]
            .starts_with("#filetype:JSON-streaming {\"type\":\"Class\",\"class\":\"_User\"}\n")
    );
    assert!(first["_User.0.jsonl"].contains(r#""password":"h","salt":"s","sessionToken":"t""#));

    let other = SqliteStore::open(&root.join("other"), Environment::system()).unwrap();
    let summary = import_from(&other, &root.join("first"), root).await;
    assert_eq!((summary.left_out, summary.report), (0, None));
    export_to(&other, &root.join("second")).await;
    assert_eq!(first, files(&root.join("second")));

    // The same through an archive, which is the same bytes too.
    export_to(&fixture.store, &root.join("one.tar.gz")).await;
    let third = SqliteStore::open(&root.join("third"), Environment::system()).unwrap();
    import_from(&third, &root.join("one.tar.gz"), root).await;
    export_to(&third, &root.join("two.tar.gz")).await;
    let archive = |name: &str| std::fs::read(root.join(name)).unwrap();
    assert!(archive("one.tar.gz") == archive("two.tar.gz"));

    // What is there already is not written over.
    let options = ExportOptions {
        target: root.join("second"),
        ..ExportOptions::default()
    };
    let refused = export(&other, &options, |_| {}).await.unwrap_err();
    assert!(matches!(refused, ExportError::Occupied(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_is_limited_by_class_and_date() {
    let fixture = store_with_all_kinds_of_data().await;
    let root = fixture.folder.path();
    let options = ExportOptions {
        target: root.join("users"),
        classes: vec![class_name("_User")],
        since: Some(Timestamp::parse("2020-06-01T00:00:00Z").unwrap()),
    };
    let exported = export(&fixture.store, &options, |_| {}).await.unwrap();
    assert_eq!((exported.classes[&class_name("_User")], exported.links), (1, 0));
    let files = files(&root.join("users"));
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["_User.0.jsonl", "paylog-schema.json"]
    );
    assert!(files["_User.0.jsonl"].contains("bob") && !files["_User.0.jsonl"].contains("ann"));
    let unknown = ExportOptions {
        target: root.join("x"),
        classes: vec![class_name("Nothing")],
        since: None,
    };
    let refused = export(&fixture.store, &unknown, |_| {}).await.unwrap_err();
    assert!(matches!(refused, ExportError::NoClass(_)), "{refused}");
    assert!(!root.join("x").exists());
}
