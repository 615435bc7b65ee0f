//! Files as values of objects: written and searched in the forms of all SDKs, and returned whole.

use paylog::model::{ClassName, Update};
use paylog::store::{Write, WriteOutcome};
use serde_json::{Value, json};

use super::files::upload;
use super::support::{Answer, As, TestServer, pointer, sorted_keys, start};

/// True if a value is the whole of a file that was uploaded as `a.png`.
fn is_whole(shown: &Value, file: &Answer) -> bool {
    const KEYS: [&str; 10] = [
        "__type",
        "bucket",
        "createdAt",
        "key",
        "mime_type",
        "name",
        "objectId",
        "provider",
        "updatedAt",
        "url",
    ];
    let id = json!(file.id());
    sorted_keys(shown) == KEYS
        && (&shown["__type"], &shown["objectId"]) == (&json!("File"), &id)
        && (&shown["url"], &shown["provider"]) == (&file.body["url"], &json!("s3"))
}

/// An object stores a file's id, and a response has the whole file: in columns, arrays and maps, and in included objects.
// compat: file.in_objects
#[tokio::test]
async fn file_in_object_is_shown_whole() {
    let server = start().await;
    let client = As::client();
    let file = upload(&server, &client, json!({"name": "a.png"}), b"png").await;
    for value in forms(&file.id()) {
        let fields =
            json!({"cover": value, "all": [value, 1, [value]], "n": 1, "map": {"a": {"b": [{"c": value}]}}});
        let whole = |shown: &Value| {
            for place in ["/cover", "/all/0", "/all/2/0", "/map/a/b/0/c"] {
                let shown = shown.pointer(place).unwrap();
                assert!(is_whole(shown, &file), "{place}: {shown}");
            }
            assert_eq!(shown["all"][1], 1);
        };
        let created = server
            .post(&client, "/classes/Album?fetchWhenSave=true", fields.clone())
            .await;
        whole(&created.body);
        let path = format!("/classes/Album/{}", created.id());
        whole(&server.get(&client, &path, &[]).await.body);
        for include in ["cover", "all,map.a", "other"] {
            let one = server.get(&client, &path, &[("include", include)]).await.body;
            whole(&one);
        }
        let listed = server.get(&client, "/classes/Album", &[]).await.body;
        whole(&listed["results"][0]);
        let keys = [("keys", "cover,all,map.a.b")];
        whole(&server.get(&client, &path, &keys).await.body);
        let one = server.get(&client, &path, &[("keys", "cover.url")]).await.body;
        assert_eq!((&one["cover"]["url"], one.get("all")), (&file.body["url"], None));
        let updated = server
            .put(&client, &format!("{path}?new=true"), fields.clone())
            .await;
        whole(&updated.body);
        // In included objects, one in the other, and for users.
        let album = pointer("Album", &created.id());
        let song = server.create(&client, "Song", json!({"albums": [album]})).await;
        let play = json!({"song": pointer("Song", &song)});
        let play = server.create(&client, "Play", play).await;
        let play = server
            .get(
                &client,
                &format!("/classes/Play/{play}"),
                &[("include", "song.albums")],
            )
            .await
            .body;
        whole(&play["song"]["albums"][0]);
        let (id, token) = server.sign_up(&created.id()).await;
        let own = As::user(&token);
        let avatar = server
            .put(&own, &format!("/users/{id}?new=true"), json!({"avatar": value}))
            .await;
        assert!(is_whole(&avatar.body["avatar"], &file), "{avatar:?}");
        let me = server.get(&own, "/users/me", &[]).await.body;
        assert!(is_whole(&me["avatar"], &file), "{me}");
    }
}

