//! Class objects in parameters and results of functions (`/call`), as in recordings of real clients.

use paylog::engine::{App, ClassObject, Params, ServeOptions};
use paylog::model::value::wire::{Bytes, Date, File};
use paylog::model::{CloudError, Document, GeoPoint, Pointer, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Counters, Running, config, start_app};

#[derive(Clone, Serialize, Deserialize)]
struct Complex {
    #[serde(rename = "stringColumn")]
    text: String,
    #[serde(rename = "dateColumn")]
    date: Date,
    #[serde(rename = "pointerColumn")]
    pointer: Pointer,
    #[serde(rename = "geopointColumn")]
    point: GeoPoint,
    #[serde(rename = "fileColumn")]
    file: File,
    #[serde(rename = "objectId", default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "createdAt", default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "avObject")]
    object: ClassObject<Complex>,
    #[serde(rename = "avObjects")]
    objects: Vec<ClassObject>,
    #[serde(rename = "avFile")]
    file: File,
    bytes: Bytes,
}

#[derive(Serialize)]
struct Answered {
    foo: &'static str,
    t: Date,
    #[serde(rename = "avObject")]
    object: ClassObject<Complex>,
    #[serde(rename = "avObjects")]
    objects: Vec<ClassObject>,
    file: File,
    bytes: Bytes,
}

fn objects_app() -> App<Counters> {
    App::new()
        .function("complex", async |Params(sent): Params<Sent>| {
            Ok::<_, CloudError>(Answered {
                foo: "bar",
                t: sent.object.date,
                object: sent.object,
                objects: sent.objects,
                file: sent.file,
                bytes: sent.bytes,
            })
        })
        .function("bare", async |Params(object): Params<ClassObject<Complex>>| {
            Ok::<_, CloudError>(object)
        })
        .function("list", async |Params(object): Params<ClassObject>| {
            Ok::<_, CloudError>(vec![object.clone(), object])
        })
        .function("raw", async |Params(fields): Params<Document>| {
            Ok::<_, CloudError>(fields)
        })
}

async fn engine() -> Running {
    start_app(objects_app(), config(), ServeOptions::default()).await
}

/// Fields of an object, the same in every encoding.
fn fields() -> Value {
    json!({
        "stringColumn": "testString",
        "dateColumn": {"__type": "Date", "iso": "2015-05-14T06:24:47.000Z"},
        "pointerColumn": {"__type": "Pointer", "className": "_User", "objectId": "55069e5be4b0c93838ed8e6c"},
        "geopointColumn": {"__type": "GeoPoint", "latitude": 0.0, "longitude": 30.0},
        "fileColumn": {"name": "ttt.jpg", "url": "http://files/ttt.jpg", "mime_type": "image/jpeg",
            "metaData": {"size": 310_991}, "objectId": "55543fc2e4b0846760bd92f3", "__type": "File"},
        "objectId": "55543f8ee4b0846760bd8d9c",
        "createdAt": "2015-05-14T06:24:14.849Z",
    })
}

fn typed(kind: &str, class: &str, mut fields: Value) -> Value {
    fields["__type"] = kind.into();
    fields["className"] = class.into();
    fields
}

// compat: recorded.cloud_functions engine.13
#[tokio::test]
async fn objects_inside_a_map_round_trip() {
    let engine = engine().await;
    let file =
        json!({"name": "hello.txt", "url": "http://files/h.txt", "metaData": {"size": 0}, "__type": "File"});
    let bytes = json!({"__type": "Bytes", "base64": "aGVsbG8="});
    let other = json!({"name": "avObjects", "objectId": "5d8307fd17b54d0068f1aa88"});
    let sent = json!({
        "avObject": typed("Pointer", "ComplexObject", fields()),
        "avObjects": [typed("Pointer", "ComplexObject", other.clone())],
        "avFile": file, "bytes": bytes,
    });
    let date = json!({"__type": "Date", "iso": "2015-05-14T06:24:47.000Z"});
    let (status, body) = engine.with_key("/1.1/call/complex", &sent).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["result"],
        json!({
            "foo": "bar", "t": date, "file": file, "bytes": bytes,
            "avObject": typed("Pointer", "ComplexObject", fields()),
            "avObjects": [typed("Pointer", "ComplexObject", other.clone())],
        })
    );
    // Without `call`, an object is its fields.
    let (_, body) = engine.with_key("/1.1/functions/complex", &sent).await;
    assert_eq!(
        body["result"],
        json!({
            "foo": "bar", "t": date, "file": file, "bytes": bytes,
            "avObject": fields(), "avObjects": [other],
        })
    );
}

// compat: recorded.cloud_functions engine.13
#[tokio::test]
async fn bare_object_and_list_of_objects_round_trip() {
    let engine = engine().await;
    let sent = typed("Object", "ComplexObject", fields());
    let (_, body) = engine.with_key("/1.1/call/bare", &sent).await;
    assert_eq!(body, json!({"result": sent}));
    let (_, body) = engine.with_key("/1/call/list", &sent).await;
    assert_eq!(body, json!({"result": [sent, sent]}));
    let (_, body) = engine.with_key("/1.1/functions/bare", &sent).await;
    assert_eq!(body, json!({"result": fields()}));
    // Creation times are accepted in either form and returned as texts.
    let mut dated = sent.clone();
    dated["createdAt"] = json!({"__type": "Date", "iso": "2015-05-14T06:24:14.849Z"});
    let (_, body) = engine.with_key("/1.1/call/bare", &dated).await;
    assert_eq!(body, json!({"result": sent}));
    let (status, body) = engine.with_key("/1.1/call/bare", &fields()).await;
    assert_eq!((status, &body["code"]), (400, &json!(107)));
}

// compat: engine.13
#[tokio::test]
async fn unread_values_stay_unchanged() {
    let engine = engine().await;
    let sent =
        json!({"a": {"b": [typed("Object", "Post", json!({"n": 1}))]}, "null": null, "text": "x", "n": 1.5});
    let (_, body) = engine.with_key("/1.1/functions/raw", &sent).await;
    assert_eq!(body, json!({ "result": sent }));
}
