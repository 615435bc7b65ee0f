//! The client as the payment flow's store.

use std::time::Duration;

use paylog::client::Client;
use paylog::model::{ClassName, Filter, HookKind, Query, Update};
use paylog::store::{ReadError, Store, Write, WriteOutcome};
use serde_json::{Value, json};

use super::*;

fn hooks() -> Value {
    HookKind::ALL.map(HookKind::name).to_vec().into()
}

fn leg() -> Write {
    let precondition = Filter::all().ne("paylogs", "log-1").gte("account", 100);
    let update = Update::new()
        .increment("account", -100)
        .add_unique("paylogs", vec!["log-1".into()]);
    Write::update(&ClassName::user(), &id(), precondition, update)
}

#[tokio::test]
async fn leg_is_one_conditional_put_with_master_key_without_hooks() {
    let server = answering([answer(
        200,
        json!({ "objectId": ID, "updatedAt": TIME, "account": 0 }),
    )])
    .await;
    // A session of the handle has no business here.
    let store = client(&server.uri()).with_session("token");
    let WriteOutcome::Applied(written) = store.write(leg()).await else {
        panic!("not applied");
    };
    assert_eq!(written.fields.integer("account"), Some(0));
    let request = only(&server).await;
    assert_eq!(request.method.as_str(), "PUT");
    assert_eq!(request.url.path(), format!("/1.1/classes/_User/{ID}"));
    assert_eq!(header(&request, "x-lc-sign"), Some(SIGN_MASTER));
    assert_eq!(header(&request, "x-lc-session"), None);
    let condition = r#"{"paylogs":{"$ne":"log-1"},"account":{"$gte":100}}"#;
    assert_eq!(
        query(&request),
        [
            ("fetchWhenSave".to_owned(), "true".to_owned()),
            ("where".to_owned(), condition.to_owned())
        ]
    );
    assert_eq!(
        body(&request),
        json!({
            "account": { "__op": "Increment", "amount": -100 },
            "paylogs": { "__op": "AddUnique", "objects": ["log-1"] },
            "__ignore_hooks": hooks(),
        })
    );
}

#[tokio::test]
async fn create_delete_and_batch_skip_hooks() {
    let class = class();
    let server = answering([
        created(),
        answer(200, json!({})),
        answer(200, json!([{ "success": {} }, { "success": {} }])),
    ])
    .await;
    let store = client(&server.uri());
    let create = Write::create(&class, Update::new().set("key", "k"));
    let delete = Write::delete(&class, &id(), Filter::all().eq("state", 5));
    assert!(matches!(store.write(create).await, WriteOutcome::Applied(_)));
    assert!(matches!(
        store.write(delete.clone()).await,
        WriteOutcome::Applied(_)
    ));
    let outcomes = store.batch(vec![delete.clone(), delete]).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Applied(_))),
        "{outcomes:?}"
    );
    let requests = received(&server).await;
    assert_eq!(
        body(&requests[0]),
        json!({ "key": "k", "__ignore_hooks": hooks() })
    );
    assert_eq!(body(&requests[1]), json!({ "__ignore_hooks": hooks() }));
    assert_eq!(header(&requests[2], "x-lc-sign"), Some(SIGN_MASTER));
    for element in body(&requests[2])["requests"].as_array().unwrap() {
        assert_eq!(element["method"], "DELETE");
        assert_eq!(element["params"], json!({ "where": { "state": 5 } }));
        assert_eq!(element["body"], json!({ "__ignore_hooks": hooks() }));
    }
}

#[tokio::test]
async fn conditional_writes_are_sent_alone_if_batches_are_not_guarded() {
    let class = class();
    let server = answering([error(400, 305), updated(), created()]).await;
    let store = builder(&server.uri()).guarded_batches(false).build().unwrap();
    let conditional = Write::update(
        &class,
        &id(),
        Filter::all().eq("state", 1),
        Update::new().set("state", 2),
    );
    let plain = Write::create(&class, Update::new());
    let outcomes = store
        .batch(vec![conditional.clone(), conditional, plain.clone()])
        .await;
    assert_eq!(outcomes[0], WriteOutcome::NotMatched);
    assert!(matches!(outcomes[1], WriteOutcome::Applied(_)));
    assert!(matches!(outcomes[2], WriteOutcome::Applied(_)));
    let paths: Vec<_> = received(&server)
        .await
        .iter()
        .map(|request| request.url.path().to_owned())
        .collect();
    let one = format!("/1.1/classes/GameScore/{ID}");
    assert_eq!(paths, [one.clone(), one, "/1.1/classes/GameScore".to_owned()]);
    // Without a condition there is nothing to keep out.
    let _ = store.batch(vec![plain.clone(), plain]).await;
    assert_eq!(received(&server).await.pop().unwrap().url.path(), "/1.1/batch");
}

