//! The requests on the wire, byte for byte where it matters.

use std::time::Duration;

use paylog::client::{Authentication, Client, ClientError, ReadOptions, Retry, RetryPolicy, WriteOptions};
use paylog::environment::Environment;
use paylog::model::{
    ClassName, Document, Filter, HookKind, Keys, ObjectId, Pointer, Query, Test, Timestamp, Update,
};
use paylog::store::{Found, Write, WriteOutcome};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn request_has_the_documented_signature() {
    let server = answering([answer(200, json!({}))]).await;
    let client = builder(&server.uri())
        .hook_key("hook-key")
        .production(false)
        .build()
        .unwrap();
    let session = client.with_session("token");
    let master = session.as_master().unwrap();
    let keys = builder(&server.uri())
        .authentication(Authentication::Key)
        .build()
        .unwrap();
    for view in [&client, &session, &master, &keys, &keys.as_master().unwrap()] {
        let found = view.objects(&class()).get(&id(), &ReadOptions::default()).await;
        assert_eq!(found, Ok(None));
    }
    let master_by_key = format!("{MASTER_KEY},master");
    // sign, key, session, hook key, production
    let expected = [
        (Some(SIGN), None, None, Some("hook-key"), "0"),
        (Some(SIGN), None, Some("token"), Some("hook-key"), "0"),
        (Some(SIGN_MASTER), None, Some("token"), Some("hook-key"), "0"),
        (None, Some(APP_KEY), None, None, "1"),
        (None, Some(master_by_key.as_str()), None, None, "1"),
    ];
    for (request, (sign, key, session, hook_key, production)) in received(&server).await.iter().zip(expected)
    {
        assert_eq!(header(request, "x-lc-id"), Some("app-id"));
        assert_eq!(header(request, "x-lc-sign"), sign);
        assert_eq!(header(request, "x-lc-key"), key);
        assert_eq!(header(request, "x-lc-session"), session);
        assert_eq!(header(request, "x-lc-hook-key"), hook_key);
        assert_eq!(header(request, "x-lc-prod"), Some(production));
        assert_eq!(request.url.path(), format!("/1.1/classes/GameScore/{ID}"));
        assert_eq!(request.url.query(), None);
    }
}

#[tokio::test]
async fn each_attempt_is_signed_with_its_own_time() {
    let (environment, clock) = Environment::seeded(7, Timestamp::from_millis(NOW));
    let server = answering([answer(200, json!({}))]).await;
    let client = builder(&server.uri()).environment(environment).build().unwrap();
    let class = class();
    client
        .objects(&class)
        .get(&id(), &ReadOptions::default())
        .await
        .unwrap();
    clock.advance(1);
    client
        .objects(&class)
        .get(&id(), &ReadOptions::default())
        .await
        .unwrap();
    let signs: Vec<_> = received(&server)
        .await
        .iter()
        .map(|request| header(request, "x-lc-sign").unwrap().to_owned())
        .collect();
    assert_eq!(signs[0], SIGN);
    assert!(signs[1].ends_with(",1453014943467"), "{signs:?}");
}

#[test]
fn wrong_configuration_names_its_field() {
    let good = || builder("http://127.0.0.1:1");
    let policy = |attempts_max| RetryPolicy {
        attempts_max,
        ..quick()
    };
    let table = [
        (builder("api.example.com"), "server_url"),
        (builder("ftp://api.example.com"), "server_url"),
        (builder("http://user:secret@127.0.0.1"), "server_url"),
        (builder("http://127.0.0.1?key=secret"), "server_url"),
        (builder("http://127.0.0.1/1.1/"), "server_url"),
        (Client::builder("http://127.0.0.1", "", "key"), "app_id"),
        (Client::builder("http://127.0.0.1", "id", ""), "app_key"),
        (Client::builder("http://127.0.0.1", "id", "se cret"), "app_key"),
        (good().master_key("secret,master"), "master_key"),
        (good().hook_key("secret\n"), "hook_key"),
        (good().session_token("sécret"), "session_token"),
        (good().timeout(Duration::ZERO), "timeout"),
        (
            good().connect_timeout(Duration::from_secs(601)),
            "connect_timeout",
        ),
        (good().retry_policy(policy(0)), "retry_policy"),
        (good().retry_policy(policy(21)), "retry_policy"),
    ];
    for (builder, field) in table {
        let error = builder.build().unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(!error.to_string().contains("cret"), "{error}");
    }
    good().build().unwrap();
}

