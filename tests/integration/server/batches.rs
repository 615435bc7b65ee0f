//! Batches: in order, each request on its own.

use serde_json::{Value, json};

use super::support::{As, TestServer, sorted_keys, start};

async fn batch(server: &TestServer, caller: &As, requests: Value) -> Vec<Value> {
    let answer = server.post(caller, "/batch", json!({"requests": requests})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_array().unwrap().clone()
}

#[tokio::test]
async fn objects_created_within_a_second_are_listed_in_creation_order() {
    let server = start().await;
    let client = As::client();
    let made = |n: i64| json!({"method": "POST", "path": "/1.1/classes/Post", "body": {"n": n}});
    for first in [0, 20] {
        let requests: Vec<Value> = (first..first + 20).map(made).collect();
        batch(&server, &client, json!(requests)).await;
    }
    for n in 40..45 {
        server.create(&client, "Post", json!({"n": n})).await;
    }
    for order in ["", "createdAt"] {
        let listed = server.get(&client, "/classes/Post", &[("order", order)]).await;
        let numbers: Vec<i64> = listed.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|post| post["n"].as_i64().unwrap())
            .collect();
        assert_eq!(numbers, (0..45).collect::<Vec<_>>(), "{order}");
    }
}

// compat: batch.order batch.partial batch.errors batch.get batch.query
#[tokio::test]
async fn batch_requests_are_answered_in_order() {
    let server = start().await;
    let client = As::client();
    let id = server.create(&client, "Post", json!({"n": 1})).await;
    let path = format!("/1.1/classes/Post/{id}");
    let answers = batch(
        &server,
        &client,
        json!([
            {"method": "POST", "path": "/1.1/classes/Post", "body": {"n": 2}},
            {"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 4}},
                "params": {"fetchWhenSave": true}},
            {"method": "PUT", "path": path, "body": {"n": "text"}},
            {"method": "PUT", "path": "/1.1/classes/Post/fakeid", "body": {"n": 30}},
            {"method": "GET", "path": path},
            {"method": "GET", "path": "/1.1/classes/Post/fakeid"},
            {"method": "GET", "path": "/1.1/classes/Nothing/fakeid"},
            {"method": "GET", "path": "/1.1/classes/Post", "params": {"where": {"n": {"$gt": 4}}, "limit": 1}},
            {"method": "GET", "path": "/1.1/classes/Post?limit=0&count=1"},
            {"method": "PUT", "path": path, "body": {"n": 6}, "params": {"where": {"n": 4}}},
            {"method": "DELETE", "path": path, "body": {}},
            {"method": "GET", "path": path},
            // PHP writes what has no keys as a list.
            {"method": "POST", "path": "/1.1/classes/Post", "body": {"n": 7}, "params": []},
        ]),
    )
    .await;
    assert_eq!(sorted_keys(&answers[0]["success"]), ["createdAt", "objectId"]);
    assert_eq!(answers[1]["success"]["n"], 5);
    assert_eq!(answers[2]["error"]["code"], 111);
    assert_eq!(
        answers[3],
        json!({"error": {"code": 1, "error": "Could not find object by id 'fakeid' for class 'Post'."}})
    );
    assert_eq!(answers[4]["success"]["n"], 5);
    assert_eq!(answers[5], json!({"success": null}));
    assert_eq!(
        answers[6],
        json!({"error": {"code": 101, "error": "Class or object doesn't exists."}})
    );
    assert_eq!(answers[7]["success"]["results"][0]["n"], 5);
    assert_eq!(answers[8]["success"], json!({"results": [], "count": 2}));
    assert_eq!(answers[9]["error"]["code"], 305);
    assert_eq!(answers[10], json!({"success": {}}));
    assert_eq!(answers[11], json!({"success": null}));
    assert_eq!(answers.len(), 13);
    let left = server.find(&client, "Post", json!({})).await;
    assert_eq!(
        left.iter().map(|row| row["n"].clone()).collect::<Vec<_>>(),
        [2, 7]
    );
}

// compat: batch.conditional
#[tokio::test]
async fn conditional_write_in_batch_sees_writes_before() {
    let server = start().await;
    let client = As::client();
    // One class, made by the first write, with columns that the later ones must respect.
    let creates: Vec<Value> = (0..50)
        .map(|n| {
            let n = if n == 25 { json!("text") } else { json!(n) };
            json!({"method": "POST", "path": "/1.1/classes/Fresh", "body": {"n": n}})
        })
        .collect();
    let answers = batch(&server, &client, Value::Array(creates)).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.get("success").is_some(), n != 25, "{n}: {answer}");
    }
    let id = answers[0]["success"]["objectId"].as_str().unwrap();
    let path = format!("/1.1/classes/Fresh/{id}");
    let increment = json!({"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 1}},
        "params": {"new": true}});
    let answers = batch(&server, &client, json!([increment, increment, increment])).await;
    let values: Vec<&Value> = answers.iter().map(|answer| &answer["success"]["n"]).collect();
    assert_eq!(values, [1, 2, 3]);
}

#[tokio::test]
async fn batch_requests_obey_user_rules_and_permissions() {
    let server = start().await;
    let (tom, token) = server.sign_up("tom").await;
    let note = server.create(&As::master(), "Note", json!({"ACL": {}})).await;
    let answers = batch(
        &server,
        &As::user(&token),
        json!([
            {"method": "POST", "path": "/1.1/users", "body": {"username": "jerry", "password": "p"}},
            {"method": "POST", "path": "/1.1/users", "body": {"username": "jerry", "password": "p"}},
            {"method": "PUT", "path": format!("/1.1/users/{tom}"), "body": {"nickname": "t"}},
            {"method": "PUT", "path": format!("/1.1/classes/Note/{note}"), "body": {"n": 1}},
            {"method": "POST", "path": "/1.1/login", "body": {"username": "jerry", "password": "p"}},
            {"method": "GET", "path": "/1.1/date"},
            {"method": "POST", "path": "/1.1/batch", "body": {"requests": []}},
            {"method": "PATCH", "path": "/1.1/date"},
            {"method": "GET"},
            {"method": "GET", "path": "/1.1/nothing"},
            {"method": "GET", "path": "/classes/Note"},
            {"method": "POST", "path": "/1.1/classes/Note", "body": [1]},
            7,
        ]),
    )
    .await;
    assert!(answers[0]["success"]["sessionToken"].is_string());
    assert_eq!(answers[1]["error"]["code"], 202);
    assert!(answers[2]["success"]["updatedAt"].is_string());
    assert_eq!(
        answers[3]["error"],
        json!({"code": 403, "error": "Forbidden writing by object's ACL."})
    );
    assert_eq!(
        answers[4]["success"]["sessionToken"],
        answers[0]["success"]["sessionToken"]
    );
    assert_eq!(answers[5]["success"]["__type"], "Date");
    for (number, answer) in answers.iter().enumerate().skip(6) {
        let code = answer["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("{number}: {answer}"));
        assert!([1, 107].contains(&code), "{number}: {answer}");
    }
    for body in [json!({}), json!({"requests": {}}), json!({"requests": null})] {
        assert_eq!(
            server.post(&As::client(), "/batch", body).await.error(),
            (400, 107)
        );
    }
    assert_eq!(
        batch(&server, &As::client(), json!([])).await,
        Vec::<Value>::new()
    );
}
