//! The wire format around the API: keys, headers, limits, malformed input.

use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::json;

use super::support::{APP_ID, APP_KEY, As, HOOK_KEY, MASTER_KEY, answer, start};

fn sign(key: &str) -> String {
    let time = "1700000000000";
    let digest = Md5::new().chain_update(time).chain_update(key).finalize();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest},{time}")
}

// compat: wire.keys wire.sign date
#[tokio::test]
async fn request_without_app_keys_is_refused() {
    let server = start().await;
    let with = async |headers: &[(&str, &str)]| {
        let mut request = server.bare(Method::GET, "/classes/_Role");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request).await
    };
    let (signed, by_master) = (sign(APP_KEY), format!("{},master", sign(MASTER_KEY)));
    let master = format!("{MASTER_KEY},master");
    for good in [
        [("X-LC-Id", APP_ID), ("X-LC-Key", APP_KEY)],
        [("X-LC-Id", APP_ID), ("X-LC-Key", &master)],
        [("X-LC-Id", APP_ID), ("X-LC-Sign", &signed)],
        [("X-LC-Id", APP_ID), ("X-LC-Sign", &by_master)],
        [
            ("X-AVOSCloud-Application-Id", APP_ID),
            ("X-AVOSCloud-Application-Key", APP_KEY),
        ],
    ] {
        let roles = with(&good).await;
        assert_eq!(
            (roles.status, roles.body),
            (200, json!({"results": []})),
            "{good:?}"
        );
    }
    let stale = format!("{signed}0");
    for bad in [
        vec![],
        vec![("X-LC-Key", APP_KEY)],
        vec![("X-LC-Id", APP_ID)],
        vec![("X-LC-Id", APP_ID), ("X-LC-Key", "wrong")],
        vec![("X-LC-Id", "other"), ("X-LC-Key", APP_KEY)],
        vec![("X-LC-Id", APP_ID), ("X-LC-Sign", &stale)],
        vec![("X-LC-Id", APP_ID), ("X-LC-Hook-Key", HOOK_KEY)],
    ] {
        let refused = with(&bad).await;
        assert_eq!(refused.error(), (401, 401), "{bad:?}");
        assert_eq!(refused.body["error"], "Unauthorized.");
    }
    // The Python SDK asks for the time without any.
    let date = answer(server.bare(Method::GET, "/date")).await;
    assert_eq!((date.status, &date.body["__type"]), (200, &json!("Date")));
}

/// The JavaScript SDK sends the JSON text `null` with a GET, the Python SDK with some PUTs.
// compat: wire.null_body
#[tokio::test]
async fn null_body_counts_as_empty() {
    let server = start().await;
    let id = server.create(&As::client(), "Thing", json!({"n": 1})).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = server.request(&As::client(), method.clone(), &format!("/classes/Thing/{id}"));
        let done = answer(request.header("Content-Type", "application/json").body(" null\n")).await;
        assert_eq!(done.status, 200, "{method}: {done:?}");
    }
}

// compat: wire.empty_list wire.half_character
#[tokio::test]
async fn empty_list_counts_as_empty_object_and_lone_surrogate_is_replaced() {
    let server = start().await;
    let send = async |method: Method, path: &str, body: &'static str| {
        let request = server.request(&As::client(), method, path);
        answer(request.header("Content-Type", "application/json").body(body)).await
    };
    let created = send(Method::POST, "/classes/Thing", "[]").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = format!("/classes/Thing/{}", created.id());
    // An emoji that was cut in two.
    let done = send(
        Method::PUT,
        &path,
        r#"{"nick":"abc\ud83c","whole":"\ud83c\udf89"}"#,
    )
    .await;
    assert_eq!(done.status, 200, "{done:?}");
    let shown = server.get(&As::client(), &path, &[]).await.body;
    assert_eq!(
        (&shown["nick"], &shown["whole"]),
        (&json!("abc\u{fffd}"), &json!("🎉"))
    );
    let requests =
        r#"{"requests":[{"method":"PUT","path":"/1.1/classes/Thing/absent","body":{"a":"\udf89"}}]}"#;
    assert_eq!(send(Method::POST, "/batch", requests).await.status, 200);
    for malformed in ["[1]", "[", r#"{"a":"\ud83"}"#] {
        assert_eq!(send(Method::PUT, &path, malformed).await.error(), (400, 107));
    }
}

