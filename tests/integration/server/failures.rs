//! Responses when the database fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use paylog::model::{
    ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Pointer, Principal, Query, Schema,
    SchemaChange,
};
use paylog::store::{Database, Found, ReadError, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;

use super::support::{As, start_over};

/// A database that works, or fails in one of three ways.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn Database>,
    mode: Arc<AtomicU8>,
}

const WORKS: u8 = 0;
const DISK_FULL: u8 = 1;
const UNKNOWN: u8 = 2;
const UNREADABLE: u8 = 3;

impl Failing {
    fn mode(&self) -> u8 {
        self.mode.load(Ordering::SeqCst)
    }

    fn readable(&self) -> Result<(), ReadError> {
        match self.mode() {
            UNREADABLE => Err(ReadError::Unavailable("secret detail".into())),
            _ => Ok(()),
        }
    }

    fn failure(&self) -> Option<WriteOutcome> {
        match self.mode() {
            DISK_FULL => Some(WriteOutcome::Rejected(CloudError::new(
                ErrorCode::UNAVAILABLE,
                "The disk is full.",
            ))),
            UNKNOWN => Some(WriteOutcome::Unknown("secret detail".into())),
            _ => None,
        }
    }
}

impl StoreWrapper for Failing {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.readable()?;
        self.inner.get(class, id).await
    }
    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.readable()?;
        self.inner.find(class, query).await
    }
    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.readable()?;
        self.inner.count(class, filter).await
    }
    async fn write(&self, write: Write) -> WriteOutcome {
        match self.failure() {
            Some(outcome) => outcome,
            None => self.inner.write(write).await,
        }
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

#[async_trait]
impl Database for Failing {
    fn schema(&self) -> Arc<Schema> {
        self.inner.schema()
    }
    async fn define(&self, change: SchemaChange) -> Result<Arc<Schema>, CloudError> {
        self.inner.define(change).await
    }
    async fn get_as(
        &self,
        class: &ClassName,
        id: &ObjectId,
        principal: &Principal,
    ) -> Result<Option<Document>, ReadError> {
        self.readable()?;
        self.inner.get_as(class, id, principal).await
    }
    async fn find_as(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError> {
        self.readable()?;
        self.inner.find_as(class, query, principal).await
    }
    async fn write_as(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
        match self.failure() {
            Some(outcome) => writes.iter().map(|_| outcome.clone()).collect(),
            None => self.inner.write_as(writes, principal).await,
        }
    }
    async fn related(&self, owner: &Pointer, key: &str) -> Result<Vec<Pointer>, ReadError> {
        self.inner.related(owner, key).await
    }
    async fn owners(
        &self,
        class: &ClassName,
        key: &str,
        targets: &[Pointer],
    ) -> Result<Vec<ObjectId>, ReadError> {
        self.inner.owners(class, key, targets).await
    }
}

#[tokio::test]
async fn database_failure_is_answered_without_details() {
    let mode = Arc::new(AtomicU8::new(WORKS));
    let wrapped = Arc::clone(&mode);
    let wrap = move |inner| Arc::new(Failing { inner, mode: wrapped }) as Arc<dyn Database>;
    let server = start_over(wrap, None, |_| {}).await;
    let client = As::client();
    let id = server.create(&client, "Post", json!({"n": 1})).await;
    let path = format!("/classes/Post/{id}");
    let batch = json!({"requests": [
        {"method": "PUT", "path": format!("/1.1{path}"), "body": {"n": 2}},
        {"method": "GET", "path": format!("/1.1{path}")},
    ]});

    mode.store(DISK_FULL, Ordering::SeqCst);
    let user = json!({"username": "tom", "password": "p"});
    assert_eq!(
        server.put(&client, &path, json!({"n": 2})).await.error(),
        (503, 503)
    );
    assert_eq!(server.post(&client, "/users", user).await.error(), (503, 503));
    assert_eq!(server.delete(&client, &path).await.error(), (503, 503));
    assert_eq!(server.get(&client, &path, &[]).await.body["n"], 1, "reads go on");
    let answers = server.post(&client, "/batch", batch.clone()).await.body;
    assert_eq!(
        (&answers[0]["error"]["code"], &answers[1]["success"]["n"]),
        (&json!(503), &json!(1))
    );

    // A code that says, in a batch too, that nobody knows.
    mode.store(UNKNOWN, Ordering::SeqCst);
    let unknown = server.put(&client, &path, json!({"n": 2})).await;
    assert_eq!(unknown.error(), (500, 304));
    assert!(ErrorCode(304).leaves_outcome_unknown());
    assert!(!unknown.body.to_string().contains("secret"), "{unknown:?}");
    let answers = server.post(&client, "/batch", batch).await.body;
    assert_eq!(answers[0]["error"]["code"], 304);

    mode.store(UNREADABLE, Ordering::SeqCst);
    for path in [
        path.as_str(),
        "/classes/Post",
        "/users/me?session_token=nobodystokennobodystokenno",
    ] {
        let refused = server.get(&client, path, &[]).await;
        assert_eq!(refused.error(), (503, 503), "{path}");
        assert!(!refused.body.to_string().contains("secret"), "{refused:?}");
    }
    mode.store(WORKS, Ordering::SeqCst);
    assert_eq!(server.put(&client, &path, json!({"n": 2})).await.status, 200);
}
