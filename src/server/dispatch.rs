//! From a path and a request to the endpoint that performs it.

use std::sync::Arc;

use super::api_request::{ApiRequest, Method};
use super::context::Context;
use super::endpoint::Endpoint;
use super::error::not_built_yet;
use super::response::ApiResponse;
use super::write_path::WriteRequest;
use super::{classes, cloud_query, files, scan, schemas, users};
use crate::http::percent_decode;
use crate::model::{ClassName, CloudError, ObjectId};

/// Performs a request.
///
/// # Errors
/// Those of its endpoint; 404; 405.
pub(super) async fn dispatch(
    context: &Arc<Context>,
    path: &str,
    request: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    let path = percent_decode(path);
    match (Endpoint::of(&path)?, request.method) {
        (Endpoint::Class(class), _) => classes::class(context, class, request).await,
        (Endpoint::Object(class, ids), _) => classes::object(context, class, ids, request).await,
        (Endpoint::User(id), Method::Get) => users::get(context, id, &request.parameters).await,
        (Endpoint::User(id), _) => classes::object(context, ClassName::user(), id, request).await,
        (Endpoint::LogIn, Method::Post) => users::log_in(context, &request.body).await,
        // Old SDKs send `_method` in a text/plain body; LeanCloud's guide shows a GET.
        (Endpoint::LogIn, Method::Get) => users::log_in(context, &request.parameters).await,
        (Endpoint::Me, Method::Get) => users::me(context, classes::session_token(context, &request)).await,
        (Endpoint::QueryUsers, Method::Get) => users::strictly_query(context, &request.parameters).await,
        (Endpoint::UpdatePassword(id), Method::Put) => {
            users::update_password(context, &ObjectId::parse(id)?, &request.body).await
        }
        (Endpoint::RefreshSessionToken(id), Method::Put) => {
            users::refresh_token(context, &ObjectId::parse(id)?).await
        }
        (Endpoint::File(name), Method::Post) => files::create_by_name(context, name, request).await,
        (Endpoint::File(ids), _) => classes::object(context, ClassName::file(), ids, request).await,
        (Endpoint::FileToken, Method::Post) => files::begin_upload(context, request.body).await,
        (Endpoint::FileCallback, Method::Post) => files::close_upload(context, &request.body).await,
        (Endpoint::Batch | Endpoint::BatchSave, Method::Post) => {
            Err(CloudError::other("A batch cannot hold a batch."))
        }
        (Endpoint::Date, Method::Get) => Ok(classes::date(context.environment())),
        (Endpoint::Scan(class), Method::Get) => scan::page(context, &class, &request.parameters).await,
        (Endpoint::CloudQuery, Method::Get) => cloud_query::run(context, &request.parameters).await,
        (Endpoint::Schemas, Method::Get) => schemas::all(context),
        (Endpoint::Schema(class), Method::Get) => schemas::one(context, &class),
        (Endpoint::Schema(class), Method::Post) => schemas::create(context, class, &request.body).await,
        (Endpoint::Schema(class), Method::Put) => schemas::change(context, &class, &request.body).await,
        (Endpoint::Definition(class), Method::Get) => schemas::definition(context, &class),
        (Endpoint::NotBuiltYet(what), _) => Err(not_built_yet(what)),
        (_, method) => Err(method.not_allowed()),
    }
}

/// A request of a batch, once its path has been looked up.
#[derive(Debug)]
pub(super) enum BatchedRequest {
    /// A write of a class.
    Write(WriteRequest),
    /// Everything else.
    Other(ApiRequest),
}

/// Sorts a batch's request: writes of classes can share a trip to the database.
///
/// # Errors
/// 103; 104; 404.
pub(super) fn sort(path: &str, request: ApiRequest) -> Result<BatchedRequest, CloudError> {
    let path = percent_decode(path);
    let write = match (Endpoint::of(&path)?, request.method) {
        (Endpoint::Class(class), Method::Post) => classes::create_request(class, request),
        (Endpoint::Object(class, ids), Method::Put | Method::Delete) => {
            classes::change_request(class, ids, request)?
        }
        (Endpoint::User(id), Method::Put | Method::Delete) => {
            classes::change_request(ClassName::user(), id, request)?
        }
        (Endpoint::File(ids), Method::Put | Method::Delete) => {
            classes::change_request(ClassName::file(), ids, request)?
        }
        _ => return Ok(BatchedRequest::Other(request)),
    };
    Ok(BatchedRequest::Write(write))
}