#[tokio::test]
async fn keys_and_tokens_never_appear_in_debug() {
    let server = answering([error(403, 403)]).await;
    let client = builder(&server.uri())
        .hook_key("hook-secret")
        .session_token("token-secret")
        .build()
        .unwrap();
    let refused = client.log_in("tester", "password-secret").await.unwrap_err();
    let lost = super::client("http://127.0.0.1:1").with_session("token-secret");
    let lost = lost
        .objects(&class())
        .query(&Query::new(Filter::all().eq("a", "where-secret")))
        .await
        .unwrap_err();
    let broken = client.with_session("token-secret\n").me().await.unwrap_err();
    let shown = format!(
        "{client:?} {:?} {refused:?} {refused} {lost:?} {lost} {broken:?} {broken}",
        builder(&server.uri())
    );
    for secret in ["secret", APP_KEY, MASTER_KEY] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    assert_eq!(refused.retry(), Retry::Never);
    assert_eq!(lost.retry(), Retry::SameRequest);
    assert!(matches!(broken, ClientError::Invalid(_)), "{broken:?}");
}

#[tokio::test]
async fn where_is_encoded_without_loss() {
    let texts = [
        "a+b & c=d?#%",
        "\"quoted\" \\ 'single'",
        "支付宝 ¥ 🙂",
        "\u{0}\n\t",
        "%2B;/:@,$",
    ];
    let server = answering([answer(200, json!({ "results": [] }))]).await;
    let client = client(&server.uri());
    for text in texts {
        let filter = Filter::all().eq("text", text).ne("other", text);
        client.objects(&class()).query(&Query::new(filter)).await.unwrap();
    }
    for (request, text) in received(&server).await.iter().zip(texts) {
        let sent = query(request);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].0, "where");
        let read: Value = serde_json::from_str(&sent[0].1).unwrap();
        assert_eq!(read, json!({ "text": text, "other": { "$ne": text } }));
        let raw = request.url.query().unwrap();
        assert!(
            !raw.contains('+') && !raw.contains(' '),
            "a blank or a plus sign is read in two ways: {raw}"
        );
    }
    let first = received(&server).await.remove(0);
    assert_eq!(
        first.url.query().unwrap(),
        "where=%7B%22text%22%3A%22a%2Bb%20%26%20c%3Dd%3F%23%25%22%2C%22other%22%3A%7B%22%24ne%22%3A%22a%2Bb%20%26%20c%3Dd%3F%23%25%22%7D%7D"
    );
}

