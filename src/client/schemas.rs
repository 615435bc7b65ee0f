//! The classes of an app, and their definitions.

use std::collections::BTreeMap;

use http::Method;

use crate::client::request::ApiRequest;
use crate::client::{Client, ClientError, Idempotent, Retry};
use crate::model::{ClassName, Document, Value};

impl Client {
    /// Reads every class with its columns, as `{"type": …, "className": …}` by name. Needs the master key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn schemas(&self) -> Result<BTreeMap<String, Document>, ClientError> {
        let request = ApiRequest::get("/1.1/schemas").with_master(true);
        self.send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(classes) => classes
                    .into_iter()
                    .map(|(name, columns)| match columns {
                        Value::Object(columns) => Ok((name, Document(columns))),
                        _ => Err(format!("the columns of '{name}' are not an object")),
                    })
                    .collect(),
                _ => Err("the answer is not an object".to_owned()),
            })
    }

    /// Reads the definition of a class: columns with their attributes, permissions, indexes, the ACL of new objects.
    /// Only a paylog server has it; on LeanCloud the result is `None`. Needs the master key.
    ///
    /// # Errors
    /// A transient [`ClientError`]; any other is `None`.
    pub async fn class_definition(&self, class: &ClassName) -> Result<Option<Document>, ClientError> {
        let path = format!("/1.1/schemas/{class}/definition");
        let request = ApiRequest::get(path).with_master(true);
        let definition = self
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(definition) => Ok(Document(definition)),
                _ => Err("the answer is not an object".to_owned()),
            });
        match definition {
            Ok(definition) => Ok(definition.contains_key("permissions").then_some(definition)),
            Err(error) if error.retry() == Retry::Never => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a class on a paylog server. Does nothing if the class exists, or if the server cannot create classes, like
    /// LeanCloud. Needs the master key.
    ///
    /// # Errors
    /// A transient [`ClientError`]; any other is ignored.
    pub async fn define_class(&self, class: &ClassName, definition: Document) -> Result<(), ClientError> {
        let path = format!("/1.1/schemas/{class}");
        let mut request = ApiRequest::new(Method::POST, path, Idempotent::Yes).with_body(definition);
        request.master = true;
        match self.send(&request).await.read(Idempotent::Yes, |_| Ok(())) {
            Err(error) if error.retry() != Retry::Never => Err(error),
            _ => Ok(()),
        }
    }
}