#[tokio::test]
async fn leg_is_never_sent_twice() {
    let replies = [
        error(500, 1),
        error(400, 124),
        error(429, 429),
        ResponseTemplate::new(504),
        updated().set_delay(Duration::from_secs(30)),
    ];
    for reply in replies {
        let server = answering([reply, updated()]).await;
        let store = builder(&server.uri())
            .timeout(Duration::from_millis(200))
            .retry_policy(quick().with_guarded_writes())
            .build()
            .unwrap();
        let outcome = store.write(leg()).await;
        assert!(
            matches!(outcome, WriteOutcome::Unknown(_) | WriteOutcome::Rejected(_)),
            "{outcome:?}"
        );
        assert_eq!(received(&server).await.len(), 1);
        let _ = store.batch(vec![leg(), leg()]).await;
        assert_eq!(received(&server).await.len(), 2);
    }
}

#[tokio::test]
async fn absent_document_is_not_matched() {
    let text = format!("Could not find object by id '{ID}' for class '_User'.");
    let absent = json!({ "code": 1, "error": text });
    for reply in [answer(400, absent.clone()), error(404, 101), error(400, 305)] {
        let server = answering([reply]).await;
        assert_eq!(client(&server.uri()).write(leg()).await, WriteOutcome::NotMatched);
    }
    let elements = json!([{ "error": absent }, { "error": { "code": 101, "error": "" } }]);
    let server = answering([answer(200, elements)]).await;
    let outcomes = client(&server.uri()).batch(vec![leg(), leg()]).await;
    assert_eq!(outcomes, [WriteOutcome::NotMatched, WriteOutcome::NotMatched]);
    // Another error under code 1, and 101 for a create, remain what they are.
    let server = answering([error(400, 1), error(404, 101)]).await;
    let store = client(&server.uri());
    for write in [leg(), Write::create(&class(), Update::new())] {
        let outcome = store.write(write).await;
        assert!(matches!(outcome, WriteOutcome::Rejected(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn read_uses_master_key_and_absent_class_is_empty() {
    let class = class();
    let row = json!({ "objectId": ID, "state": 3 });
    let server = answering([
        answer(200, row.clone()),
        answer(200, json!({ "results": [row] })),
        answer(200, json!({ "results": [], "count": 12 })),
        error(404, 101),
    ])
    .await;
    let store = client(&server.uri()).with_session("token");
    let open = Filter::all().lt("state", 5);
    let query = Query::new(open.clone());
    assert_eq!(
        Store::get(&store, &class, &id())
            .await
            .unwrap()
            .unwrap()
            .integer("state"),
        Some(3)
    );
    assert_eq!(store.find(&class, &query).await.unwrap().len(), 1);
    assert_eq!(Store::count(&store, &class, &open).await, Ok(12));
    assert_eq!(Store::get(&store, &class, &id()).await, Ok(None));
    assert_eq!(store.find(&class, &query).await, Ok(Vec::new()));
    assert_eq!(Store::count(&store, &class, &open).await, Ok(0));
    for request in received(&server).await {
        assert_eq!(header(&request, "x-lc-sign"), Some(SIGN_MASTER));
        assert_eq!(header(&request, "x-lc-session"), None);
    }
}

#[tokio::test]
async fn failed_read_is_rejected_or_unavailable() {
    let class = class();
    for (reply, code) in [
        (error(403, 403), Some(403)),
        (error(401, 401), Some(401)),
        (error(429, 429), None),
        (error(503, 503), None),
        (error(400, 124), None),
        (ResponseTemplate::new(200).set_body_string("<html>"), None),
    ] {
        let server = answering([reply]).await;
        let failed = Store::get(&client(&server.uri()), &class, &id())
            .await
            .unwrap_err();
        match (failed, code) {
            (ReadError::Rejected(error), Some(code)) => assert_eq!(error.code.0, code),
            (ReadError::Unavailable(_), None) => {}
            (failed, code) => panic!("{failed:?} instead of {code:?}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_without_master_key() {
    let server = answering([updated()]).await;
    let store = Client::builder(server.uri(), "app-id", APP_KEY).build().unwrap();
    let outcome = store.write(leg()).await;
    assert!(
        matches!(&outcome, WriteOutcome::Rejected(error) if error.code.0 == 401),
        "{outcome:?}"
    );
    let outcomes = store.batch(vec![leg(), leg()]).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Rejected(_))),
        "{outcomes:?}"
    );
    assert!(matches!(
        store.find(&class(), &Query::default()).await,
        Err(ReadError::Rejected(_))
    ));
    assert!(received(&server).await.is_empty());
}
