//! Retries: requests that are sent again, and requests that never are.

use std::time::Duration;

use paylog::client::{ClientError, Idempotent, ReadOptions, Retry, WriteOptions};
use paylog::environment::Environment;
use paylog::model::{Filter, HookKind, Timestamp, Update};
use paylog::store::{Store, Write, WriteOutcome};
use serde_json::json;

use super::*;

const BROKEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"obj";

fn slow() -> ResponseTemplate {
    updated().set_delay(Duration::from_secs(30))
}

fn increment() -> Update {
    Update::new().increment("account", 100)
}

#[tokio::test]
async fn read_is_repeated_until_success() {
    let server = answering([
        error(500, 1),
        error(400, 124),
        answer(200, json!({ "objectId": ID })),
    ])
    .await;
    let found = client(&server.uri())
        .objects(&class())
        .get(&id(), &ReadOptions::default())
        .await;
    assert!(found.unwrap().is_some());
    assert_eq!(received(&server).await.len(), 3);
}

#[tokio::test]
async fn unguarded_increment_is_sent_once_whatever_is_declared() {
    for declared in [Idempotent::No, Idempotent::Guarded, Idempotent::Yes] {
        let options = WriteOptions::new().idempotent(declared);
        for reply in [error(500, 1), error(400, 303), slow(), ResponseTemplate::new(502)] {
            let server = answering([reply, updated()]).await;
            let client = builder(&server.uri())
                .timeout(Duration::from_millis(200))
                .retry_policy(quick().with_guarded_writes())
                .build()
                .unwrap();
            let outcome = client
                .objects(&class())
                .update(&id(), &increment(), options.clone())
                .await;
            assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
            assert_eq!(received(&server).await.len(), 1);
        }
        for before in ["", BROKEN] {
            let server = DroppingServer::start(before).await;
            let client = builder(&server.url)
                .retry_policy(quick().with_guarded_writes())
                .build()
                .unwrap();
            let outcome = client
                .objects(&class())
                .update(&id(), &increment(), options.clone())
                .await;
            assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
            assert_eq!(server.requests(), 1);
        }
    }
}

#[tokio::test]
async fn create_batch_and_function_are_sent_once() {
    let server = DroppingServer::start("").await;
    let client = builder(&server.url)
        .retry_policy(quick().with_guarded_writes())
        .build()
        .unwrap();
    let class = class();
    let declared = WriteOptions::new().idempotent(Idempotent::Yes);
    let outcome = client.objects(&class).create(&Update::new(), declared).await;
    assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
    assert_eq!(server.requests(), 1);
    let writes = vec![Write::update(&class, &id(), Filter::all().eq("v", 1), increment()); 2];
    let outcomes = client.write_all(&writes, &HookKind::ALL).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Unknown(_))),
        "{outcomes:?}"
    );
    assert_eq!(server.requests(), 2);
    let error = client
        .run::<_, i64>("transfer", &json!({ "amount": 1 }))
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Retry::AfterRead);
    assert_eq!(server.requests(), 3);
    let error = client
        .run_idempotent::<_, i64>("transfer", &json!({ "key": "k" }))
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Retry::SameRequest);
    assert_eq!(server.requests(), 6);
    let error = client
        .sign_up("tester", "secret", paylog::model::Document::new())
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Retry::AfterRead);
    assert_eq!(server.requests(), 7);
}

#[tokio::test]
async fn read_is_repeated_after_lost_connection() {
    let server = DroppingServer::start("").await;
    let error = client(&server.url)
        .objects(&class())
        .get(&id(), &ReadOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::SameRequest);
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn guarded_write_is_repeated_only_if_the_policy_allows() {
    let guarded = WriteOptions::new()
        .precondition(Filter::all().eq("version", 7))
        .idempotent(Idempotent::Guarded);
    for (asked, requests) in [(false, 1), (true, 2)] {
        let policy = if asked {
            quick().with_guarded_writes()
        } else {
            quick()
        };
        let server = answering([error(500, 1), updated()]).await;
        let client = builder(&server.uri()).retry_policy(policy).build().unwrap();
        let outcome = client
            .objects(&class())
            .update(&id(), &increment(), guarded.clone())
            .await;
        assert_eq!(matches!(outcome, WriteOutcome::Applied(_)), asked, "{outcome:?}");
        assert_eq!(received(&server).await.len(), requests);
    }
}

/// After an attempt that may have taken effect, only a success of the repetition is certain.
#[tokio::test]
async fn refused_repetition_leaves_the_outcome_unknown() {
    let guarded = WriteOptions::new()
        .precondition(Filter::all().eq("version", 7))
        .idempotent(Idempotent::Guarded);
    for second in [error(400, 305), error(403, 403), error(400, 1)] {
        let server = answering([error(500, 1), second]).await;
        let client = builder(&server.uri())
            .retry_policy(quick().with_guarded_writes())
            .build()
            .unwrap();
        let outcome = client
            .objects(&class())
            .update(&id(), &increment(), guarded.clone())
            .await;
        assert!(matches!(outcome, WriteOutcome::Unknown(_)), "{outcome:?}");
        assert_eq!(received(&server).await.len(), 2);
    }
    // Nothing had happened before: 429 comes before anything is done.
    let server = answering([error(429, 429), error(400, 305)]).await;
    let client = builder(&server.uri())
        .retry_policy(quick().with_guarded_writes())
        .build()
        .unwrap();
    let outcome = client
        .objects(&class())
        .update(&id(), &increment(), guarded)
        .await;
    assert_eq!(outcome, WriteOutcome::NotMatched);
}

#[tokio::test]
async fn refused_connection_gives_rejected_not_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client(&url);
    let class = class();
    let outcome = client
        .objects(&class)
        .update(&id(), &increment(), WriteOptions::new())
        .await;
    assert!(
        matches!(&outcome, WriteOutcome::Rejected(error) if error.code.0 == 503),
        "{outcome:?}"
    );
    let error = client.run::<_, i64>("transfer", &()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotSent(_)), "{error:?}");
    assert_eq!(error.retry(), Retry::SameRequest);
}

