//! The endpoints of classes, `/classes/<C>` and `/classes/<C>/<id>`, also under their other names `/users` and `/roles`.

use std::sync::Arc;

use super::api_request::{ApiRequest, Method};
use super::context::Context;
use super::error::no_such_object;
use super::response::ApiResponse;
use super::write_path::{self, Change, WriteRequest};
use super::{auth_login, parameters, query};
use crate::environment::Environment;
use crate::model::{ClassName, CloudError, ErrorCode, ObjectId};

/// Objects that one request may delete by listing their ids. One commit deletes them, and other writes wait for it.
const DELETED_MAX: usize = 10_000;

/// `GET` and `POST` on a class.
///
/// # Errors
/// Those of a query and of a write; 405.
pub(super) async fn class(
    context: &Arc<Context>,
    name: ClassName,
    request: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    match request.method {
        Method::Get => query::find(context, &name, &request.parameters).await,
        Method::Post => perform(context, create_request(name, request)).await,
        Method::Put | Method::Delete => Err(request.method.not_allowed()),
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
    request: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    match request.method {
        Method::Get => query::get(context, &name, ids, &request.parameters).await,
        Method::Put | Method::Delete => perform(context, change_request(name, ids, request)?).await,
        Method::Post => Err(request.method.not_allowed()),
    }
}

/// Performs a write of a client. A new user with `authData` is a login.
///
/// # Errors
/// Those of a write, or of a login.
pub(super) async fn perform(context: &Arc<Context>, write: WriteRequest) -> Result<ApiResponse, CloudError> {
    if auth_login::is_login(&write) {
        return auth_login::log_in(context, write).await;
    }
    write_path::perform(context, write).await
}

/// The write of a `POST` on a class.
pub(super) fn create_request(class: ClassName, request: ApiRequest) -> WriteRequest {
    let mut parameters = request.parameters;
    // One SDK sends `where` with a new object, which no condition can hold for.
    parameters.shift_remove("where");
    WriteRequest {
        class,
        change: Change::Create,
        body: request.body,
        parameters,
    }
}

/// The write of a `PUT` or `DELETE` on an object.
///
/// # Errors
/// For an illegal id: 1 at `PUT`, 104 at `DELETE`; 104 for more than 10,000 ids.
pub(super) fn change_request(
    class: ClassName,
    ids: &str,
    request: ApiRequest,
) -> Result<WriteRequest, CloudError> {
    let change = if request.method == Method::Delete {
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
        body: request.body,
        parameters: request.parameters,
    })
}

/// `GET /date`.
pub(super) fn date(environment: &Environment) -> ApiResponse {
    ApiResponse::ok(environment.now().to_date())
}

/// Returns the session token of the parameter `session_token`, or else of the header.
pub(super) fn session_token<'a>(context: &'a Context, request: &'a ApiRequest) -> Option<&'a str> {
    parameters::text(&request.parameters, "session_token").or_else(|| context.session_token())
}
