//! Files as values of objects: written in the forms of all SDKs, found by each, and shown with all that is known of them.

use serde_json::{Value, json};

use super::files::upload;
use super::support::{As, pointer, sorted_keys, start};

/// A column of an object holds a file's id, and shows the whole file.
// compat: file.in_objects
#[tokio::test]
async fn objects_show_their_files() {
    let server = start().await;
    let client = As::client();
    let file = upload(&server, &client, json!({"name": "a.png"}), b"png").await;
    let value = json!({"__type": "File", "id": file.id(), "name": "a.png"});
    let created = server
        .post(
            &client,
            "/classes/Album?fetchWhenSave=true",
            json!({"cover": value, "all": [value], "n": 1}),
        )
        .await;
    let shown = |cover: &Value| {
        assert_eq!(
            sorted_keys(cover),
            [
                "__type",
                "bucket",
                "createdAt",
                "key",
                "mime_type",
                "name",
                "objectId",
                "updatedAt",
                "url"
            ],
            "{cover}"
        );
        assert_eq!(
            (&cover["__type"], &cover["objectId"], &cover["url"]),
            (&json!("File"), &json!(file.id()), &file.body["url"])
        );
    };
    shown(&created.body["cover"]);
    let path = format!("/classes/Album/{}", created.id());
    let one = server.get(&client, &path, &[]).await.body;
    shown(&one["cover"]);
    // Inside of arrays only where it is asked for.
    assert!(one["all"][0].get("url").is_none());
    let listed = server
        .get(&client, "/classes/Album", &[("include", "all")])
        .await
        .body;
    shown(&listed["results"][0]["cover"]);
    shown(&listed["results"][0]["all"][0]);
    // In included objects, and for users.
    let album = pointer("Album", &created.id());
    server.create(&client, "Song", json!({"album": album})).await;
    let songs = server
        .get(&client, "/classes/Song", &[("include", "album")])
        .await
        .body;
    shown(&songs["results"][0]["album"]["cover"]);
    let (id, token) = server.sign_up("tom").await;
    let avatar = json!({"avatar": value});
    let own = As::user(&token);
    let updated = server.put(&own, &format!("/users/{id}?new=true"), avatar).await;
    shown(&updated.body["avatar"]);
    shown(&server.get(&own, "/users/me", &[]).await.body["avatar"]);
    // What is gone stays what it was.
    server
        .delete(&As::master(), &format!("/files/{}", file.id()))
        .await;
    let one = server.get(&client, &path, &[]).await.body;
    assert_eq!(one["cover"], value);
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

/// C# and Flutter write a file as a pointer to `_File`, all others as a File.
// compat: file.as_pointer
#[tokio::test]
async fn a_pointer_to_a_file_is_the_file() {
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

/// Relations know pointers alone, to `_File` too.
#[tokio::test]
async fn a_relation_to_files_stays_one_of_pointers() {
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
