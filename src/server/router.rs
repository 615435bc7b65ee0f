//! From the wire to an endpoint and back. The list of all paths is [`find`]; requests of a batch go through it too.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::context::Context;
use super::error::not_built_yet;
use super::parameters::parse_query;
use super::reply::Reply;
use super::service::{Server, Shared};
use super::write_path::WriteRequest;
use super::{batch, classes, scan, users, validate};
use crate::http::body::BODY_TIMEOUT;
use crate::http::{Incoming, REQUEST_ID, cors_layer, percent_decode, read_body, remote_address, request_id};
use crate::model::limits::BODY_BYTES_MAX;
use crate::model::{ClassName, CloudError, Document, ObjectId};

impl Server {
    /// The routes of the storage API. What lies outside `/1.1` is for the caller to answer.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/1.1/{*path}", any(handle))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(cors_layer())
            .with_state(self.clone())
    }
}

/// A request, from the wire or from a batch.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Of the query string, or `params` of a batch's request, whose values need not be text.
    pub(super) parameters: Document,
    pub(super) body: Document,
}

/// The methods of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What a path leads to.
enum Endpoint<'a> {
    Class(ClassName),
    Object(ClassName, &'a str),
    LogIn,
    Me,
    UpdatePassword(&'a str),
    RefreshSessionToken(&'a str),
    Batch,
    Date,
    Scan(ClassName),
    /// A path of LeanCloud's that is not here yet, by what it is for.
    NotBuiltYet(&'static str),
}

/// Every path, without its `/1.1`.
///
/// # Errors
/// 103 for a class name that is not legal; 404, code 1, for a path that LeanCloud has not either.
fn find<'a>(segments: &[&'a str]) -> Result<Endpoint<'a>, CloudError> {
    Ok(match *segments {
        ["classes", class] => Endpoint::Class(validate::class_name(class)?),
        ["classes", class, ids] => Endpoint::Object(validate::class_name(class)?, ids),
        ["users"] => Endpoint::Class(ClassName::user()),
        ["users", "me"] => Endpoint::Me,
        ["users", "strictlyQuery"] => Endpoint::NotBuiltYet("Querying users strictly"),
        ["users", id] => Endpoint::Object(ClassName::user(), id),
        ["users", id, "updatePassword"] => Endpoint::UpdatePassword(id),
        ["users", id, "refreshSessionToken"] => Endpoint::RefreshSessionToken(id),
        ["roles"] => Endpoint::Class(ClassName::role()),
        ["roles", id] => Endpoint::Object(ClassName::role(), id),
        ["login"] => Endpoint::LogIn,
        ["batch"] => Endpoint::Batch,
        ["date"] => Endpoint::Date,
        ["scan", "classes", class] => Endpoint::Scan(validate::class_name(class)?),
        ["batch", "save"] => Endpoint::NotBuiltYet("Saving several objects at once (/batch/save)"),
        ["cloudQuery"] => Endpoint::NotBuiltYet("CQL"),
        ["usersByMobilePhone" | "requestMobilePhoneVerify" | "requestLoginSmsCode"]
        | ["requestPasswordResetBySmsCode" | "requestChangePhoneNumber" | "changePhoneNumber"]
        | ["requestSmsCode"]
        | [
            "verifyMobilePhone" | "resetPasswordBySmsCode" | "verifySmsCode",
            _,
        ] => Endpoint::NotBuiltYet("Logging in and verifying by SMS"),
        ["requestPasswordReset" | "requestEmailVerify"] => Endpoint::NotBuiltYet("Sending e-mail"),
        ["files" | "fileTokens" | "fileCallback"] | ["files", _] => Endpoint::NotBuiltYet("Uploading files"),
        ["installations" | "push"] | ["installations", _] => Endpoint::NotBuiltYet("Push notification"),
        ["schemas"] | ["schemas", _] => Endpoint::NotBuiltYet("Reading schemas"),
        ["exportData"] | ["exportData", _] => Endpoint::NotBuiltYet("Exporting by request"),
        _ => return Err(CloudError::other("There is no such path in this API.").with_status(404)),
    })
}

