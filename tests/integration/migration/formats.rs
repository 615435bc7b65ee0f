//! Formats: every format that LeanCloud writes or accepts is imported as the same objects.

use bson::{Bson, doc};
use paylog::model::{ColumnType, Document};
use paylog::store::Database;
use paylog::store::load::Loader;
use serde_json::{Value, json};

use super::{ImportFixture, class_name};

fn document(value: Value) -> Document {
    serde_json::from_value(value).unwrap()
}

/// The object in every format.
fn expected() -> Document {
    document(json!({
        "title": "Tea, and \"more\"", "n": 7, "share": 0.25, "open": true,
        "at": {"__type": "Date", "iso": "2021-05-06T07:08:09.010Z"},
        "tags": ["a", 1], "box": {"k": "v"},
        "place": {"__type": "GeoPoint", "latitude": 39.5, "longitude": 116.25},
        "author": {"__type": "Pointer", "className": "_User", "objectId": "u1"},
        "raw": {"__type": "Bytes", "base64": "AQID"},
        "ACL": {"*": {"read": true}, "role:Admin": {"write": true}},
        "objectId": "5f0c1a2b3c4d5e6f70819203",
        "createdAt": "2020-01-02T03:04:05.006Z", "updatedAt": "2020-02-02T03:04:05.006Z",
    }))
}

