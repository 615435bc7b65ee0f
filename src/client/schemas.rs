//! What classes an app has.

use std::collections::BTreeMap;

use http::Method;

use crate::client::request::Request;
use crate::client::{Client, ClientError, Idempotent, Retry};
use crate::model::{ClassName, Document, Value};

impl Client {
    /// Every class with its columns, as `{"type": …, "className": …}` by name. Needs the master key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn schemas(&self) -> Result<BTreeMap<String, Document>, ClientError> {
        let request = Request::get("/1.1/schemas").with_master(true);
        self.send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(classes) => classes
                    .into_iter()
                    .map(|(name, columns)| match columns {
                        Value::Object(columns) => Ok((name, Document(columns))),
                        _ => Err(format!("the columns of '{name}' are no object")),
                    })
                    .collect(),
                _ => Err("the answer is no object".to_owned()),
            })
    }

    /// All of a class: columns with their attributes, permissions, indexes, the ACL of new objects. A paylog server
    /// answers it, and LeanCloud has nothing of the kind: `None`. Needs the master key.
    ///
    /// # Errors
    /// [`ClientError`] that may pass.
    pub async fn class_definition(&self, class: &ClassName) -> Result<Option<Document>, ClientError> {
        let path = format!("/1.1/schemas/{class}/definition");
        let request = Request::get(path).with_master(true);
        let answered = self
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(definition) => Ok(Document(definition)),
                _ => Err("the answer is no object".to_owned()),
            });
        match answered {
            Ok(definition) => Ok(definition.contains_key("permissions").then_some(definition)),
            Err(error) if error.retry() == Retry::Never => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a class, as a paylog server lets it be made. Where the server has nothing of the kind, as LeanCloud, and
    /// where the class is there already, nothing happens. Needs the master key.
    ///
    /// # Errors
    /// [`ClientError`] that may pass.
    pub async fn define_class(&self, class: &ClassName, definition: Document) -> Result<(), ClientError> {
        let path = format!("/1.1/schemas/{class}");
        let mut request = Request::new(Method::POST, path, Idempotent::Yes).with_body(definition);
        request.master = true;
        match self.send(&request).await.read(Idempotent::Yes, |_| Ok(())) {
            Err(error) if error.retry() != Retry::Never => Err(error),
            _ => Ok(()),
        }
    }
}
