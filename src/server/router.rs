//! From the wire to an endpoint and back. The list of all paths is [`find`]; requests of a batch go through it too.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tracing::Instrument;

use super::config::ServerConfig;
use super::context::Context;
use super::error::not_built_yet;
use super::parameters::parse_query;
use super::response::ApiResponse;
use super::state::{Server, ServerState};
use super::write_path::WriteRequest;
use super::{batch, batch_save, classes, cloud_query, files, headers, scan, schemas, users, validation};
use crate::http::body::BODY_TIMEOUT;
use crate::http::{
    IncomingRequest, REQUEST_ID, cors_layer, percent_decode, read_body, remote_address, request_id,
};
use crate::model::limits::BODY_BYTES_MAX;
use crate::model::{ClassName, CloudError, Document, ErrorCode, ObjectId};

/// Bytes of an answer from which on it is compressed.
const COMPRESSED_BYTES_MIN: u16 = 512;

impl Server {
    /// The routes of the storage API, on `/1.1`, and of the files, on `/files` and `/uploads`. Everything else is for
    /// the caller to answer.
    pub fn router(&self) -> Router {
        // One service of all that every request goes through: each layer of a router boxes and copies what it wraps.
        let api = ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(cors_layer())
            .layer(compression())
            .service(handle.with_state(self.clone()));
        Router::new()
            .route("/files/{*key}", any(files::download))
            .route("/uploads/{token}", any(files::upload))
            .route("/uploads/{token}/{*part}", any(files::upload))
            .layer(CatchPanicLayer::custom(panicked))
            .route_service("/1.1/{*path}", api)
            .with_state(self.clone())
    }
}

/// Answers are compressed for whoever accepts it, quickly rather than tightly, from about the size at which LeanCloud
/// does it.
fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BYTES_MIN))
}