/// Performs a request.
///
/// # Errors
/// Whatever its endpoint answers; 404 and 405.
pub(super) async fn dispatch(context: &Arc<Context>, path: &str, call: Call) -> Result<Reply, CloudError> {
    let path = percent_decode(path);
    let segments = segments(&path)?;
    match (find(&segments)?, call.method) {
        (Endpoint::Class(class), _) => classes::class(context, class, call).await,
        (Endpoint::Object(class, ids), _) => classes::object(context, class, ids, call).await,
        (Endpoint::LogIn, Method::Post) => users::log_in(context, &call.body).await,
        (Endpoint::Me, Method::Get) => users::me(context, classes::session_token(context, &call)).await,
        (Endpoint::UpdatePassword(id), Method::Put) => {
            users::update_password(context, &ObjectId::parse(id)?, &call.body).await
        }
        (Endpoint::RefreshSessionToken(id), Method::Put) => {
            users::refresh_token(context, &ObjectId::parse(id)?).await
        }
        (Endpoint::Batch, Method::Post) => Err(CloudError::other("A batch cannot hold a batch.")),
        (Endpoint::Date, Method::Get) => Ok(classes::date(context.environment())),
        (Endpoint::Scan(class), Method::Get) => scan::page(context, &class, &call.parameters).await,
        (Endpoint::NotBuiltYet(what), _) => Err(not_built_yet(what)),
        (_, method) => Err(wrong_method(method)),
    }
}

/// A batch's request as a write of a class, or the request back where it is something else.
///
/// # Errors
/// 103; 104; 404.
pub(super) fn as_write(path: &str, call: Call) -> Result<Result<WriteRequest, Call>, CloudError> {
    let path = percent_decode(path);
    let segments = segments(&path)?;
    Ok(match (find(&segments)?, call.method) {
        (Endpoint::Class(class), Method::Post) => Ok(classes::create_request(class, call)),
        (Endpoint::Object(class, ids), Method::Put | Method::Delete) => {
            Ok(classes::change_request(class, ids, call)?)
        }
        _ => Err(call),
    })
}

/// 405.
pub(super) fn wrong_method(method: Method) -> CloudError {
    CloudError::other(format!("This path does not take {}.", method.name())).with_status(405)
}

/// The parts of a path behind `/1.1`.
fn segments(path: &str) -> Result<Vec<&str>, CloudError> {
    let inner = path.strip_prefix("/1.1/").map(|path| path.trim_end_matches('/'));
    let inner =
        inner.ok_or_else(|| CloudError::other("Paths of this API start with /1.1/.").with_status(404))?;
    Ok(inner.split('/').collect())
}

/// Answers one HTTP request.
async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let environment = &server.shared.config.environment;
    let request_id = request_id(&parts.headers, environment);
    let started = environment.elapsed();
    let span = tracing::error_span!("request", request.id = %request_id);
    let reply = answer(&server.shared, &parts, body).instrument(span).await;
    let mut response = match reply {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache,no-store"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    // The path, never the query string: conditions hold the data of people.
    tracing::debug!(
        request.id = %request_id,
        http.method = %parts.method,
        http.path = parts.uri.path(),
        http.status = response.status().as_u16(),
        duration_ms = environment.elapsed().saturating_sub(started).as_millis(),
        "answered a request"
    );
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

async fn answer(shared: &Arc<Shared>, parts: &Parts, body: Body) -> Result<Reply, CloudError> {
    let path = parts.uri.path();
    if parts.method == axum::http::Method::GET && path.trim_end_matches('/') == "/1.1/date" {
        // One of the official clients asks for the time without showing any key.
        return Ok(classes::date(&shared.config.environment));
    }
    let body = read_body(body, BODY_BYTES_MAX, BODY_TIMEOUT).await?;
    let incoming = Incoming::read(&shared.config.credentials, &parts.headers, &body)?;
    let method = incoming.method.as_deref().unwrap_or(parts.method.as_str());
    let Some(method) = Method::parse(method) else {
        return Err(CloudError::other("Methods of this API are GET, POST, PUT and DELETE.").with_status(405));
    };
    let mut call = Call {
        method,
        parameters: parse_query(parts.uri.query().unwrap_or_default()),
        body: incoming.body,
    };
    if incoming.method.is_some() && method == Method::Get {
        // A GET in the clothes of a POST brings its parameters in the body.
        call.parameters.extend(std::mem::take(&mut call.body.0));
    }
    let address = remote_address(&parts.headers, &parts.extensions, shared.config.trust_proxy);
    let context = Arc::new(Context::new(Arc::clone(shared), incoming.caller, address));
    if method == Method::Post && path.trim_end_matches('/') == "/1.1/batch" {
        return batch::perform(&context, call.body).await;
    }
    dispatch(&context, path, call).await
}

/// A bug of ours must not take the connection with it, nor tell the caller about it.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the box")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    tracing::error!(panic = text, "a request panicked");
    CloudError::other("Internal server error.")
        .with_status(StatusCode::INTERNAL_SERVER_ERROR.as_u16())
        .into_response()
}