/// A transport that refuses the connection a number of times and then succeeds.
#[derive(Debug)]
struct Refusing {
    left: AtomicUsize,
    attempts: AtomicUsize,
}

#[async_trait::async_trait]
impl paylog::client::Transport for Refusing {
    async fn send(
        &self,
        request: paylog::client::HttpRequest,
    ) -> Result<paylog::client::HttpResponse, paylog::client::TransportError> {
        assert!(!format!("{request:?}").contains("d5bcbb89"), "{request:?}");
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let refused = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_ok() {
            return Err(paylog::client::TransportError::NeverSent(
                "connection refused".to_owned(),
            ));
        }
        Ok(paylog::client::HttpResponse {
            status: 200,
            headers: Default::default(),
            body: json!({ "objectId": ID, "updatedAt": TIME }).to_string().into(),
        })
    }
}

#[tokio::test]
async fn write_that_was_never_sent_is_sent_again() {
    for (refusals, attempts, applied) in [(2, 3, true), (3, 3, false)] {
        let transport = Arc::new(Refusing {
            left: AtomicUsize::new(refusals),
            attempts: AtomicUsize::new(0),
        });
        let client = builder("http://127.0.0.1:1")
            .transport(transport.clone())
            .build()
            .unwrap();
        let outcome = client
            .write(Write::update(&class(), &id(), Filter::all(), increment()))
            .await;
        assert_eq!(
            matches!(outcome, WriteOutcome::Applied(_)),
            applied,
            "{outcome:?}"
        );
        assert_eq!(transport.attempts.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn retry_after_is_honoured_within_bounds() {
    let seconds = error(429, 429).insert_header("retry-after", "3600");
    let date = error(503, 503).insert_header("retry-after", "Sun, 17 Jan 2016 08:15:43 GMT");
    for reply in [seconds, date] {
        // An hour and a minute are more than the policy waits in all: no second attempt.
        let server = answering([reply, answer(200, json!({}))]).await;
        let found = client(&server.uri())
            .objects(&class())
            .get(&id(), &ReadOptions::default())
            .await;
        assert!(found.is_err());
        assert_eq!(received(&server).await.len(), 1);
    }
    // A moment that has passed.
    let server = answering([
        error(429, 429).insert_header("retry-after", "Sun, 17 Jan 2016 07:00:00 GMT"),
        error(429, 429).insert_header("retry-after", "0"),
        answer(200, json!({})),
    ])
    .await;
    let found = client(&server.uri())
        .objects(&class())
        .get(&id(), &ReadOptions::default())
        .await;
    assert_eq!(found, Ok(None));
    assert_eq!(received(&server).await.len(), 3);
}

/// A lost page cannot be requested again: the same cursor returns the page after it.
#[tokio::test]
async fn scan_fails_after_a_lost_page() {
    let page = |cursor: &str| answer(200, json!({ "results": [{ "objectId": ID }], "cursor": cursor }));
    let server = answering([error(500, 1), page("c"), error(500, 1), page("c")]).await;
    let (client, class) = (client(&server.uri()), class());
    let mut scan = client.objects(&class).scan(Filter::all());
    assert_eq!(scan.next_page().await.unwrap().unwrap().len(), 1);
    assert_eq!(scan.next_page().await.unwrap_err().retry(), Retry::AfterRead);
    assert!(matches!(scan.next_page().await, Err(ClientError::Invalid(_))));
    assert_eq!(received(&server).await.len(), 3);
}

#[tokio::test]
async fn retries_end_at_elapsed_max() {
    let (environment, clock) = Environment::seeded(7, Timestamp::from_millis(NOW));
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(move |_: &Request| {
            clock.advance(15_000);
            error(500, 1)
        })
        .mount(&server)
        .await;
    let client = builder(&server.uri()).environment(environment).build().unwrap();
    assert!(
        client
            .objects(&class())
            .get(&id(), &ReadOptions::default())
            .await
            .is_err()
    );
    // 15 s after the first attempt there is time left of 20 s, after the second there is none.
    assert_eq!(received(&server).await.len(), 2);
}