/// A deleted or unreadable file keeps its id, under the key that SDKs read.
// compat: file.in_objects
#[tokio::test]
async fn unreadable_file_in_object_keeps_its_id() {
    let server = start().await;
    let client = As::client();
    let gone = upload(&server, &client, json!({"name": "a.png"}), b"a")
        .await
        .id();
    let hidden = json!({"name": "a.png", "ACL": {"nobody": {"read": true}}});
    let hidden = upload(&server, &client, hidden, b"b").await.id();
    server.delete(&As::master(), &format!("/files/{gone}")).await;
    for id in [&gone, &hidden] {
        let [written, pointer] = forms(id);
        let fields = json!({"file": written, "all": [written], "map": {"f": pointer}});
        let object = server.create(&client, "Photo", fields).await;
        let shown = server
            .get(&client, &format!("/classes/Photo/{object}"), &[])
            .await
            .body;
        let as_written = json!({"__type": "File", "id": id, "name": "a.png", "objectId": id});
        assert_eq!(
            (&shown["file"], &shown["all"]),
            (&as_written, &json!([as_written]))
        );
        assert_eq!(
            shown["map"],
            json!({"f": {"__type": "File", "id": id, "objectId": id}})
        );
    }
}

/// A file with a large row, in many places of one object, is not expanded in all of them.
#[tokio::test]
async fn files_of_a_response_are_bounded() {
    let server = start().await;
    let client = As::client();
    let request = json!({"name": "a.png", "metaData": {"text": "x".repeat(1_000_000)}});
    let file = upload(&server, &client, request, b"a").await.id();
    let [value, _] = forms(&file);
    let object = server
        .create(&client, "Photo", json!({"all": vec![value; 100]}))
        .await;
    let shown = server
        .get(&client, &format!("/classes/Photo/{object}"), &[])
        .await;
    let all = shown.body["all"].as_array().unwrap();
    let whole = all.iter().filter(|file| file.get("metaData").is_some()).count();
    assert!((20..=40).contains(&whole), "{whole}");
    assert!(all.iter().all(|shown| shown["objectId"] == json!(file)));
}

/// Rows of an earlier version have no provider, and the Go SDK reads no file without one.
#[tokio::test]
async fn file_without_stored_provider_gets_one() {
    let server = start().await;
    let client = As::client();
    let earlier = json!({"name": "a.png", "key": "k.png", "bucket": "paylog"});
    let imported = json!({"name": "a.png", "key": "l.png", "bucket": "b7", "provider": "qiniu"});
    let bare = json!({"name": "a.png", "url": "https://example.com/a.png"});
    for (row, provider) in [
        (earlier, json!("s3")),
        (imported, json!("qiniu")),
        (bare, Value::Null),
    ] {
        let id = load(&server, row).await;
        let path = format!("/files/{id}");
        let shown = server.get(&client, &path, &[]).await.body;
        assert_eq!(shown["provider"], provider, "{shown}");
        let object = server
            .create(&client, "Photo", json!({"file": forms(&id)[0]}))
            .await;
        let object = server
            .get(&client, &format!("/classes/Photo/{object}"), &[])
            .await
            .body;
        assert_eq!(object["file"]["provider"], provider, "{object}");
        let found = server.find(&client, "_File", json!({"objectId": id})).await;
        assert_eq!(found[0]["provider"], provider);
    }
    // What is stored is what was said, even if it cannot be told from what is shown.
    let said = upload(&server, &client, json!({"name": "b.png"}), b"b").await;
    let stored = server.find(&client, "_File", json!({"provider": "s3"})).await;
    assert_eq!((stored.len(), &stored[0]["objectId"]), (1, &json!(said.id())));
}

/// Stores a row of `_File` unchanged, and returns its id.
async fn load(server: &TestServer, row: Value) -> String {
    let row = Update::parse_create(&serde_json::from_value(row).unwrap()).unwrap();
    let row = Write::create(&ClassName::file(), row);
    match server.database.write(row).await {
        WriteOutcome::Applied(written) => written.object_id.unwrap().to_string(),
        other => panic!("{other:?}"),
    }
}

/// The two forms in which SDKs write the same file.
fn forms(id: &str) -> [Value; 2] {
    [
        json!({"__type": "File", "id": id, "name": "a.png"}),
        pointer("_File", id),
    ]
}

/// The ids of the files in an array.
fn ids(value: &Value) -> Vec<&str> {
    let mut ids = Vec::new();
    for file in value.as_array().unwrap() {
        ids.push(file["objectId"].as_str().or(file["id"].as_str()).unwrap());
    }
    ids
}

