//! `POST /batch/save`: several saves in order. The Swift, Objective-C and Java SDKs send objects so, among them objects
//! that point to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::api_request::Method;
use super::batch::{BatchRequest, take_requests};
use super::classes;
use super::context::Context;
use super::dispatch::{self, BatchedRequest};
use super::error::no_such_object;
use super::response::ApiResponse;
use super::write_path::{Change, WriteRequest};
use crate::model::{ClassName, CloudError, Document, ErrorCode, ObjectId, Pointer};

/// The key of the client's name for an object: its id, or a name of the client's own until it has an id.
const NAME: &str = "__internalId";

/// The key of the columns that point to objects which the same request creates.
const CHILDREN: &str = "__children";

/// Saves objects in order; the response holds the outcome of each under its `__internalId`.
///
/// Several requests may be about one object: the first creates it, the later ones change it. The first failure ends the
/// request and is its response; what was saved before stays.
///
/// # Errors
/// 107; 1 for a child that no request has created; those of a write.
pub(super) async fn perform(context: &Arc<Context>, body: Document) -> Result<ApiResponse, CloudError> {
    let mut saved = Saved::default();
    for request in take_requests(body)? {
        let (name, request) = saved.prepare(BatchRequest::parse(request)?)?;
        let class = request.class.clone();
        let response = classes::perform(context, request).await?.into_success();
        saved.note(name, class, response);
    }
    Ok(ApiResponse::ok(saved.responses))
}

/// Results of the earlier requests.
#[derive(Default)]
struct Saved {
    /// Objects that this request has created, by the client's name for them.
    created: BTreeMap<String, Pointer>,
    responses: Map<String, Value>,
}

impl Saved {
    /// Turns a request into a write, and returns the client's name for its object.
    fn prepare(&self, mut element: BatchRequest) -> Result<(Option<String>, WriteRequest), CloudError> {
        let body = &mut element.request.body;
        let name = match body.shift_remove(NAME) {
            Some(Value::String(name)) => Some(name),
            None => None,
            Some(_) => return Err(malformed(&format!("'{NAME}' is text."))),
        };
        for (key, child) in self.children(body.shift_remove(CHILDREN))? {
            body.insert(key, child.to_value());
        }
        let known = name.as_deref().and_then(|name| self.created.get(name));
        // A name of the client's own is no id yet: a PUT on it changes the object that was created under it.
        let path = match (&name, element.path.rsplit_once('/')) {
            (Some(name), Some((class, last))) if last == name && known.is_some() => class,
            _ => element.path.as_str(),
        };
        let mut request = element.request;
        if known.is_some() || (element.is_new && request.method == Method::Put) {
            // A POST on the class is a creation; an object that is there already is changed below.
            request.method = Method::Post;
        }
        let BatchedRequest::Write(mut write) = dispatch::sort(path, request)? else {
            return Err(malformed("/batch/save takes POST and PUT on objects of classes."));
        };
        if matches!(write.change, Change::Delete(_)) {
            return Err(malformed("/batch/save deletes nothing; /batch does."));
        }
        if let Some(known) = known {
            if write.class != known.class_name {
                return Err(no_such_object(&write.class, known.object_id.as_str()));
            }
            write.change = Change::Update(known.object_id.clone());
        }
        Ok((name, write))
    }

    /// The columns of `__children` with the pointers to set.
    fn children(&self, children: Option<Value>) -> Result<Vec<(String, Pointer)>, CloudError> {
        let children = match children {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(children)) => children,
            Some(_) => return Err(malformed(&format!("'{CHILDREN}' is an array."))),
        };
        let mut columns = Vec::with_capacity(children.len());
        for child in &children {
            let text = |key: &str| child.get(key).and_then(Value::as_str);
            let (Some(class), Some(name), Some(key)) = (text("className"), text("cid"), text("key")) else {
                return Err(malformed(&format!(
                    "One of '{CHILDREN}' has 'className', 'cid' and 'key'."
                )));
            };
            let class_name = ClassName::parse(class)?;
            let target = match self.created.get(name) {
                Some(created) => created.clone(),
                None => Pointer {
                    class_name: class_name.clone(),
                    object_id: saved_before(name)?,
                },
            };
            if target.class_name != class_name {
                return Err(no_such_object(&class_name, target.object_id.as_str()));
            }
            columns.push((key.to_owned(), target));
        }
        Ok(columns)
    }

    /// Keeps the response for an object; of two, the later counts.
    fn note(&mut self, name: Option<String>, class_name: ClassName, response: Value) {
        let Value::Object(mut response) = response else {
            return;
        };
        let id = response.get("objectId").and_then(Value::as_str);
        let Some(object_id) = id.and_then(|id| ObjectId::parse(id).ok()) else {
            return;
        };
        let name = name.unwrap_or_else(|| object_id.to_string());
        if let Some(time) = response.get("createdAt").cloned() {
            // These SDKs do not copy it themselves.
            response.entry("updatedAt").or_insert(time);
            let created = Pointer {
                class_name,
                object_id,
            };
            self.created.entry(name.clone()).or_insert(created);
        }
        match self.responses.get_mut(&name) {
            Some(Value::Object(before)) => before.extend(response),
            _ => {
                self.responses.insert(name, Value::Object(response));
            }
        }
    }
}

/// Returns the id of an object that was saved before this request: its name is then its id.
fn saved_before(name: &str) -> Result<ObjectId, CloudError> {
    let is_id = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        return ObjectId::parse(name);
    }
    Err(CloudError::other(format!(
        "No request before this one creates an object with the {NAME} '{name}'."
    )))
}

fn malformed(text: &str) -> CloudError {
    CloudError::new(ErrorCode::INVALID_JSON, text)
}
