//! Transport of responses: compression, size, `Last-Modified`, HTTP/2, rate limits.

use std::io::Read;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{APP_ID, APP_KEY, As, start, start_with};

// compat: wire.compression
#[tokio::test]
async fn response_is_compressed_if_accepted() {
    let server = start().await;
    let client = As::client();
    server
        .create(&client, "Post", json!({"text": "again and again ".repeat(200)}))
        .await;
    let get = async |path: &str, accepted: &str| {
        let request = server
            .request(&client, Method::GET, path)
            .header("Accept-Encoding", accepted)
            .header("Origin", "https://example.com");
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            let values = response.headers().get_all(name).iter();
            values
                .map(|value| value.to_str().unwrap().to_lowercase())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (encoding, vary) = (header("content-encoding"), header("vary"));
        (encoding, vary, response.bytes().await.unwrap())
    };
    let (_, _, plain) = get("/classes/Post", "identity").await;
    let whole: Value = serde_json::from_slice(&plain).unwrap();
    let (encoding, vary, bytes) = get("/classes/Post", "gzip").await;
    assert_eq!(encoding, "gzip");
    assert!(
        vary.contains("accept-encoding") && vary.contains("origin"),
        "{vary}"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*bytes)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), whole);
    let (encoding, _, bytes) = get("/classes/Post", "br").await;
    assert!(encoding == "br" && bytes.len() * 4 < plain.len());
    // What is small travels as it is.
    assert_eq!(get("/date", "gzip, br").await.0, "");
}

// compat: wire.answer_limit
#[tokio::test]
async fn list_response_is_cut_at_its_size() {
    let server = start().await;
    let client = As::client();
    for n in 0..8 {
        let body = json!({"n": n, "text": "x".repeat(1024 * 1024)});
        server.create(&client, "Big", body).await;
    }
    let query = [("order", "n"), ("count", "1")];
    let found = server.get(&client, "/classes/Big", &query).await.body;
    let results = found["results"].as_array().unwrap();
    assert_eq!((results.len(), &found["count"]), (5, &json!(8)));
    // A scan goes on behind what was left out.
    let mut seen = 0;
    let mut cursor = String::new();
    loop {
        let page = server
            .get(
                &As::master(),
                "/scan/classes/Big",
                &[("cursor", &cursor), ("limit", "100")],
            )
            .await
            .body;
        seen += page["results"].as_array().unwrap().len();
        match page["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, 8);
    // A single object is shown, whatever its size.
    let large = json!({"n": 9, "text": "x".repeat(7 * 1024 * 1024)});
    server.create(&client, "Large", large).await;
    let found = server.get(&client, "/classes/Large", &[]).await.body;
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
}

// compat: object.last_modified query.last_modified
#[tokio::test]
async fn response_has_last_modified() {
    let server = start().await;
    let client = As::client();
    let list = async || {
        let found = server
            .get(&client, "/classes/Post", &[("where", r#"{"n":-1}"#)])
            .await;
        assert_eq!(found.body, json!({"results": []}));
        found.header("last-modified").to_owned()
    };
    // Writes in one millisecond cannot be told apart.
    let tick = async || {
        let now = server.get(&client, "/date", &[]).await.body;
        while server.get(&client, "/date", &[]).await.body == now {}
    };
    let id = server.create(&client, "Post", json!({"n": 1})).await;
    let first = list().await;
    assert!(first.ends_with(" GMT") && first.contains('.'), "{first}");
    let path = format!("/classes/Post/{id}");
    let one = server.get(&client, &path, &[]).await;
    assert_eq!(one.header("last-modified"), first);
    // Written by whatever way, deletions too.
    tick().await;
    server.put(&client, &path, json!({"n": 2})).await;
    let second = list().await;
    assert_ne!(second, first);
    assert_eq!(
        server.get(&client, &path, &[]).await.header("last-modified"),
        second
    );
    tick().await;
    server.delete(&client, &path).await;
    assert_ne!(list().await, second);
}

// compat: wire.http_2
#[tokio::test]
async fn http_2_is_supported() {
    let server = start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    for _ in 0..2 {
        let request = client
            .get(server.url("/date"))
            .header("X-LC-Id", APP_ID)
            .header("X-LC-Key", APP_KEY);
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), 200);
    }
}

// compat: wire.rate_limits
#[tokio::test]
async fn requests_beyond_the_limits_are_refused() {
    let server = start_with(None, |config| config.requests_per_second = Some(1)).await;
    let mut refused = None;
    for _ in 0..5 {
        let answer = server.get(&As::client(), "/date", &[]).await;
        if answer.status != 200 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("five requests at once are too many");
    assert_eq!(refused.error(), (429, 429));
    assert_eq!(refused.body["error"], "Too many requests.");
    assert_eq!(refused.header("retry-after"), "1");

    // One at a time: a request whose body is still to come holds the place.
    let server = start_with(None, |config| config.concurrent_requests_max = Some(1)).await;
    let address = server.url("").replace("http://", "").replace("/1.1", "");
    let mut slow = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /1.1/classes/Post HTTP/1.1\r\nHost: {address}\r\nX-LC-Id: {APP_ID}\r\nX-LC-Key: {APP_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = server.get(&As::client(), "/date", &[]).await;
    while answer.status == 200 {
        // The slow request has not arrived yet.
        answer = server.get(&As::client(), "/date", &[]).await;
    }
    assert_eq!(answer.error(), (429, 429));
    slow.write_all(b"{}").await.unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    assert_eq!(server.get(&As::client(), "/date", &[]).await.status, 200);
}

// compat: object.conditional.reason
#[tokio::test]
async fn reason_of_305_is_given_to_master_key_on_request() {
    let server = start().await;
    let (master, client) = (As::master(), As::client());
    let id = server
        .create(&client, "Account", json!({"balance": 5, "epoch": 1}))
        .await;
    let write = async |caller: &As, method: Method, id: &str, condition: Value, explain: bool| {
        let condition = condition.to_string();
        let mut request = server
            .request(caller, method, &format!("/classes/Account/{id}"))
            .query(&[("where", &condition)]);
        if explain {
            request = request.header("X-Paylog-Explain", "1");
        }
        let answer = super::support::answer(request.json(&json!({}))).await;
        (answer.status, answer.header("x-paylog-reason").to_owned())
    };
    let poor = json!({"epoch": 1, "balance": {"$gte": 10}});
    for method in [Method::PUT, Method::DELETE] {
        assert_eq!(
            write(&master, method.clone(), &id, poor.clone(), true).await,
            (400, "condition:balance".into())
        );
        assert_eq!(
            write(&master, method.clone(), "absent", poor.clone(), true).await,
            (400, "absent".into())
        );
        assert_eq!(
            write(
                &master,
                method.clone(),
                &id,
                json!({"$or": [{"epoch": 2}, {"epoch": 3}]}),
                true
            )
            .await,
            (400, "condition:$or".into())
        );
        // Unasked, and for clients, it is LeanCloud's.
        assert_eq!(
            write(&master, method.clone(), &id, poor.clone(), false).await,
            (400, String::new())
        );
        assert_eq!(
            write(&client, method, &id, poor.clone(), true).await,
            (400, String::new())
        );
    }
    let met = write(&master, Method::PUT, &id, json!({"balance": 5}), true).await;
    assert_eq!(met, (200, String::new()));
}