// compat: wire.text_plain
#[tokio::test]
async fn browser_request_as_plain_text_is_accepted() {
    let server = start().await;
    let send = async |body: serde_json::Value, path: &str| {
        // In any letter case, as types are.
        let kind = match body.get("_method") {
            Some(_) => "text/plain",
            None => "Text/Plain;charset=UTF-8",
        };
        let request = server.bare(Method::POST, path).header("Content-Type", kind);
        answer(request.body(body.to_string())).await
    };
    let keys = |more: serde_json::Value| {
        let mut body = json!({"_ApplicationId": APP_ID, "_ApplicationKey": APP_KEY});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let created = send(keys(json!({"title": "a", "n": 1})), "/classes/Post").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = format!("/classes/Post/{}", created.id());
    let updated = send(keys(json!({"_method": "PUT", "title": "b"})), &path).await;
    assert_eq!(updated.status, 200);
    let read = send(keys(json!({"_method": "GET"})), &path).await.body;
    assert_eq!((&read["title"], read.get("_ApplicationKey")), (&json!("b"), None));
    let found = send(
        keys(json!({"_method": "GET", "where": {"n": 1}, "limit": 5})),
        "/classes/Post",
    )
    .await;
    assert_eq!(found.body["results"].as_array().unwrap().len(), 1, "{found:?}");
    let deleted = send(keys(json!({"_method": "DELETE"})), &path).await;
    assert_eq!((deleted.status, deleted.body), (200, json!({})));
    let stranger = send(
        json!({"_ApplicationId": APP_ID, "_ApplicationKey": "x"}),
        "/classes/Post",
    )
    .await;
    assert_eq!(stranger.error(), (401, 401));
}

// compat: wire.headers
#[tokio::test]
async fn every_response_has_leancloud_headers() {
    let server = start().await;
    let client = As::client();
    let ok = server.get(&client, "/date", &[]).await;
    let refused = answer(
        server
            .bare(Method::GET, "/classes/_Role")
            .header("Origin", "https://example.com"),
    )
    .await;
    for answer in [&ok, &refused] {
        assert!(answer.header("content-type").starts_with("application/json"));
        assert_eq!(answer.header("cache-control"), "no-cache,no-store");
        assert_eq!(answer.header("pragma"), "no-cache");
        assert!(!answer.header("x-request-id").is_empty());
    }
    assert_ne!(ok.header("x-request-id"), refused.header("x-request-id"));
    let named = server
        .request(&client, Method::GET, "/date")
        .header("X-Request-Id", "my-id.1");
    assert_eq!(answer(named).await.header("x-request-id"), "my-id.1");
    let odd = server
        .request(&client, Method::GET, "/date")
        .header("X-Request-Id", "a b\"");
    assert_ne!(answer(odd).await.header("x-request-id"), "a b\"");

    // Browsers ask first, without keys, and may come from everywhere.
    assert!(["*", "https://example.com"].contains(&refused.header("access-control-allow-origin")));
    let preflight = server
        .bare(Method::OPTIONS, "/classes/Post")
        .header("Origin", "https://example.com")
        .header("Access-Control-Request-Method", "PUT");
    let preflight = answer(preflight).await;
    assert_eq!(preflight.status, 200);
    assert!(
        preflight
            .header("access-control-allow-headers")
            .to_lowercase()
            .contains("x-lc-session")
    );
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
}

// compat: wire.paths
#[tokio::test]
async fn unknown_path_or_method_is_refused() {
    let server = start().await;
    let client = As::client();
    for path in ["/nothing", "/classes", "/users/1/2/3", "/classes/A/b/c"] {
        assert_eq!(server.get(&client, path, &[]).await.error(), (404, 1), "{path}");
    }
    for (method, path) in [
        (Method::PUT, "/classes/Post"),
        (Method::POST, "/classes/Post/1"),
        (Method::PUT, "/login"),
        (Method::GET, "/batch"),
        (Method::PATCH, "/classes/Post/1"),
        (Method::POST, "/date"),
    ] {
        let refused = answer(server.request(&client, method.clone(), path)).await;
        assert_eq!(refused.error(), (405, 1), "{method} {path}");
    }
    // What LeanCloud has and this server has not yet is named.
    for path in [
        "/requestLoginSmsCode",
        "/usersByMobilePhone",
        "/requestPasswordReset",
    ] {
        let refused = server.post(&client, path, json!({})).await;
        assert_eq!(refused.error(), (400, 1), "{path}");
        assert!(
            refused.body["error"].as_str().unwrap().contains("not built yet"),
            "{refused:?}"
        );
    }
    let head = server
        .request(&client, Method::HEAD, "/date")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn engine_routes_stand_beside_server_routes() {
    let server = start().await;
    let function = || async { "function" };
    let both = server.server.router().merge(
        axum::Router::new()
            .route("/1.1/functions", axum::routing::any(function))
            .route("/1.1/functions/{*path}", axum::routing::any(function)),
    );
    for (path, is_function) in [
        ("/1.1/functions/a", true),
        ("/1.1/functions/Post/beforeSave", true),
        ("/1.1/functions", true),
        ("/1.1/function", false),
        ("/1.1/classes/functions", false),
    ] {
        let request = axum::http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(both.clone(), request).await.unwrap();
        assert_eq!(response.status() == 200, is_function, "{path}");
    }
}

// compat: wire.body_limit
#[tokio::test]
async fn body_beyond_the_limit_is_refused() {
    let server = start().await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(21 * 1024 * 1024));
    let request = server
        .request(&As::client(), Method::POST, "/classes/Post")
        .header("Content-Type", "application/json")
        .body(large);
    let refused = answer(request).await;
    assert_eq!(refused.error(), (413, 413));
    assert_eq!(
        server.get(&As::client(), "/classes/Post", &[]).await.error(),
        (404, 101)
    );
}

// compat: wire.no_500
#[tokio::test]
async fn malformed_input_is_never_an_internal_error() {
    let server = start().await;
    let client = As::client();
    let (id, token) = server.sign_up("tom").await;
    server.create(&client, "Post", json!({"n": 1})).await;
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bodies = [
        "{",
        "[]",
        "null",
        "7",
        "\"text\"",
        "{\"a\":}",
        "{\"a\":1}x",
        "\u{feff}{}",
        &deep,
        "{\"a\":1e999}",
        "{\"requests\":[[]]}",
        "{\"requests\":[{\"method\":7}]}",
        "{\"a\":\"\\ud800\"}",
        "{\"where\":{\"$or\":{}}}",
        "{\"__op\":\"Increment\"}",
        "{\"a\":{\"__type\":\"Date\",\"iso\":7}}",
        "{\"password\":{},\"username\":[]}",
        "{\"old_password\":[],\"new_password\":{}}",
        "{\"ACL\":[]}",
        "{\"a\":{\"__op\":\"Batch\",\"ops\":[{\"__op\":\"Batch\"}]}}",
        "{\"\":1}",
        "{\"a..b\":1}",
        "{\".\":1}",
    ];
    let paths = [
        "/classes/Post",
        "/classes/Post/1",
        "/users",
        "/login",
        "/batch",
        "/roles",
        "/classes/%00",
        "/classes/Post/%2e%2e",
        "/classes/Post/%FF",
        "/users/me",
        &format!("/users/{id}"),
        &format!("/users/{id}/updatePassword"),
        "/scan/classes/Post",
    ];
    for path in paths {
        for body in bodies {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let request = server
                    .request(&As::user(&token), method.clone(), path)
                    .header("Content-Type", "application/json")
                    .body(body.to_owned());
                let answer = answer(request).await;
                assert!(answer.status < 500, "{method} {path} {body:.40}: {answer:?}");
            }
        }
        for query in [
            "where=%7B",
            "where=[1]",
            "where={\"a\":{\"$regex\":\"(\"}}",
            "where={\"a\":{\"$regex\":\"(a%2B)%2B$\"}}",
            "order=-",
            "order=$a",
            "limit=-1",
            "limit=99999999999999999999",
            "skip=-1",
            "keys=,,-",
            "include=.,..",
            "where={\"$and\":[]}",
            "where={\"$relatedTo\":{}}",
            "where={\"a\":{\"$inQuery\":7}}",
            "count=x",
            "redirectClassNameForKey=n",
            "cursor=%00",
            "scan_key=-",
            "session_token=%00",
        ] {
            for caller in [As::user(&token), As::master()] {
                let path = format!("{path}?{query}");
                let answer = answer(server.request(&caller, Method::GET, &path)).await;
                assert!(answer.status < 500, "{path}: {answer:?}");
            }
        }
    }
    assert_eq!(server.get(&client, "/date", &[]).await.status, 200);
}
