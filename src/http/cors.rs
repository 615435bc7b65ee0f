//! Cross-origin calls: browsers may call from everywhere, because the keys, not the origin, decide.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

/// The names that browsers may send; the official SDKs' own list. `lean` (the command line tool) recognises a modern
/// engine by finding `X-LC-Hook-Key` here, spelt like this.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, X-AVOSCloud-Application-Id, X-AVOSCloud-Application-Key, \
     X-AVOSCloud-Application-Production, X-AVOSCloud-Client-Version, X-AVOSCloud-Request-Sign, \
     X-AVOSCloud-Session-Token, X-AVOSCloud-Super-Key, X-LC-Hook-Key, X-LC-Id, X-LC-Key, X-LC-Prod, \
     X-LC-Session, X-LC-Sign, X-LC-UA, X-Requested-With, X-Uluru-Application-Id, X-Uluru-Application-Key, \
     X-Uluru-Application-Production, X-Uluru-Client-Version, X-Uluru-Session-Token",
);
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("HEAD, GET, POST, PUT, DELETE, OPTIONS");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Answers every `OPTIONS` before authentication, and lets every other answer be read from any origin.
///
/// A layer of our own, because that of tower-http writes the allowed headers in lower case.
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
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?.into_response();
            allow_origin(origin, response.headers_mut());
            Ok(response)
        })
    }
}

/// The answer to `OPTIONS`.
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

/// Names the caller's origin, as the Node.js SDK does; `*` for callers that are no browsers.
fn allow_origin(origin: Option<HeaderValue>, answer: &mut HeaderMap) {
    if origin.is_some() {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}
