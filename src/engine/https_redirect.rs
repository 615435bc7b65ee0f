//! Sends browsers that come over plain HTTP to HTTPS.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use crate::http::remote_address::forwarded;

/// Redirects (302) what a proxy says came over plain HTTP. For a site whose TLS ends at LeanEngine's load balancer, or
/// at a proxy that sets `Forwarded` or `X-Forwarded-Proto`.
///
/// The routes of the engine are left alone: functions and hooks are called by programs, which do not follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpsRedirectLayer {
    /// Whether a request without a word about how it came counts as one over plain HTTP, as it does in production.
    pub production: bool,
}

impl HttpsRedirectLayer {
    /// Where this request is to go instead.
    fn target(self, uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
        let is_of_engine = ["/1.1/", "/1/", "/__engine/"]
            .iter()
            .any(|prefix| uri.path().starts_with(prefix));
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let host = text("host").or_else(|| uri.authority().map(|authority| authority.as_str()))?;
        if is_of_engine || !self.is_plain(text("forwarded"), text("x-forwarded-proto"), host) {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        HeaderValue::try_from(format!("https://{host}{path}")).ok()
    }

    fn is_plain(self, header: Option<&str>, protocol: Option<&str>, host: &str) -> bool {
        match header.and_then(forwarded) {
            Some(hop) => hop.is_public && hop.protocol.as_deref() == Some("http"),
            None => {
                let name = host.split(':').next().unwrap_or(host);
                protocol != Some("https") && (self.production || name.ends_with(".leanapp.cn"))
            }
        }
    }
}

impl<S> Layer<S> for HttpsRedirectLayer {
    type Service = HttpsRedirect<S>;
    fn layer(&self, inner: S) -> Self::Service {
        HttpsRedirect { inner, layer: *self }
    }
}

/// The service that [`HttpsRedirectLayer`] makes.
#[derive(Clone, Debug)]
pub struct HttpsRedirect<S> {
    inner: S,
    layer: HttpsRedirectLayer,
}

impl<S, R> Service<Request> for HttpsRedirect<S>
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
        if let Some(target) = self.layer.target(request.uri(), request.headers()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, target);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.into_response()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(production: bool, uri: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let layer = HttpsRedirectLayer { production };
        let target = layer.target(&uri.parse().unwrap(), &headers)?;
        Some(target.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_came_over_plain_http_is_sent_to_https() {
        let host = ("host", "shop.example.com");
        let to = Some("https://shop.example.com/a?b=1".to_owned());
        let plain = ("forwarded", "for=203.0.113.7;proto=http, for=10.1.1.1");
        assert_eq!(target(false, "/a?b=1", &[host, plain]), to);
        for harmless in [
            ("forwarded", "for=203.0.113.7;proto=https"),
            ("forwarded", "for=10.1.1.1;proto=http"),
            ("x-forwarded-proto", "http"),
        ] {
            assert_eq!(target(false, "/a?b=1", &[host, harmless]), None, "{harmless:?}");
        }
        assert_eq!(target(true, "/a?b=1", &[host]), to);
        assert_eq!(
            target(true, "/a?b=1", &[host, ("x-forwarded-proto", "https")]),
            None
        );
        let leanapp = ("host", "shop.leanapp.cn:80");
        assert_eq!(
            target(false, "/", &[leanapp]).as_deref(),
            Some("https://shop.leanapp.cn:80/")
        );
        for path in ["/1.1/functions/_ops/metadatas", "/1.1/call/x", "/__engine/1/ping"] {
            assert_eq!(target(true, path, &[host, plain]), None, "{path}");
        }
    }
}
