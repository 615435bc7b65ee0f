//! Batches: several requests in one round trip.

use http::Method;

use crate::client::outcome::one_object;
use crate::client::request::{ApiRequest, document};
use crate::client::response::{BatchElement, batch_element};
use crate::client::write_request::{write_element, write_request};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{ClassName, CloudError, Document, HookKind, ObjectId, Value};
use crate::store::{Write, WriteOutcome};

/// Elements of one batch: LeanCloud's recommendation. More elements are sent in several batches.
const BATCH_LENGTH_MAX: usize = 100;

/// An object that was read in a batch, or the server's error for it.
type ReadElement = Result<Option<Document>, CloudError>;

impl Client {
    /// Performs writes in order, each on its own: one may fail while a later one takes effect. Returns one outcome for
    /// each write. More than 100 writes are sent as several batches, one after the other, whatever the outcome of the
    /// batches before.
    ///
    /// **Atomicity**: one object. **Idempotency**: none; a batch is never sent again once it may have been sent.
    ///
    /// LeanCloud documents conditional writes for single requests only; see
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

    /// Reads several objects, of any classes, in one round trip; `None` for an absent object. Repeated by the policy.
    ///
    /// # Errors
    /// [`ClientError`] if the batch as a whole fails. Each element is the server's error for that object (101: no such
    /// class).
    pub async fn get_all(&self, objects: &[(ClassName, ObjectId)]) -> Result<Vec<ReadElement>, ClientError> {
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

/// Decodes one object of a batch; `{"success": null}` is an absent object.
fn read_element(id: &ObjectId, element: Value) -> Result<ReadElement, String> {
    Ok(match batch_element(element) {
        BatchElement::Success(Value::Null) => Ok(None),
        BatchElement::Success(body) => Ok(one_object(body, Some(id))?),
        BatchElement::Error(error) => Err(error),
        BatchElement::Malformed(reason) => return Err(reason),
    })
}

/// The batch request of `elements`.
pub(super) fn batch(elements: Vec<Value>, idempotent: Idempotent) -> ApiRequest {
    let body = document([("requests", Value::Array(elements))]);
    ApiRequest::new(Method::POST, "/1.1/batch", idempotent).with_body(body)
}
