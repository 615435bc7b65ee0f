//! Cross-origin calls: browsers may call from everywhere, since the keys decide, not the origin.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

/// The headers that browsers may send: the list of the official SDKs. `lean` (the command line tool) recognises a modern
/// engine by `X-LC-Hook-Key` in this spelling.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, X-AVOSCloud-Application-Id, X-AVOSCloud-Application-Key, \
     X-AVOSCloud-Application-Production, X-AVOSCloud-Client-Version, X-AVOSCloud-Request-Sign, \
     X-AVOSCloud-Session-Token, X-AVOSCloud-Super-Key, X-LC-Hook-Key, X-LC-Id, X-LC-Key, X-LC-Prod, \
     X-LC-Session, X-LC-Sign, X-LC-UA, X-Requested-With, X-Uluru-Application-Id, X-Uluru-Application-Key, \
     X-Uluru-Application-Production, X-Uluru-Client-Version, X-Uluru-Session-Token",
);
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("HEAD, GET, POST, PUT, DELETE, OPTIONS");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The layer for cross-origin calls: it responds to every `OPTIONS` before authentication, and lets every response be read
/// from any origin.
///
/// A layer of our own: that of tower-http writes the allowed headers in lower case, and `axum::middleware::from_fn` copies
/// and boxes the inner service for each request (0.3 µs).
#[must_use]
pub fn cors_layer() -> CorsLayer {
    CorsLayer
}

/// See [`cors_layer`]. Applying it twice does no harm.
#[derive(Clone, Copy, Debug)]
pub struct CorsLayer;

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;
    fn layer(&self, inner: S) -> Self::Service {
        Cors { inner }
    }
}

/// The service that [`CorsLayer`] makes.
#[derive(Clone, Debug)]
pub struct Cors<S> {
    inner: S,
}

impl<S, R> Service<Request> for Cors<S>
where
    S: Service<Request, Response = R, Error = Infallible>,
    S::Future: Send + 'static,
    R: IntoResponse,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == Method::OPTIONS {
            let response = preflight(request.headers());
            return Box::pin(std::future::ready(Ok(response)));
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?.into_response();
            allow_origin(origin, response.headers_mut());
            Ok(response)
        })
    }
}

/// The response to `OPTIONS`.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    allow_origin(asked.get(header::ORIGIN).cloned(), headers);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// Allows the caller's origin, as the Node.js SDK does; `*` for a caller without one.
fn allow_origin(origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if origin.is_some() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}
