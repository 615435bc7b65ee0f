//! Several requests in one round trip.

use http::Method;

use crate::client::answer::{element, one_object};
use crate::client::objects::{write_element, write_request};
use crate::client::request::{Request, document};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{ClassName, CloudError, Document, HookKind, ObjectId, Value};
use crate::store::{Write, WriteOutcome};

/// Elements of one batch: LeanCloud's recommendation. More are sent in several.
const BATCH_LENGTH_MAX: usize = 100;

impl Client {
    /// Performs writes in order, each on its own: any may fail while a later one takes effect. As many outcomes as
    /// writes. More than 100 are sent as several batches, one after the other, whatever became of those before.
    ///
    /// **Atomicity**: each object's. **Idempotency**: none; a batch is never sent again once it may have been sent.
    ///
    /// LeanCloud documents conditional writes outside of batches only; see
    /// [`ClientBuilder::guarded_batches`](crate::client::ClientBuilder::guarded_batches). A single write is sent as
    /// a request of its own.
    ///
    /// ```no_run
    /// # use paylog::{client::Client, model::{ClassName, Update}, store::Write};
    /// # async fn example(client: Client, todo: ClassName) {
    /// let writes = ["bread", "milk"].map(|title| Write::create(&todo, Update::new().set("title", title)));
    /// let outcomes = client.write_all(&writes, &[]).await;
    /// assert_eq!(outcomes.len(), 2);
    /// # }
    /// ```
    pub async fn write_all(&self, writes: &[Write], ignored_hooks: &[HookKind]) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for part in writes.chunks(BATCH_LENGTH_MAX) {
            if let [write] = part {
                let request = write_request(write, ignored_hooks, Idempotent::No);
                outcomes.push(self.send(&request).await.written(&write.action));
                continue;
            }
            let elements = part.iter().map(|write| write_element(write, ignored_hooks));
            let request = batch(elements.collect(), Idempotent::No);
            let actions = part.iter().map(|write| &write.action);
            outcomes.extend(self.send(&request).await.written_batch(actions));
        }
        outcomes
    }

    /// Reads several objects, of any classes, in one round trip; `None` for those that do not exist. Repeated as the
    /// policy says.
    ///
    /// # Errors
    /// [`ClientError`] where the batch as a whole fails. Inside: what the server answered for one object (101: no such
    /// class).
    pub async fn get_all(
        &self,
        objects: &[(ClassName, ObjectId)],
    ) -> Result<Vec<Result<Option<Document>, CloudError>>, ClientError> {
        let mut results = Vec::with_capacity(objects.len());
        for part in objects.chunks(BATCH_LENGTH_MAX) {
            let elements = part.iter().map(|(class, id)| {
                let path = format!("/1.1/classes/{class}/{id}");
                document([("method", Value::from("GET")), ("path", Value::from(path))]).into_value()
            });
            let request = batch(elements.collect(), Idempotent::Yes);
            let read = self
                .send(&request)
                .await
                .read(Idempotent::Yes, |body| match body {
                    Value::Array(answers) if answers.len() == part.len() => part
                        .iter()
                        .zip(answers)
                        .map(|((_, id), answer)| read_element(id, answer))
                        .collect(),
                    _ => Err("the answer does not hold one element for each object".to_owned()),
                });
            let read: Vec<_> = read?;
            results.extend(read);
        }
        Ok(results)
    }
}

/// `{"success": null}` is an absent object.
fn read_element(id: &ObjectId, answer: Value) -> Result<Result<Option<Document>, CloudError>, String> {
    Ok(match element(answer)? {
        Ok(Value::Null) => Ok(None),
        Ok(body) => Ok(one_object(body, Some(id))?),
        Err(error) => Err(error),
    })
}

/// The request that carries `elements`.
pub(super) fn batch(elements: Vec<Value>, idempotent: Idempotent) -> Request {
    let body = document([("requests", Value::Array(elements))]);
    Request::new(Method::POST, "/1.1/batch", idempotent).with_body(body)
}