/// C# and Flutter write a file as a pointer to `_File`, all other SDKs as a File.
// compat: file.as_pointer
#[tokio::test]
async fn pointer_to_file_is_stored_as_file() {
    let server = start().await;
    let client = As::client();
    let first = upload(&server, &client, json!({"name": "a.png"}), b"a")
        .await
        .id();
    let second = upload(&server, &client, json!({"name": "b.png"}), b"b")
        .await
        .id();
    for (class, [made_by, other]) in [
        ("Cover", forms(&first)),
        ("Photo", {
            let [file, pointer] = forms(&first);
            [pointer, file]
        }),
    ] {
        let id = server
            .create(
                &client,
                class,
                json!({"n": 1, "file": made_by, "all": [made_by], "map": {"f": made_by}}),
            )
            .await;
        let path = format!("/classes/{class}/{id}");
        // The column is of files, whichever form it was made by.
        for value in [&made_by, &other] {
            let written = server
                .put(&client, &path, json!({"file": value, "map.f": value}))
                .await;
            assert_eq!(written.status, 200, "{written:?}");
        }
        let columns = server
            .get(&As::master(), &format!("/schemas/{class}"), &[])
            .await
            .body;
        assert_eq!(columns["file"], json!({"type": "File"}), "{columns}");
        let other_class = json!({"file": pointer("Song", &first)});
        assert_eq!(server.put(&client, &path, other_class).await.error(), (400, 111));

        server
            .create(
                &client,
                class,
                json!({"n": 2, "file": pointer("_File", &second), "all": []}),
            )
            .await;
        for value in forms(&first) {
            for (condition, found) in [
                (json!({"file": value}), vec![1]),
                (json!({"file": {"$in": [value, 7]}}), vec![1]),
                (json!({"file": {"$nin": [value]}}), vec![2]),
                (json!({"file": {"$ne": value}}), vec![2]),
                (json!({"all": value}), vec![1]),
                (json!({"all": {"$all": [value]}}), vec![1]),
                (json!({"map.f": value}), vec![1]),
                (json!({"map": {"f": value}}), vec![1]),
                (json!({"$or": [{"file": value}, {"n": 7}]}), vec![1]),
                (
                    json!({"$and": [{"n": 1}, {"$or": [{"all": {"$in": [value]}}]}]}),
                    vec![1],
                ),
                (json!({"file": {"$not": {"$eq": value}}}), vec![2]),
                (
                    json!({"file": {"$inQuery": {"className": "_File", "where": {"name": "a.png"}}}}),
                    vec![1],
                ),
            ] {
                let rows = server.find(&client, class, condition.clone()).await;
                let numbers: Vec<_> = rows.iter().map(|row| row["n"].as_i64().unwrap()).collect();
                assert_eq!(numbers, found, "{condition}");
            }
            let guarded = server
                .put_where(&client, &path, json!({"file": value}), json!({"n": 1}))
                .await;
            assert_eq!(guarded.status, 200, "{guarded:?}");
        }

        // Array operations take either for the other.
        for (held, given) in [(&made_by, &other), (&other, &made_by)] {
            server
                .put(&client, &path, json!({"all": [held, pointer("_File", &second)]}))
                .await;
            for (op, left) in [("AddUnique", vec![&*first, &*second]), ("Remove", vec![&*second])] {
                let change = json!({"all": {"__op": op, "objects": [given]}});
                assert_eq!(server.put(&client, &path, change).await.status, 200);
                assert_eq!(ids(&server.read(class, &id).await["all"]), left, "{op}");
            }
        }
    }
}

/// Relations hold pointers only, also to `_File`.
#[tokio::test]
async fn relation_to_files_holds_pointers() {
    let server = start().await;
    let client = As::client();
    let file = upload(&server, &client, json!({"name": "a.png"}), b"a")
        .await
        .id();
    let add = json!({"files": {"__op": "AddRelation", "objects": [pointer("_File", &file)]}});
    let album = server.create(&client, "Album", add).await;
    let related = json!({"$relatedTo": {"object": pointer("Album", &album), "key": "files"}});
    let rows = server.find(&client, "_File", related).await;
    assert_eq!((rows.len(), &rows[0]["objectId"]), (1, &json!(file)));
    for value in forms(&file) {
        let owners = server.find(&client, "Album", json!({"files": value})).await;
        assert_eq!(
            (owners.len(), &owners[0]["objectId"]),
            (1, &json!(album)),
            "{value}"
        );
    }
}
