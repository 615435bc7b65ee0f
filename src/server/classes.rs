//! The endpoints of classes: `/classes/<C>` and `/classes/<C>/<id>`, under their other names `/users` and `/roles` too.

use std::sync::Arc;

use super::context::Context;
use super::error::no_such_object;
use super::response::ApiResponse;
use super::router::{ApiRequest, Method};
use super::write_path::{self, Change, WriteRequest};
use super::{parameters, query};
use crate::environment::Environment;
use crate::model::{ClassName, CloudError, ErrorCode, ObjectId};

/// Objects that one request may delete by listing their ids. They are deleted in one commit, which others wait for.
const DELETED_MAX: usize = 10_000;

/// `GET` and `POST` on a class.
///
/// # Errors
/// Those of a query and of a write; 405.
pub(super) async fn class(
    context: &Arc<Context>,
    name: ClassName,
    call: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    match call.method {
        Method::Get => query::find(context, &name, &call.parameters).await,
        Method::Post => write_path::perform(context, create_request(name, call)).await,
        Method::Put | Method::Delete => Err(super::router::wrong_method(call.method)),
    }
}

/// `GET`, `PUT` and `DELETE` on an object; `DELETE` on several, by their ids joined with commas.
///
/// # Errors
/// Those of a read and of a write; 104; 405.
pub(super) async fn object(
    context: &Arc<Context>,
    name: ClassName,
    ids: &str,
    call: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    match call.method {
        Method::Get => query::get(context, &name, ids, &call.parameters).await,
        Method::Put | Method::Delete => {
            let request = change_request(name, ids, call)?;
            write_path::perform(context, request).await
        }
        Method::Post => Err(super::router::wrong_method(call.method)),
    }
}

/// `POST` on a class, as a write.
pub(super) fn create_request(class: ClassName, call: ApiRequest) -> WriteRequest {
    let mut parameters = call.parameters;
    // A new object has nothing that a condition could hold for; one SDK sends `where` all the same.
    parameters.shift_remove("where");
    WriteRequest {
        class,
        change: Change::Create,
        body: call.body,
        parameters,
    }
}

/// `PUT` or `DELETE` on an object, as a write.
///
/// # Errors
/// For what is no id: 1 at `PUT`, 104 at `DELETE`.
pub(super) fn change_request(
    class: ClassName,
    ids: &str,
    call: ApiRequest,
) -> Result<WriteRequest, CloudError> {
    let change = if call.method == Method::Delete {
        let ids: Vec<ObjectId> = ids
            .split(',')
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .map(ObjectId::parse)
            .collect::<Result<_, _>>()?;
        if ids.is_empty() || ids.len() > DELETED_MAX {
            return Err(CloudError::new(
                ErrorCode::MISSING_OBJECT_ID,
                format!("One to {DELETED_MAX} object ids are expected."),
            ));
        }
        Change::Delete(ids)
    } else {
        Change::Update(ObjectId::parse(ids).map_err(|_| no_such_object(&class, ids))?)
    };
    Ok(WriteRequest {
        class,
        change,
        body: call.body,
        parameters: call.parameters,
    })
}

/// `GET /date`.
pub(super) fn date(environment: &Environment) -> ApiResponse {
    ApiResponse::ok(environment.now().to_date())
}

/// `?session_token=`, or the header.
pub(super) fn session_token<'a>(context: &'a Context, call: &'a ApiRequest) -> Option<&'a str> {
    parameters::text(&call.parameters, "session_token").or_else(|| context.session_token())
}