async fn assert_imported(fixture: &ImportFixture, count: u64) {
    let summary = fixture.import().await;
    assert_eq!(summary.left_out, 0, "{:#?}", fixture.report());
    assert_eq!(fixture.count("Post").await, count);
    let found = fixture.get("Post", "5f0c1a2b3c4d5e6f70819203").await.unwrap();
    assert_eq!(found, expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_are_imported_with_and_without_marker() {
    let line = serde_json::to_string(&expected()).unwrap();
    let fixture = ImportFixture::new();
    fixture.file(
        "Post.0.jsonl",
        format!("#filetype:JSON-streaming {{\"type\":\"Class\",\"class\":\"Post\"}}\n{line}\n"),
    );
    assert_imported(&fixture, 1).await;
    let fixture = ImportFixture::new();
    fixture.file("Post.jsonl", format!("{line}\r\n\r\n{{\"n\":1}}"));
    assert_imported(&fixture, 2).await;
    // The marker says more than the name.
    let fixture = ImportFixture::new();
    fixture.file("part-7.jsonl", &line);
    fixture.file(
        "part_7.jsonl",
        format!("#filetype:JSON-streaming {{\"type\":\"Class\",\"class\":\"Post\"}}\n{line}\n"),
    );
    assert_imported(&fixture, 1).await;
    let notice = &fixture.report()[0];
    assert_eq!(notice["file"], "part-7.jsonl");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_arrays_are_imported_bare_and_in_results() {
    let object = serde_json::to_string_pretty(&expected()).unwrap();
    let fixture = ImportFixture::new();
    fixture.file(
        "Post.json",
        format!("\n[\n{object} ,\n{{\"n\": 1, \"text\": \"]}}\\\"\"}}\n]\n"),
    );
    assert_imported(&fixture, 2).await;
    let fixture = ImportFixture::new();
    fixture.file(
        "Post_all.json",
        format!("{{ \"results\" : [{object}], \"count\": 1 }}"),
    );
    assert_imported(&fixture, 1).await;
    let fixture = ImportFixture::new();
    fixture.file("Post.json", "[]");
    fixture.file("Other.json", "{\"results\":[]}");
    assert_eq!(fixture.import().await.left_out, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_is_imported_by_its_two_heading_rows() {
    let fixture = ImportFixture::new();
    fixture.file(
        "Post.csv",
        "string,number,number,boolean,date,array,object,geopoint,pointer:_User,bytes,ACL,string,string,string\n\
         title,n,share,open,at,tags,box,place,author,raw,ACL,objectId,createdAt,updatedAt\n\
         \"Tea, and \"\"more\"\"\",7,0.25,true,2021-05-06T07:08:09.010Z,\"[\"\"a\"\",1]\",\"{\"\"k\"\":\"\"v\"\"}\",116.25 39.5,u1,AQID,\
         \"{\"\"*\"\":{\"\"read\"\":true},\"\"role:Admin\"\":{\"\"write\"\":true}}\",5f0c1a2b3c4d5e6f70819203,\
         2020-01-02T03:04:05.006Z,2020-02-02T03:04:05.006Z\n\
         ,1,,,,,,,,,,,,\n",
    );
    assert_imported(&fixture, 2).await;

    let fixture = ImportFixture::new();
    fixture.file("Post.csv", "string,number\nobjectId,n\na,1\nb,one\nc,2\n");
    let summary = fixture.import().await;
    assert_eq!((summary.left_out, fixture.count("Post").await), (1, 2));
    let reported = &fixture.report()[0];
    assert_eq!(
        (
            &reported["line"],
            reported["problem"]
                .as_str()
                .unwrap()
                .contains("'one' is no number")
        ),
        (&json!(4), true)
    );
}

fn bson_bytes(documents: &[bson::Document]) -> Vec<u8> {
    documents
        .iter()
        .flat_map(|document| document.to_vec().unwrap())
        .collect()
}

/// A backup with each form in which MongoDB can store the same object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bson_is_imported_in_every_known_layout() {
    let id = bson::oid::ObjectId::parse_str("5f0c1a2b3c4d5e6f70819203").unwrap();
    let time = |text: &str| Bson::DateTime(bson::DateTime::parse_rfc3339_str(text).unwrap());
    let common = doc! {
        "title": "Tea, and \"more\"", "n": 7_i64, "share": 0.25, "open": true, "tags": ["a", 1],
        "box": {"k": "v"},
        "raw": Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2, 3] }),
    };
    let point = doc! {"__type": "GeoPoint", "latitude": 39.5, "longitude": 116.25};
    let mut native = doc! {"_id": id};
    native.extend(common.clone());
    native.extend(doc! {
        "at": time("2021-05-06T07:08:09.010Z"), "place": point.clone(),
        "author": {"$ref": "_User", "$id": "u1"},
        "ACL": {"*": {"read": true}, "role:Admin": {"write": true}},
        "createdAt": time("2020-01-02T03:04:05.006Z"), "updatedAt": time("2020-02-02T03:04:05.006Z"),
    });
    let mut typed = doc! {"_id": "5f0c1a2b3c4d5e6f70819203"};
    typed.extend(common.clone());
    typed.extend(doc! {
        "at": {"__type": "Date", "iso": time("2021-05-06T07:08:09.010Z")}, "place": point.clone(),
        "author": {"__type": "Pointer", "className": "_User", "objectId": "u1"},
        "_acl": {"*": {"r": true}, "role:Admin": {"w": true}},
        "createdAt": "2020-01-02T03:04:05.006Z", "updatedAt": {"__type": "Date", "iso": "2020-02-02T03:04:05.006Z"},
    });
    let mut parse = doc! {"_id": "5f0c1a2b3c4d5e6f70819203"};
    parse.extend(common);
    parse.extend(doc! {
        "at": time("2021-05-06T07:08:09.010Z"), "place": point, "_p_author": "_User$u1",
        "_rperm": ["*"], "_wperm": ["role:Admin"],
        "_created_at": time("2020-01-02T03:04:05.006Z"), "_updated_at": time("2020-02-02T03:04:05.006Z"),
    });
    for layout in [native, typed, parse] {
        let fixture = ImportFixture::new();
        let broken = doc! {"_id": "x", "n": Bson::MaxKey};
        let other = doc! {"_id": "y", "n": 1};
        let mut bytes = bson_bytes(&[layout, broken, other]);
        let whole = bytes.len();
        bytes.extend_from_slice(&bson_bytes(&[doc! {"_id": "z"}]));
        bytes.truncate(whole + 7);
        fixture.file("Post.bson", bytes);
        fixture.file("Post.metadata.json", "{}");
        let summary = fixture.import().await;
        let reported: Vec<(u64, String)> = fixture
            .report()
            .iter()
            .filter_map(|entry| {
                Some((
                    entry["line"].as_u64()?,
                    entry.get("problem")?.as_str()?.to_owned(),
                ))
            })
            .collect();
        assert_eq!(summary.left_out, 2, "{reported:?}");
        assert!(
            reported[0].0 == 2 && reported[0].1.contains("the greatest key"),
            "{reported:?}"
        );
        assert!(
            reported[1].0 == 4 && reported[1].1.contains("breaks off"),
            "{reported:?}"
        );
        assert_eq!(fixture.count("Post").await, 2);
        assert_eq!(
            fixture.get("Post", "5f0c1a2b3c4d5e6f70819203").await.unwrap(),
            expected()
        );
    }
}

/// Relations with the target class from each possible origin; types of columns from LeanCloud's schema files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_and_column_types_are_imported() {
    let fixture = ImportFixture::new();
    fixture.file("_User.jsonl", "{\"objectId\":\"u1\",\"username\":\"ann\"}\n");
    fixture.file(
        "_Role.jsonl",
        "{\"objectId\":\"r1\",\"name\":\"Admin\",\"ACL\":{}}\n",
    );
    fixture.file(
        "Team.jsonl",
        "{\"objectId\":\"t1\",\"fans\":{\"__type\":\"Relation\",\"className\":\"_User\"}}\n",
    );
    fixture.file("Song.jsonl", "{\"objectId\":\"s1\"}\n");
    fixture.file(
        "_Join:users:_Role.0.jsonl",
        "{\"owningId\":\"r1\",\"relatedId\":\"u1\"}\n",
    );
    fixture.file(
        "_Join:fans:Team.json",
        "[{\"owningId\":\"t1\",\"relatedId\":\"u1\"}]",
    );
    fixture.file("_Join:songs:Team.csv", "owningId,relatedId\nt1,s1\n");
    fixture.file(
        "_Join:lost:Team.jsonl",
        "{\"owningId\":\"t1\",\"relatedId\":\"nowhere\"}\n",
    );
    fixture.file(
        "_Join:duets:Song.bson",
        bson_bytes(&[doc! {"_id": 1, "owningId": "s1", "relatedId": "s1"}]),
    );
    fixture.file(
        "Team_schema.json",
        json!({
            "objectId": {"type": "String"}, "level": {"type": "Number", "v": 2, "required": true},
            "chief": {"type": "Pointer", "className": "_User"}, "odd": {"type": "Any"},
        })
        .to_string(),
    );
    let summary = fixture.import().await;
    let report = fixture.report();
    assert_eq!(summary.left_out, 1, "{report:#?}");
    let problem = |file: &str| {
        report.iter().find(|entry| entry["file"] == file).unwrap()["problem"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(
        problem("_Join:lost:Team.jsonl").contains("target class"),
        "{report:#?}"
    );
    let links = |class: &'static str, key: &'static str| {
        let store = fixture.store.clone();
        async move {
            let links = store.links(&class_name(class), key, None, 10).await.unwrap();
            links
                .iter()
                .map(|link| format!("{} {}", link.owner.object_id, link.target.object_id))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(links("_Role", "users").await, ["r1 u1"]);
    assert_eq!(links("Team", "fans").await, ["t1 u1"]);
    assert_eq!(links("Team", "songs").await, ["t1 s1"]);
    assert_eq!(links("Song", "duets").await, ["s1 s1"]);
    let schema = fixture.store.schema();
    let team = &schema.classes[&class_name("Team")];
    assert!(team.columns["level"].required && team.columns["level"].column_type == ColumnType::Number);
    assert_eq!(
        team.columns["chief"].column_type,
        ColumnType::Pointer {
            class_name: class_name("_User")
        }
    );
    assert!(!team.columns.contains_key("odd"));
}
