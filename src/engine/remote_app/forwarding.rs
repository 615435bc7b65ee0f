//! Forwarding of clients' calls to the remote app.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

use super::{RemoteApp, origin_headers, read_response, unreachable};
use crate::http::REQUEST_ID;
use crate::model::CloudError;

/// Headers that are not forwarded: hop-by-hop headers, and those that this server sets itself, about the client's
/// address and about the right to read the response.
const DROPPED_HEADERS: [&str; 16] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
    "accept-encoding",
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-request-id",
];

impl RemoteApp {
    /// Forwards a client's call unchanged, and returns the app's response.
    ///
    /// # Errors
    /// 503 (code 124) after `timeout`; 503 if the app cannot be reached.
    pub(crate) async fn forward(
        &self,
        parts: &Parts,
        body: Bytes,
        client_address: Option<&str>,
        request_id: &str,
        timeout: Duration,
    ) -> Result<Response, CloudError> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = forwarded_headers(&parts.headers);
        headers.extend(origin_headers(client_address));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        let request = self
            .0
            .http
            .request(parts.method.clone(), format!("{}{path}", self.0.url))
            .headers(headers)
            .timeout(timeout)
            .body(body);
        let remote_response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = remote_response.status();
        let headers = forwarded_headers(remote_response.headers());
        let body = read_response(remote_response).await?;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn forwarded_headers(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| !DROPPED_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
