//! Redirect from plain HTTP to HTTPS.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{FromFn, Next, from_fn_with_state};
use axum::response::Response;
use futures_util::future::BoxFuture;
use tower::Layer;

use crate::http::remote_address::forwarded;

/// Middleware that redirects (302) a request to HTTPS if a proxy reports that it came over plain HTTP. For a site whose
/// TLS ends at LeanEngine's load balancer, or at a proxy that sets `Forwarded` or `X-Forwarded-Proto`.
///
/// Excludes the engine's own routes: programs call functions and hooks, and they do not follow redirects.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpsRedirectLayer {
    /// True if a request without these headers counts as plain HTTP, as in production.
    pub production: bool,
}

impl HttpsRedirectLayer {
    /// Target of the redirect; `None` if the request is not redirected.
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

/// Middleware function behind the layer.
type Middleware = fn(State<HttpsRedirectLayer>, Request, Next) -> BoxFuture<'static, Response>;

impl<S> Layer<S> for HttpsRedirectLayer {
    type Service = FromFn<Middleware, HttpsRedirectLayer, S, (State<HttpsRedirectLayer>, Request)>;

    fn layer(&self, inner: S) -> Self::Service {
        from_fn_with_state(*self, redirect_to_https as Middleware).layer(inner)
    }
}

fn redirect_to_https(
    State(layer): State<HttpsRedirectLayer>,
    request: Request,
    next: Next,
) -> BoxFuture<'static, Response> {
    let Some(target) = layer.target(request.uri(), request.headers()) else {
        return Box::pin(next.run(request));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, target);
    Box::pin(std::future::ready(response))
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
    fn plain_http_request_is_redirected() {
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