#[tokio::test]
async fn query_sends_only_the_parameters_that_were_set() {
    let row = json!({ "objectId": ID, "score": 7, "createdAt": TIME, "updatedAt": TIME });
    let server = answering([answer(200, json!({ "results": [row], "count": 3 }))]).await;
    let client = client(&server.uri());
    let class = class();
    let wide = Query {
        skip: 5,
        count: true,
        keys: Some(Keys {
            only: vec!["score".into()],
            except: vec!["secret".into()],
        }),
        include: vec!["player".into(), "player.team".into()],
        return_acl: true,
        ..Query::new(Filter::all().gte("score", 7))
            .order_by("-score,name")
            .limit(10)
    };
    let found = client.objects(&class).query(&wide).await.unwrap();
    assert_eq!(found.count, Some(3));
    assert_eq!(found.results[0].integer("score"), Some(7));
    client.objects(&class).query(&Query::default()).await.unwrap();
    assert_eq!(client.objects(&class).count(&Filter::all()).await, Ok(3));

    let requests = received(&server).await;
    let mut sent = query(&requests[0]);
    sent.sort();
    let pairs = [
        ("count", "1"),
        ("include", "player,player.team"),
        ("keys", "score,-secret"),
        ("limit", "10"),
        ("order", "-score,name"),
        ("returnACL", "true"),
        ("skip", "5"),
        ("where", r#"{"score":{"$gte":7}}"#),
    ];
    assert_eq!(sent, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(requests[1].url.query(), None);
    let mut sent = query(&requests[2]);
    sent.sort();
    assert_eq!(
        sent,
        [("count", "1"), ("limit", "0")].map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn long_query_is_sent_in_a_batch() {
    let server = answering([
        answer(200, json!([{ "success": { "results": [{ "objectId": ID }] } }])),
        answer(
            200,
            json!([{ "error": { "code": 101, "error": "Class or object doesn't exists." } }]),
        ),
        answer(200, json!([])),
    ])
    .await;
    let client = client(&server.uri());
    let names: Vec<Value> = (0..200).map(|n| json!(format!("player {n}"))).collect();
    let query = Query::new(Filter::all().one_of("name", names.clone())).limit(7);
    let class = class();
    let found = client.objects(&class).query(&query).await.unwrap();
    assert_eq!(found.results[0].object_id(), Some(id()));
    let absent = client.objects(&class).query(&query).await.unwrap_err();
    assert_eq!(absent.code().unwrap().0, 101);
    let broken = client.objects(&class).query(&query).await.unwrap_err();
    assert_eq!((broken.code(), broken.retry()), (None, Retry::Never));

    let request = received(&server).await.remove(0);
    assert_eq!(
        (request.method.as_str(), request.url.path()),
        ("POST", "/1.1/batch")
    );
    assert_eq!(
        body(&request),
        json!({ "requests": [{
            "method": "GET",
            "path": "/1.1/classes/GameScore",
            "params": { "where": { "name": { "$in": names } }, "limit": 7 },
        }] })
    );
}

#[tokio::test]
async fn query_is_long_above_2000_encoded_characters() {
    let server = answering([answer(200, json!({ "results": [] }))]).await;
    let client = client(&server.uri());
    // encodeURIComponent of {"where":{"k":""}} has 42 characters.
    for (length, method) in [(2000 - 42, "GET"), (2001 - 42, "POST")] {
        let query = Query::new(Filter::all().eq("k", "x".repeat(length)));
        let _: Result<Found, _> = client.objects(&class()).query(&query).await;
        let last = received(&server).await.pop().unwrap();
        assert_eq!(last.method.as_str(), method);
    }
}

#[tokio::test]
async fn object_create_update_delete_requests() {
    let whole =
        json!({ "objectId": ID, "createdAt": TIME, "updatedAt": TIME, "score": 1, "company": "default" });
    let server = answering([
        created(),
        answer(201, whole),
        updated(),
        answer(200, json!({ "updatedAt": TIME, "objectId": ID, "score": 19 })),
        answer(200, json!({})),
    ])
    .await;
    let client = client(&server.uri());
    let class = class();
    let objects = client.objects(&class);
    let hooks = WriteOptions::new().ignore_hooks(&[HookKind::BeforeSave]);

    let WriteOutcome::Applied(written) = objects
        .create(&Update::new().set("score", 1), WriteOptions::new())
        .await
    else {
        panic!("not created");
    };
    assert_eq!(written.object_id, Some(id()));
    assert_eq!(written.updated_at, Some(Timestamp::parse(TIME).unwrap()));
    let WriteOutcome::Applied(written) = objects
        .create(&Update::new().set("score", 1), hooks.clone().fetch())
        .await
    else {
        panic!("not created");
    };
    assert_eq!(written.fields.text("company"), Some("default"));
    let outcome = objects
        .update(&id(), &Update::new().increment("score", -3), WriteOptions::new())
        .await;
    assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    let guarded = WriteOptions::new()
        .precondition(Filter::all().eq("name", "a&b+c"))
        .fetch();
    let WriteOutcome::Applied(written) = objects
        .update(
            &id(),
            &Update::new().add_unique("tags", vec!["é".into()]),
            guarded,
        )
        .await
    else {
        panic!("not changed");
    };
    assert_eq!(written.fields.integer("score"), Some(19));
    let outcome = objects
        .delete(&id(), hooks.precondition(Filter::all().lt("score", 20)))
        .await;
    assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");

    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let class_path = "/1.1/classes/GameScore".to_owned();
    let object_path = format!("{class_path}/{ID}");
    let expected = [
        ("POST", &class_path, pairs(&[]), json!({ "score": 1 })),
        (
            "POST",
            &class_path,
            pairs(&[("fetchWhenSave", "true")]),
            json!({ "score": 1, "__ignore_hooks": ["beforeSave"] }),
        ),
        (
            "PUT",
            &object_path,
            pairs(&[]),
            json!({ "score": { "__op": "Increment", "amount": -3 } }),
        ),
        (
            "PUT",
            &object_path,
            pairs(&[("fetchWhenSave", "true"), ("where", r#"{"name":"a&b+c"}"#)]),
            json!({ "tags": { "__op": "AddUnique", "objects": ["é"] } }),
        ),
        (
            "DELETE",
            &object_path,
            pairs(&[("where", r#"{"score":{"$lt":20}}"#)]),
            json!({ "__ignore_hooks": ["beforeSave"] }),
        ),
    ];
    let requests = received(&server).await;
    assert_eq!(requests.len(), expected.len());
    for (request, (method, path, parameters, sent)) in requests.iter().zip(expected) {
        assert_eq!(request.method.as_str(), method);
        assert_eq!(request.url.path(), path);
        assert_eq!(query(request), parameters);
        assert_eq!(body(request), sent);
        assert_eq!(
            header(request, "content-type"),
            Some("application/json;charset=UTF-8")
        );
    }
}

#[tokio::test]
async fn absent_object_is_none_for_each_form_of_response() {
    let user = ClassName::user();
    let absent = ObjectId::parse("fakeId").unwrap();
    for (class, reply) in [
        (class(), answer(200, json!({}))),
        (class(), error(404, 101)),
        (user.clone(), error(400, 211)),
    ] {
        let server = answering([reply]).await;
        let client = client(&server.uri());
        let found = client.objects(&class).get(&absent, &ReadOptions::default()).await;
        assert_eq!(found, Ok(None));
    }
    // With a session, 211 may be about the session: that is no answer about the object.
    let server = answering([error(400, 211)]).await;
    let client = client(&server.uri()).with_session("token");
    let error = client
        .objects(&user)
        .get(&absent, &ReadOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().0, 211);
    // Another object, or none, is not what was asked for.
    for wrong in [
        json!({ "objectId": ID }),
        json!({ "score": 1 }),
        json!([]),
        json!(null),
    ] {
        let server = answering([answer(200, wrong)]).await;
        let read = super::client(&server.uri())
            .objects(&user)
            .get(&absent, &ReadOptions::default())
            .await;
        assert_eq!(read.unwrap_err().retry(), Retry::Never);
    }
}

#[tokio::test]
async fn get_sends_keys_and_include() {
    let server = answering([answer(200, json!({ "objectId": ID, "score": 1.5 }))]).await;
    let options = ReadOptions {
        keys: Some(Keys {
            only: vec!["score".into()],
            except: vec![],
        }),
        include: vec!["player".into()],
        return_acl: true,
    };
    let found = client(&server.uri())
        .objects(&class())
        .get(&id(), &options)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.get("score"), Some(&json!(1.5)));
    let mut sent = query(&only(&server).await);
    sent.sort();
    let expected = [("include", "player"), ("keys", "score"), ("returnACL", "true")];
    assert_eq!(
        sent,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn batch_sends_condition_and_fetch_as_params() {
    let server = answering([answer(
        200,
        json!([
            { "success": { "objectId": ID, "createdAt": TIME } },
            { "success": { "objectId": ID, "updatedAt": TIME, "score": 2 } },
            { "success": {} },
        ]),
    )])
    .await;
    let class = class();
    let precondition = Filter::all().eq("name", "\"é\" + &");
    let writes = [
        Write::create(&class, Update::new().set("score", 1)),
        Write::update(&class, &id(), precondition, Update::new().increment("score", 1)),
        Write::delete(&class, &id(), Filter::all()),
    ];
    let outcomes = client(&server.uri())
        .write_all(&writes, &[HookKind::AfterSave])
        .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Applied(_))),
        "{outcomes:?}"
    );
    let request = only(&server).await;
    assert_eq!(
        (request.method.as_str(), request.url.path()),
        ("POST", "/1.1/batch")
    );
    let path = format!("/1.1/classes/GameScore/{ID}");
    assert_eq!(
        body(&request),
        json!({ "requests": [
            {
                "method": "POST",
                "path": "/1.1/classes/GameScore",
                "body": { "score": 1, "__ignore_hooks": ["afterSave"] },
            },
            {
                "method": "PUT",
                "path": path,
                "body": { "score": { "__op": "Increment", "amount": 1 }, "__ignore_hooks": ["afterSave"] },
                "params": { "fetchWhenSave": true, "where": { "name": "\"é\" + &" } },
            },
            { "method": "DELETE", "path": path, "body": { "__ignore_hooks": ["afterSave"] } },
        ] })
    );
}

#[tokio::test]
async fn more_than_100_writes_are_sent_in_several_batches_in_order() {
    let success = |count| answer(200, json!(vec![json!({ "success": {} }); count]));
    let server = answering([error(500, 1), success(100), answer(200, json!({}))]).await;
    let class = class();
    let writes = vec![Write::delete(&class, &id(), Filter::all()); 201];
    let outcomes = client(&server.uri()).write_all(&writes, &[]).await;
    assert_eq!(outcomes.len(), 201);
    assert!(
        outcomes[..100]
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Unknown(_)))
    );
    assert!(
        outcomes[100..]
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Applied(_)))
    );
    assert_eq!(received(&server).await.len(), 3);
    assert!(client(&server.uri()).write_all(&[], &[]).await.is_empty());
    assert_eq!(received(&server).await.len(), 3);
}

#[tokio::test]
async fn several_objects_are_read_in_one_batch() {
    let server = answering([answer(
        200,
        json!([
            { "success": { "objectId": ID, "score": 1 } },
            { "success": null },
            { "error": { "code": 101, "error": "Class or object doesn't exists." } },
        ]),
    )])
    .await;
    let objects =
        ["GameScore", "GameScore", "FakeClass"].map(|class| (ClassName::parse(class).unwrap(), id()));
    let read = client(&server.uri()).get_all(&objects).await.unwrap();
    assert_eq!(
        read[0].as_ref().unwrap().as_ref().unwrap().integer("score"),
        Some(1)
    );
    assert_eq!(read[1], Ok(None));
    assert_eq!(read[2].as_ref().unwrap_err().code.0, 101);
    let first = &body(&only(&server).await)["requests"][0];
    assert_eq!(
        *first,
        json!({ "method": "GET", "path": format!("/1.1/classes/GameScore/{ID}") })
    );
}

#[tokio::test]
async fn scan_follows_the_cursor_until_an_empty_page() {
    let row = |n: u32| json!({ "objectId": format!("{n:024x}"), "n": n });
    let page = |rows: &[u32], cursor: Value| {
        let rows: Vec<_> = rows.iter().map(|n| row(*n)).collect();
        answer(200, json!({ "results": rows, "cursor": cursor }))
    };
    let pages = [
        page(&[1, 2], json!("9B1j")),
        page(&[3, 4], json!("9B1j")),
        page(&[], json!(null)),
    ];
    let server = answering(pages.clone()).await;
    let client = client(&server.uri());
    let class = class();
    let mut scan = client
        .objects(&class)
        .scan(Filter::all().eq("timestamp", 7))
        .page_size(2);
    let mut seen = Vec::new();
    while let Some(page) = scan.next_page().await.unwrap() {
        seen.extend(page.iter().map(|row| row.integer("n").unwrap()));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!(scan.next_page().await, Ok(None));
    let requests = received(&server).await;
    assert_eq!(requests.len(), 3);
    for (request, cursor) in requests.iter().zip([None, Some("9B1j"), Some("9B1j")]) {
        assert_eq!(request.url.path(), "/1.1/scan/classes/GameScore");
        assert_eq!(header(request, "x-lc-sign"), Some(SIGN_MASTER));
        let sent: std::collections::BTreeMap<_, _> = query(request).into_iter().collect();
        assert_eq!(sent.get("cursor").map(String::as_str), cursor);
        assert_eq!(sent["limit"], "2");
        assert_eq!(sent["scan_key"], "objectId");
        assert_eq!(sent["where"], r#"{"timestamp":7}"#);
    }

    let server = answering(pages).await;
    let client = super::client(&server.uri());
    let rows = client.objects(&class).scan(Filter::all()).into_stream();
    let rows: Vec<_> = futures_util::StreamExt::collect(rows).await;
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(Result::is_ok), "{rows:?}");
}

#[tokio::test]
async fn user_sign_up_login_and_password_change_requests() {
    let user = json!({ "objectId": ID, "username": "tester", "sessionToken": "token-1", "createdAt": TIME });
    let token = |token: &str| {
        answer(
            200,
            json!({ "updatedAt": TIME, "objectId": ID, "sessionToken": token }),
        )
    };
    let server = answering([
        answer(201, user.clone()),
        answer(200, user.clone()),
        answer(200, user),
        token("token-2"),
        token("token-3"),
        error(400, 211),
    ])
    .await;
    let client = client(&server.uri());
    let mut fields = Document::new();
    fields.insert("gender".to_owned(), json!("female"));
    let signed_up = client.sign_up("tester", "pass \"word\"", fields).await.unwrap();
    assert_eq!(signed_up.session_token.expose_secret(), "token-1");
    assert_eq!(signed_up.user.text("username"), Some("tester"));
    assert!(!format!("{signed_up:?}").contains("token-1"));
    let session = client
        .log_in("tester", "pass \"word\"")
        .await
        .unwrap()
        .client(&client);
    assert_eq!(session.me().await.unwrap().user.object_id(), Some(id()));
    let token = session
        .update_password(&id(), "pass \"word\"", "new")
        .await
        .unwrap();
    let session = session.with_session(token);
    let token = session.refresh_session_token(&id()).await.unwrap();
    assert_eq!(token.expose_secret(), "token-3");
    let error = session.me().await.unwrap_err();
    assert_eq!((error.code().unwrap().0, error.retry()), (211, Retry::Never));
    assert!(matches!(
        session.log_out().me().await,
        Err(ClientError::Invalid(_))
    ));

    let expected = [
        (
            "POST",
            "/1.1/users",
            None,
            json!({ "gender": "female", "username": "tester", "password": "pass \"word\"" }),
        ),
        (
            "POST",
            "/1.1/login",
            None,
            json!({ "username": "tester", "password": "pass \"word\"" }),
        ),
        ("GET", "/1.1/users/me", Some("token-1"), Value::Null),
        (
            "PUT",
            "/1.1/users/5d8308029c9235000886c4cf/updatePassword",
            Some("token-1"),
            json!({ "old_password": "pass \"word\"", "new_password": "new" }),
        ),
        (
            "PUT",
            "/1.1/users/5d8308029c9235000886c4cf/refreshSessionToken",
            Some("token-2"),
            json!({}),
        ),
        ("GET", "/1.1/users/me", Some("token-2"), Value::Null),
    ];
    let requests = received(&server).await;
    assert_eq!(requests.len(), expected.len());
    for (request, (method, path, session, sent)) in requests.iter().zip(expected) {
        assert_eq!((request.method.as_str(), request.url.path()), (method, path));
        assert_eq!(header(request, "x-lc-session"), session);
        let got = if request.body.is_empty() {
            Value::Null
        } else {
            body(request)
        };
        assert_eq!(got, sent);
    }
}

#[tokio::test]
async fn cloud_function_encodes_parameters_and_decodes_result() {
    #[derive(serde::Serialize)]
    struct Sum {
        a: i64,
        b: i64,
    }
    let pointer = Pointer {
        class_name: class(),
        object_id: id(),
    };
    let server = answering([
        answer(200, json!({ "result": 3 })),
        answer(
            200,
            json!({ "result": { "__type": "Pointer", "className": "GameScore", "objectId": ID } }),
        ),
        answer(200, json!({})),
        answer(200, json!({ "result": "three" })),
        error(422, 9003),
    ])
    .await;
    let client = client(&server.uri()).with_session("token");
    let sum = Sum { a: 1, b: 2 };
    assert_eq!(client.run::<_, i64>("sum", &sum).await, Ok(3));
    assert_eq!(client.rpc::<_, Pointer>("best/of 2", &()).await, Ok(pointer));
    assert_eq!(client.run::<_, Option<i64>>("nothing", &()).await, Ok(None));
    let other = client.run::<_, i64>("sum", &sum).await.unwrap_err();
    assert_eq!(other.retry(), Retry::AfterRead);
    assert!(!other.to_string().contains("three"), "{other}");
    let refused = client.run::<_, i64>("sum", &sum).await.unwrap_err();
    assert_eq!((refused.code().unwrap().0, refused.retry()), (9003, Retry::Never));
    assert_eq!(refused.cloud_error().unwrap().status, 422);
    for name in ["", ".", ".."] {
        assert!(matches!(
            client.run::<_, ()>(name, &()).await,
            Err(ClientError::Invalid(_))
        ));
    }
    assert!(matches!(
        client.run::<_, ()>("sum", &[1, 2]).await,
        Err(ClientError::Invalid(_))
    ));

    let requests = received(&server).await;
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[0].url.path(), "/1.1/functions/sum");
    assert_eq!(body(&requests[0]), json!({ "a": 1, "b": 2 }));
    assert_eq!(header(&requests[0], "x-lc-session"), Some("token"));
    assert_eq!(requests[1].url.path(), "/1.1/call/best%2Fof%202");
    assert_eq!(body(&requests[1]), json!({}));
}

#[tokio::test]
async fn server_date_is_read() {
    let server = answering([
        answer(200, json!({ "iso": TIME, "__type": "Date" })),
        answer(200, json!({})),
    ])
    .await;
    let client = client(&server.uri());
    assert_eq!(client.date().await, Ok(Timestamp::parse(TIME).unwrap()));
    assert_eq!(client.date().await.unwrap_err().retry(), Retry::Never);
    assert_eq!(received(&server).await[0].url.path(), "/1.1/date");
}

#[tokio::test]
async fn request_that_cannot_be_sent_is_invalid() {
    let server = answering([created()]).await;
    let keyless = Client::builder(server.uri(), "app-id", APP_KEY).build().unwrap();
    assert!(matches!(keyless.as_master(), Err(ClientError::Invalid(_))));
    let class = class();
    let scan = keyless.objects(&class).scan(Filter::all()).next_page().await;
    assert!(matches!(scan, Err(ClientError::Invalid(_))), "{scan:?}");
    let names: Vec<Value> = (0..2000).map(|n| json!(format!("player {n}"))).collect();
    let long = WriteOptions::new().precondition(Filter::all().and_key("name", Test::In(names)));
    let outcome = keyless.objects(&class).delete(&id(), long).await;
    assert!(matches!(outcome, WriteOutcome::Rejected(_)), "{outcome:?}");
    let large = Update::new().set("text", "x".repeat(20 * 1024 * 1024));
    let outcome = keyless.objects(&class).create(&large, WriteOptions::new()).await;
    assert!(
        matches!(&outcome, WriteOutcome::Rejected(error) if error.code.0 == 413),
        "{outcome:?}"
    );
    assert!(received(&server).await.is_empty());
}
