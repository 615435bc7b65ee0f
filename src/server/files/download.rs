//! `GET /files/<key>`: the bytes of a file, or a range of them. [`RequestedRange`] decides what of a `Range` header counts.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::content_type;
use crate::http::percent_decode;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, Query};
use crate::server::error::{internal, read_failed};
use crate::server::state::{Server, ServerState};
use crate::store::files::FileKey;

/// The policy of a file that a browser opens as a page: nothing is allowed. An uploaded page must not act for its reader.
const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// A day: the bytes of a key never change, but a file may be deleted.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Responds with a file.
pub(crate) async fn download(State(server): State<Server>, request: Request) -> Response {
    let mut response = match request.method() {
        &Method::GET | &Method::HEAD => read(
            &server.state,
            request.method(),
            request.uri().path(),
            request.headers(),
        )
        .await
        .unwrap_or_else(IntoResponse::into_response),
        &Method::OPTIONS => preflight(),
        _ => CloudError::other("Files are read by GET.")
            .with_status(405)
            .into_response(),
    };
    let headers = response.headers_mut();
    // Everybody who knows the address may read it; no response depends on the caller.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag"),
    );
    response
}

/// The response to a preflight.
fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Range, If-Range, If-None-Match, Content-Type",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Reads the row and the bytes of a file.
///
/// # Errors
/// 101 for an absent file; those of a read.
async fn read(
    state: &Arc<ServerState>,
    method: &Method,
    path: &str,
    asked: &HeaderMap,
) -> Result<Response, CloudError> {
    let absent = || CloudError::new(ErrorCode::NOT_FOUND, "There is no such file.");
    let files = state.config.files.as_ref().ok_or_else(absent)?;
    let key = percent_decode(path.strip_prefix("/files/").unwrap_or_default());
    let key = FileKey::parse(&key).map_err(|_| absent())?;
    let query = Query::new(Filter::all().eq("key", key.as_str())).limit(1);
    let rows = state.database.find(&ClassName::file(), &query).await;
    let row = rows.map_err(read_failed)?.pop().ok_or_else(absent)?;
    let size = files.size(&key).await.map_err(|error| internal(&error))?;
    let size = size.ok_or_else(absent)?;

    let mut response = Response::new(Body::empty());
    let tag = describe(&row, size, response.headers_mut())?;
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| has_tag(tags, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let wanted = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|known| known == tag));
    let (range, status) = match wanted.map_or(RequestedRange::Whole, |wanted| {
        RequestedRange::parse(wanted, size)
    }) {
        RequestedRange::Whole => (0..size, StatusCode::OK),
        RequestedRange::Range(range) => {
            let content = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            insert(response.headers_mut(), header::CONTENT_RANGE, &content)?;
            (range, StatusCode::PARTIAL_CONTENT)
        }
        RequestedRange::Unsatisfiable => {
            let refused = CloudError::other("The file has no such range.").with_status(416);
            let mut response = refused.into_response();
            insert(
                response.headers_mut(),
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            )?;
            return Ok(response);
        }
    };
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    if method == Method::GET {
        let content = files.read(&key, range).await.map_err(|error| internal(&error))?;
        *response.body_mut() = Body::from_stream(content);
    }
    Ok(response)
}

/// Adds the headers that describe a file, and returns its ETag.
fn describe(row: &Document, size: u64, headers: &mut HeaderMap) -> Result<String, CloudError> {
    let content_type = row.text("mime_type").unwrap_or(content_type::UNKNOWN);
    let content_type =
        HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static(content_type::UNKNOWN));
    let shown = content_type.to_str().is_ok_and(content_type::is_harmless);
    // A PDF viewer does not work in a sandbox, and runs no script of the page around it.
    if !content_type
        .to_str()
        .is_ok_and(|kind| kind.starts_with("application/pdf"))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, NOTHING_ALLOWED);
    }
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, CACHED);
    let kind = if shown { "inline" } else { "attachment" };
    let name = utf8_percent_encode(row.text("name").unwrap_or("file"), NON_ALPHANUMERIC);
    insert(
        headers,
        header::CONTENT_DISPOSITION,
        &format!("{kind}; filename*=UTF-8''{name}"),
    )?;
    let tag = format!("\"{}-{size:x}\"", row.text("objectId").unwrap_or_default());
    insert(headers, header::ETAG, &tag)?;
    Ok(tag)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), CloudError> {
    headers.insert(
        name,
        HeaderValue::try_from(value).map_err(|error| internal(&error))?,
    );
    Ok(())
}

/// True if a list of ETags has this one; weak comparison.
fn has_tag(tags: &str, tag: &str) -> bool {
    tags.split(',')
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}

/// The part of a file that a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRange {
    Whole,
    Range(Range<u64>),
    /// A range beyond the end of the file (416).
    Unsatisfiable,
}

impl RequestedRange {
    /// Reads a `Range` header. A malformed one, one of another unit, and several ranges at once count as none: the response
    /// is the whole file, as RFC 9110 allows.
    fn parse(text: &str, size: u64) -> Self {
        let Some((first, last)) = text
            .strip_prefix("bytes=")
            .filter(|ranges| !ranges.contains(','))
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let range = match (first.trim(), last.trim()) {
            ("", last) => last
                .parse()
                .ok()
                .map(|count: u64| size.saturating_sub(count)..size),
            (first, "") => first.parse().ok().map(|first| first..size),
            (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) if first <= last => Some(first..last.saturating_add(1).min(size)),
                _ => None,
            },
        };
        match range {
            None => Self::Whole,
            Some(range) if range.start < range.end => Self::Range(range),
            Some(_) => Self::Unsatisfiable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_range_is_ignored_and_unsatisfiable_is_refused() {
        for (text, size, part) in [
            ("bytes=0-3", 10, RequestedRange::Range(0..4)),
            ("bytes=4-", 10, RequestedRange::Range(4..10)),
            ("bytes=-3", 10, RequestedRange::Range(7..10)),
            ("bytes=-30", 10, RequestedRange::Range(0..10)),
            ("bytes=8-100", 10, RequestedRange::Range(8..10)),
            ("bytes=10-", 10, RequestedRange::Unsatisfiable),
            ("bytes=-0", 10, RequestedRange::Unsatisfiable),
            ("bytes=0-", 0, RequestedRange::Unsatisfiable),
            ("bytes=5-4", 10, RequestedRange::Whole),
            ("bytes=0-1,3-4", 10, RequestedRange::Whole),
            ("lines=0-1", 10, RequestedRange::Whole),
            ("bytes=x-y", 10, RequestedRange::Whole),
            ("bytes=0-18446744073709551615", 10, RequestedRange::Range(0..10)),
            ("bytes=99999999999999999999-", 10, RequestedRange::Whole),
        ] {
            assert_eq!(RequestedRange::parse(text, size), part, "{text} of {size}");
        }
    }

    #[test]
    fn etag_list_matches_weakly() {
        assert!(has_tag("\"a\", W/\"b\"", "\"b\"") && has_tag("*", "\"b\""));
        assert!(!has_tag("\"a\"", "\"b\"") && !has_tag("", "\"b\""));
    }
}