/// A request, from the wire or from a batch.
#[derive(Debug)]
pub(super) struct ApiRequest {
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
    User(&'a str),
    LogIn,
    Me,
    QueryUsers,
    UpdatePassword(&'a str),
    RefreshSessionToken(&'a str),
    /// By its id, or for a new one by its name.
    File(&'a str),
    FileToken,
    FileCallback,
    Batch,
    BatchSave,
    Date,
    Scan(ClassName),
    CloudQuery,
    Schemas,
    Schema(ClassName),
    Definition(ClassName),
    /// A path of LeanCloud's that is not here yet, by what it is for.
    NotBuiltYet(&'static str),
}

/// Every path, without its `/1.1`.
///
/// # Errors
/// 103 for a class name that is not legal; 404, code 1, for a path that LeanCloud has not either.
fn find<'a>(segments: &[&'a str]) -> Result<Endpoint<'a>, CloudError> {
    Ok(match *segments {
        ["classes", class] => Endpoint::Class(validation::class_name(class)?),
        ["classes", class, ids] => Endpoint::Object(validation::class_name(class)?, ids),
        ["users"] => Endpoint::Class(ClassName::user()),
        ["users", "me"] => Endpoint::Me,
        ["users", "strictlyQuery"] => Endpoint::QueryUsers,
        ["users", id] => Endpoint::User(id),
        ["users", id, "updatePassword"] => Endpoint::UpdatePassword(id),
        ["users", id, "refreshSessionToken"] => Endpoint::RefreshSessionToken(id),
        ["roles"] => Endpoint::Class(ClassName::role()),
        ["roles", id] => Endpoint::Object(ClassName::role(), id),
        ["login"] => Endpoint::LogIn,
        ["batch"] => Endpoint::Batch,
        ["batch", "save"] => Endpoint::BatchSave,
        ["date"] => Endpoint::Date,
        ["scan", "classes", class] => Endpoint::Scan(validation::class_name(class)?),
        ["cloudQuery"] => Endpoint::CloudQuery,
        ["schemas"] => Endpoint::Schemas,
        ["schemas", class] => Endpoint::Schema(validation::class_name(class)?),
        ["schemas", class, "definition"] => Endpoint::Definition(validation::class_name(class)?),
        ["usersByMobilePhone" | "requestMobilePhoneVerify" | "requestLoginSmsCode"]
        | ["requestPasswordResetBySmsCode" | "requestChangePhoneNumber" | "changePhoneNumber"]
        | ["requestSmsCode"]
        | [
            "verifyMobilePhone" | "resetPasswordBySmsCode" | "verifySmsCode",
            _,
        ] => Endpoint::NotBuiltYet("Logging in and verifying by SMS"),
        ["requestCaptcha" | "verifyCaptcha"] => Endpoint::NotBuiltYet("Asking for a captcha"),
        ["bigquery", ..] => Endpoint::NotBuiltYet("The data query service"),
        ["requestPasswordReset" | "requestEmailVerify"] => Endpoint::NotBuiltYet("Sending e-mail"),
        ["files"] => Endpoint::Class(ClassName::file()),
        ["files", ids] => Endpoint::File(ids),
        ["fileTokens"] => Endpoint::FileToken,
        ["fileCallback"] => Endpoint::FileCallback,
        ["installations" | "push"] | ["installations", _] => Endpoint::NotBuiltYet("Push notification"),
        ["LiveQuery", ..] => Endpoint::NotBuiltYet("LiveQuery"),
        ["leaderboard" | "statistics", ..] => Endpoint::NotBuiltYet("Leaderboards"),
        ["search" | "searchAnalyzer", ..] => Endpoint::NotBuiltYet("Full-text search"),
        ["statuses" | "subscribe" | "share", ..]
        | [
            "users",
            _,
            "friendship" | "friendBlocklist" | "followers" | "followees" | "followersAndFollowees",
            ..,
        ] => Endpoint::NotBuiltYet("The status feed"),
        ["rtm", ..] => Endpoint::NotBuiltYet("Instant messaging"),
        ["exportData"] | ["exportData", _] => Endpoint::NotBuiltYet("Exporting by request"),
        _ => return Err(CloudError::other("There is no such path in this API.").with_status(404)),
    })
}

/// Performs a request.
///
/// # Errors
/// Whatever its endpoint answers; 404 and 405.
pub(super) async fn dispatch(
    context: &Arc<Context>,
    path: &str,
    call: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    let path = percent_decode(path);
    let segments = segments(&path)?;
    match (find(&segments)?, call.method) {
        (Endpoint::Class(class), _) => classes::class(context, class, call).await,
        (Endpoint::Object(class, ids), _) => classes::object(context, class, ids, call).await,
        (Endpoint::User(id), Method::Get) => users::get(context, id, &call.parameters).await,
        (Endpoint::User(id), _) => classes::object(context, ClassName::user(), id, call).await,
        (Endpoint::LogIn, Method::Post) => users::log_in(context, &call.body).await,
        // As a browser's text/plain body with `_method`, which old SDKs send, and as LeanCloud's guide shows it.
        (Endpoint::LogIn, Method::Get) => users::log_in(context, &call.parameters).await,
        (Endpoint::Me, Method::Get) => users::me(context, classes::session_token(context, &call)).await,
        (Endpoint::QueryUsers, Method::Get) => users::strictly_query(context, &call.parameters).await,
        (Endpoint::UpdatePassword(id), Method::Put) => {
            users::update_password(context, &ObjectId::parse(id)?, &call.body).await
        }
        (Endpoint::RefreshSessionToken(id), Method::Put) => {
            users::refresh_token(context, &ObjectId::parse(id)?).await
        }
        (Endpoint::File(name), Method::Post) => files::create_by_name(context, name, call).await,
        (Endpoint::File(ids), _) => classes::object(context, ClassName::file(), ids, call).await,
        (Endpoint::FileToken, Method::Post) => files::create_token(context, call.body).await,
        (Endpoint::FileCallback, Method::Post) => files::close_upload(context, &call.body).await,
        (Endpoint::Batch | Endpoint::BatchSave, Method::Post) => {
            Err(CloudError::other("A batch cannot hold a batch."))
        }
        (Endpoint::Date, Method::Get) => Ok(classes::date(context.environment())),
        (Endpoint::Scan(class), Method::Get) => scan::page(context, &class, &call.parameters).await,
        (Endpoint::CloudQuery, Method::Get) => cloud_query::run(context, &call.parameters).await,
        (Endpoint::Schemas, Method::Get) => schemas::all(context),
        (Endpoint::Schema(class), Method::Get) => schemas::one(context, &class),
        (Endpoint::Schema(class), Method::Post) => schemas::create(context, class, &call.body).await,
        (Endpoint::Schema(class), Method::Put) => schemas::change(context, &class, &call.body).await,
        (Endpoint::Definition(class), Method::Get) => schemas::definition(context, &class),
        (Endpoint::NotBuiltYet(what), _) => Err(not_built_yet(what)),
        (_, method) => Err(wrong_method(method)),
    }
}

/// A batch's request as a write of a class, or the request back where it is something else.
///
/// # Errors
/// 103; 104; 404.
pub(super) fn as_write(path: &str, call: ApiRequest) -> Result<Result<WriteRequest, ApiRequest>, CloudError> {
    let path = percent_decode(path);
    let segments = segments(&path)?;
    Ok(match (find(&segments)?, call.method) {
        (Endpoint::Class(class), Method::Post) => Ok(classes::create_request(class, call)),
        (Endpoint::Object(class, ids), Method::Put | Method::Delete) => {
            Ok(classes::change_request(class, ids, call)?)
        }
        (Endpoint::User(id), Method::Put | Method::Delete) => {
            Ok(classes::change_request(ClassName::user(), id, call)?)
        }
        (Endpoint::File(ids), Method::Put | Method::Delete) => {
            Ok(classes::change_request(ClassName::file(), ids, call)?)
        }
        _ => Err(call),
    })
}

/// What is wrong with a request whose body is no JSON object: that its path leads to nothing that is here, whatever the
/// body, or else the body.
fn unreadable(path: &str, error: CloudError) -> CloudError {
    if error.code != ErrorCode::INVALID_JSON {
        return error;
    }
    let path = percent_decode(path);
    match segments(&path).and_then(|segments| find(&segments)) {
        Ok(Endpoint::NotBuiltYet(what)) => not_built_yet(what),
        _ => error,
    }
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
    let parts = Arc::new(parts);
    let environment = &server.state.config.environment;
    let request_id = request_id(&parts.headers, environment);
    let started = environment.elapsed();
    let span = tracing::error_span!("request", request.id = %request_id);
    let answered = match server.state.rate_limit.acquire(started) {
        // The place is held until the answer is there.
        Ok(_permit) => answer(&server.state, &parts, body).instrument(span).await,
        Err(error) => Err(error),
    };
    let (reply, reason) = match answered {
        Ok((reply, reason)) => (reply, reason),
        Err(error) => (Err(error), None),
    };
    let mut response = match reply {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    };
    let status = response.status();
    let headers = response.headers_mut();
    if let Some(reason) = reason.and_then(|reason| HeaderValue::try_from(reason).ok()) {
        headers.insert(headers::REASON, reason);
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache,no-store"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    let duration_ms = environment.elapsed().saturating_sub(started).as_millis();
    log(&server.state.config, &request_id, &parts, status, duration_ms);
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}

/// One line for a request: the path, never the query string, as conditions hold the data of people.
fn log(config: &ServerConfig, request_id: &str, parts: &Parts, status: StatusCode, duration_ms: u128) {
    // A number in JSON too, which 128 bits are not.
    let duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX);
    let (method, path, status) = (&parts.method, parts.uri.path(), status.as_u16());
    if config.request_log {
        let client = remote_address(&parts.headers, &parts.extensions, config.trust_proxy);
        tracing::info!(request.id = %request_id, http.method = %method, http.path = path, http.status = status,
            client.address = client.map(tracing::field::display), duration_ms, "answered a request");
    } else {
        tracing::debug!(request.id = %request_id, http.method = %method, http.path = path, http.status = status,
            duration_ms, "answered a request");
    }
}

/// The reply, and why a write had no effect where that is asked for. An error here is one of the request as a whole.
async fn answer(
    state: &Arc<ServerState>,
    parts: &Arc<Parts>,
    body: Body,
) -> Result<(Result<ApiResponse, CloudError>, Option<String>), CloudError> {
    let path = parts.uri.path();
    if parts.method == axum::http::Method::GET && path.trim_end_matches('/') == "/1.1/date" {
        // One of the official clients asks for the time without showing any key.
        return Ok((Ok(classes::date(&state.config.environment)), None));
    }
    let body = read_body(body, BODY_BYTES_MAX, BODY_TIMEOUT).await?;
    let incoming = IncomingRequest::read(&state.config.credentials, &parts.headers, &body)
        .map_err(|error| unreadable(path, error))?;
    let method = incoming.method.as_deref().unwrap_or(parts.method.as_str());
    let Some(method) = Method::parse(method) else {
        return Err(CloudError::other("Methods of this API are GET, POST, PUT and DELETE.").with_status(405));
    };
    let mut call = ApiRequest {
        method,
        parameters: parse_query(parts.uri.query().unwrap_or_default()),
        body: incoming.body,
    };
    if incoming.method.is_some() && method == Method::Get {
        // A GET in the clothes of a POST brings its parameters in the body.
        call.parameters.extend(std::mem::take(&mut call.body.0));
    }
    let context = Context::new(Arc::clone(state), incoming.caller, Arc::clone(parts));
    let context = Arc::new(context);
    let reply = match (method, path.trim_end_matches('/')) {
        (Method::Post, "/1.1/batch") => batch::perform(&context, call.body).await,
        (Method::Post, "/1.1/batch/save") => batch_save::perform(&context, call.body).await,
        _ => dispatch(&context, path, call).await,
    };
    let is_unmet = matches!(&reply, Err(error) if error.code == ErrorCode::NO_EFFECT);
    let reason = if is_unmet { context.take_reason() } else { None };
    Ok((reply, reason))
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
