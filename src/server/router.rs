//! The HTTP side of the API: one request from the wire to its response.

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

use super::api_request::{ApiRequest, Method};
use super::config::ServerConfig;
use super::context::Context;
use super::endpoint::Endpoint;
use super::error::not_built_yet;
use super::headers::REASON;
use super::parameters::parse_query;
use super::response::ApiResponse;
use super::state::{Server, ServerState};
use super::{batch, batch_save, classes, dispatch, files};
use crate::http::body::BODY_TIMEOUT;
use crate::http::{
    IncomingRequest, REQUEST_ID, cors_layer, percent_decode, read_body, remote_address, request_id,
};
use crate::model::limits::BODY_BYTES_MAX;
use crate::model::{CloudError, ErrorCode};

/// Size of a response from which on it is compressed, in bytes; about LeanCloud's.
const COMPRESSED_BYTES_MIN: u16 = 512;

impl Server {
    /// The routes of the storage API, on `/1.1`, and of files, on `/files` and `/uploads`. The caller responds to every
    /// other path.
    pub fn router(&self) -> Router {
        // One service of all layers of the API: each layer of a router boxes and copies the service that it wraps.
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

/// Compresses responses if the client accepts it; quickly rather than tightly.
fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_BYTES_MIN))
}

/// The error of a request whose body is not a JSON object. A path that this server does not have yet comes first,
/// whatever the body.
fn unreadable(path: &str, error: CloudError) -> CloudError {
    if error.code != ErrorCode::INVALID_JSON {
        return error;
    }
    let path = percent_decode(path);
    match Endpoint::of(&path) {
        Ok(Endpoint::NotBuiltYet(what)) => not_built_yet(what),
        _ => error,
    }
}

/// Responds to one HTTP request.
async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let parts = Arc::new(parts);
    let environment = &server.state.config.environment;
    let request_id = request_id(&parts.headers, environment);
    let started = environment.elapsed();
    let span = tracing::error_span!("request", request.id = %request_id);
    let outcome = match server.state.rate_limit.acquire(started) {
        // The permit is held until the outcome is there.
        Ok(_permit) => perform(&server.state, &parts, body).instrument(span).await,
        Err(error) => error.into(),
    };
    let mut response = match outcome.response {
        Ok(response) => response.into_response(),
        Err(error) => error.into_response(),
    };
    let status = response.status();
    let headers = response.headers_mut();
    if let Some(reason) = outcome
        .reason
        .and_then(|reason| HeaderValue::try_from(reason).ok())
    {
        headers.insert(REASON, reason);
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

/// Logs one line for a request: its path, never its query string, since conditions hold personal data.
fn log(config: &ServerConfig, request_id: &str, parts: &Parts, status: StatusCode, duration_ms: u128) {
    // 64 bits, since JSON has no number of 128.
    let duration_ms = u64::try_from(duration_ms).unwrap_or(u64::MAX);
    let (method, path, status) = (&parts.method, parts.uri.path(), status.as_u16());
    if config.request_log {
        let client = remote_address(&parts.headers, &parts.extensions, config.trust_proxy);
        tracing::info!(request.id = %request_id, http.method = %method, http.path = path, http.status = status,
            client.address = client.map(tracing::field::display), duration_ms, "request completed");
    } else {
        tracing::debug!(request.id = %request_id, http.method = %method, http.path = path, http.status = status,
            duration_ms, "request completed");
    }
}

/// Outcome of one HTTP request.
struct Outcome {
    response: Result<ApiResponse, CloudError>,
    /// Reason why a write had no effect, if the request asks for it.
    reason: Option<String>,
}

impl From<CloudError> for Outcome {
    fn from(error: CloudError) -> Self {
        Err(error).into()
    }
}

impl From<Result<ApiResponse, CloudError>> for Outcome {
    fn from(response: Result<ApiResponse, CloudError>) -> Self {
        Self {
            response,
            reason: None,
        }
    }
}

/// Reads a request and performs it.
async fn perform(state: &Arc<ServerState>, parts: &Arc<Parts>, body: Body) -> Outcome {
    let path = parts.uri.path();
    if parts.method == axum::http::Method::GET && path.trim_end_matches('/') == "/1.1/date" {
        // One of the official clients asks for the time without any key.
        return Ok(classes::date(&state.config.environment)).into();
    }
    let (context, request) = match read(state, parts, body).await {
        Ok(read) => read,
        Err(error) => return error.into(),
    };
    let response = match (request.method, path.trim_end_matches('/')) {
        (Method::Post, "/1.1/batch") => batch::perform(&context, request.body).await,
        (Method::Post, "/1.1/batch/save") => batch_save::perform(&context, request.body).await,
        _ => dispatch::dispatch(&context, path, request).await,
    };
    let has_no_effect = matches!(&response, Err(error) if error.code == ErrorCode::NO_EFFECT);
    Outcome {
        response,
        reason: if has_no_effect {
            context.take_reason()
        } else {
            None
        },
    }
}

/// Reads the body, checks the credentials, and finds the method that is meant.
///
/// # Errors
/// 401; 405; 107 for a malformed body; 408 and 413 as [`read_body`].
async fn read(
    state: &Arc<ServerState>,
    parts: &Arc<Parts>,
    body: Body,
) -> Result<(Arc<Context>, ApiRequest), CloudError> {
    let body = read_body(body, BODY_BYTES_MAX, BODY_TIMEOUT).await?;
    let incoming = IncomingRequest::read(&state.config.credentials, &parts.headers, &body)
        .map_err(|error| unreadable(parts.uri.path(), error))?;
    let method = incoming.method.as_deref().unwrap_or(parts.method.as_str());
    let Some(method) = Method::parse(method) else {
        return Err(CloudError::other("Methods of this API are GET, POST, PUT and DELETE.").with_status(405));
    };
    let mut request = ApiRequest {
        method,
        parameters: parse_query(parts.uri.query().unwrap_or_default()),
        body: incoming.body,
    };
    if incoming.method.is_some() && method == Method::Get {
        // A GET that is sent as a POST has its parameters in the body.
        request.parameters.extend(std::mem::take(&mut request.body.0));
    }
    let context = Context::new(Arc::clone(state), incoming.caller, Arc::clone(parts));
    Ok((Arc::new(context), request))
}

/// The response to a request that panicked: the connection stays, and the client learns nothing of the cause.
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
