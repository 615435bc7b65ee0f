//! `/batch/save`, as the Swift, Objective-C and Java SDKs use it.

use serde_json::{Value, json};

use super::support::{As, pointer, start};

#[expect(clippy::needless_pass_by_value, reason = "so that a literal can be given")]
fn request(method: &str, path: &str, body: Value) -> Value {
    json!({"method": method, "path": format!("/1.1{path}"), "body": body})
}

/// Swift sends a new parent and a new child so: the child first, and the parent names the column.
// compat: batch_save batch_save.children
#[tokio::test]
async fn batch_save_of_new_parent_and_child_links_them() {
    let server = start().await;
    let client = As::client();
    let mut child = request(
        "POST",
        "/classes/Child",
        json!({"__internalId": "c-1", "name": "child"}),
    );
    child["new"] = true.into();
    let children = json!([{"className": "Child", "cid": "c-1", "key": "child"}]);
    let mut parent = request(
        "POST",
        "/classes/Parent",
        json!({"__internalId": "p-1", "__children": children, "name": "parent"}),
    );
    parent["new"] = true.into();
    parent["params"] = json!({"fetchWhenSave": true});
    let saved = server
        .post(&client, "/batch/save", json!({"requests": [child, parent]}))
        .await;
    assert_eq!(saved.status, 200, "{saved:?}");
    let child = saved.body["c-1"]["objectId"].as_str().unwrap().to_owned();
    let answer = &saved.body["p-1"];
    assert_eq!(answer["child"], pointer("Child", &child));
    assert_eq!(answer["createdAt"], answer["updatedAt"]);
    assert!(saved.body["c-1"]["updatedAt"].is_string(), "{saved:?}");
    let parent = server.read("Parent", answer["objectId"].as_str().unwrap()).await;
    assert_eq!(
        super::support::sorted_keys(&parent),
        ["child", "createdAt", "name", "objectId", "updatedAt"]
    );
    assert_eq!(parent["child"], pointer("Child", &child));
}

/// Two operations on one field are two requests: Java and Objective-C name the object by its id or by their own name.
// compat: batch_save.same_object
#[tokio::test]
async fn batch_save_of_one_object_twice_creates_then_updates() {
    let server = start().await;
    let client = As::client();
    let list = |op: &str, value: i64| json!({"__internalId": "x", "list": {"__op": op, "objects": [value]}});
    let requests = json!([
        request("POST", "/classes/List", list("Add", 1)),
        request("PUT", "/classes/List", list("Add", 2)),
        request("PUT", "/classes/List/x", list("Remove", 1)),
    ]);
    let saved = server
        .post(&client, "/batch/save", json!({"requests": requests}))
        .await;
    assert_eq!((saved.status, saved.keys()), (200, vec!["x"]), "{saved:?}");
    let id = saved.body["x"]["objectId"].as_str().unwrap().to_owned();
    assert_eq!(server.read("List", &id).await["list"], json!([2]));
    assert!(saved.body["x"]["createdAt"].is_string());

    let path = format!("/classes/List/{id}");
    let body = |amount: i64| json!({"__internalId": id, "n": {"__op": "Increment", "amount": amount}});
    let mut last = request("PUT", &path, body(2));
    last["params"] = json!({"fetchWhenSave": true});
    let requests = json!([request("PUT", &path, body(1)), last]);
    let saved = server
        .post(&client, "/batch/save", json!({"requests": requests}))
        .await;
    assert_eq!((saved.keys(), &saved.body[&id]["n"]), (vec![&*id], &json!(3)));
    assert!(server.read("List", &id).await.get("__internalId").is_none());
}

// compat: batch_save.failure
#[tokio::test]
async fn batch_save_failure_is_the_response() {
    let server = start().await;
    let client = As::client();
    let first = request("POST", "/classes/A", json!({"__internalId": "a", "n": 1}));
    let mistyped = request("POST", "/classes/A", json!({"__internalId": "b", "n": "text"}));
    let third = request("POST", "/classes/A", json!({"__internalId": "c", "n": 3}));
    let refused = server
        .post(
            &client,
            "/batch/save",
            json!({"requests": [first, mistyped, third]}),
        )
        .await;
    assert_eq!(refused.error(), (400, 111));
    assert_eq!(server.find(&client, "A", json!({})).await.len(), 1);

    let orphan =
        json!({"__internalId": "p", "__children": [{"className": "A", "cid": "nobody", "key": "a"}]});
    let cases = [
        (json!({"requests": [request("POST", "/classes/A", orphan)]}), 1),
        (
            json!({"requests": [request("DELETE", "/classes/A/1", json!({}))]}),
            107,
        ),
        (
            json!({"requests": [request("GET", "/classes/A/1", json!({}))]}),
            107,
        ),
        (
            json!({"requests": [request("POST", "/classes/A", json!({"__internalId": 7}))]}),
            107,
        ),
        (
            json!({"requests": [request("POST", "/classes/A", json!({"__children": 7}))]}),
            107,
        ),
        (
            json!({"requests": [request("PUT", "/classes/A/absent", json!({"n": 1}))]}),
            1,
        ),
        (json!({}), 107),
    ];
    for (body, code) in cases {
        let refused = server.post(&client, "/batch/save", body.clone()).await;
        assert_eq!(refused.error(), (400, code), "{body}");
    }
    // A batch refuses the names: there they would become columns.
    let body = json!({"requests": [request("POST", "/classes/A", json!({"__internalId": "a"}))]});
    let refused = server.post(&client, "/batch", body).await.body;
    assert_eq!(refused[0]["error"]["code"], 105);
}
