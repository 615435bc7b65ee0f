//! Encoding of a write as a REST request, and as an element of a batch.

use http::Method;

use crate::client::Idempotent;
use crate::client::request::{ApiRequest, document};
use crate::model::{Document, Filter, HookKind, Value};
use crate::store::{Action, Write};

/// True if the filter matches everything.
pub(super) fn is_unconditional(precondition: &Filter) -> bool {
    matches!(precondition, Filter::And(parts) if parts.is_empty())
}

/// Encodes a write as a request of its own.
pub(super) fn write_request(write: &Write, ignored_hooks: &[HookKind], idempotent: Idempotent) -> ApiRequest {
    let (method, path) = target(write);
    let mut request = ApiRequest::new(method, path, idempotent).with_body(body(write, ignored_hooks));
    let (precondition, fetch) = condition(&write.action);
    if fetch {
        request.query.push(("fetchWhenSave", "true".to_owned()));
    }
    if let Some(precondition) = precondition {
        request.query.push(("where", precondition.to_value().to_string()));
    }
    request
}

/// Encodes a write as an element of a batch: `where` and `fetchWhenSave` are JSON in `params`, not text in a URL.
pub(super) fn write_element(write: &Write, ignored_hooks: &[HookKind]) -> Value {
    let (method, path) = target(write);
    let mut element = document([
        ("method", Value::from(method.as_str())),
        ("path", Value::from(path)),
        ("body", body(write, ignored_hooks).into_value()),
    ]);
    let (precondition, fetch) = condition(&write.action);
    let mut parameters = Document::new();
    if fetch {
        parameters.insert("fetchWhenSave".to_owned(), Value::Bool(true));
    }
    if let Some(precondition) = precondition {
        parameters.insert("where".to_owned(), precondition.to_value());
    }
    if !parameters.is_empty() {
        element.insert("params".to_owned(), parameters.into_value());
    }
    element.into_value()
}

fn target(write: &Write) -> (Method, String) {
    let class = &write.class;
    match &write.action {
        Action::Create { .. } => (Method::POST, format!("/1.1/classes/{class}")),
        Action::Update { id, .. } => (Method::PUT, format!("/1.1/classes/{class}/{id}")),
        Action::Delete { id, .. } => (Method::DELETE, format!("/1.1/classes/{class}/{id}")),
    }
}

fn body(write: &Write, ignored_hooks: &[HookKind]) -> Document {
    let mut body = match &write.action {
        Action::Create { fields: update } | Action::Update { update, .. } => match update.to_value() {
            Value::Object(fields) => Document(fields),
            _ => Document::new(),
        },
        Action::Delete { .. } => Document::new(),
    };
    if !ignored_hooks.is_empty() {
        let names = ignored_hooks
            .iter()
            .map(|hook| Value::from(hook.name()))
            .collect();
        body.insert("__ignore_hooks".to_owned(), Value::Array(names));
    }
    body
}

/// The condition, if there is one, and `true` if the response should contain the changed fields.
fn condition(action: &Action) -> (Option<&Filter>, bool) {
    match action {
        Action::Create { .. } => (None, false),
        Action::Update {
            precondition, fetch, ..
        } => (
            Some(precondition).filter(|precondition| !is_unconditional(precondition)),
            *fetch,
        ),
        Action::Delete { precondition, .. } => (
            Some(precondition).filter(|precondition| !is_unconditional(precondition)),
            false,
        ),
    }
}
