//! `GET /files/<key>`: the bytes of a file, whole or a part of them.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::content_type;
use crate::http::percent_decode;
use crate::model::{CloudError, Document, ErrorCode, Filter, Query};
use crate::server::error::{internal, read_failed};
use crate::server::state::{Server, ServerState};
use crate::store::files::FileKey;

/// What a page that is made of a file may do: nothing. Whoever uploads HTML must not act for who opens it.
const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// A day: bytes never change under a key, but a file may be deleted.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Answers with a file.
pub(crate) async fn download(State(server): State<Server>, request: Request) -> Response {
    let mut response = match request.method() {
        &Method::GET | &Method::HEAD => answer(
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
    // Everybody who knows the address may read; no answer depends on who asks.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag"),
    );
    response
}

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

async fn answer(
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
    let rows = state.database.find(&super::rows::class(), &query).await;
    let row = rows.map_err(read_failed)?.pop().ok_or_else(absent)?;
    let size = files.size(&key).await.map_err(|error| internal(&error))?;
    let size = size.ok_or_else(absent)?;

    let mut response = Response::new(Body::empty());
    let tag = describe(&row, size, response.headers_mut())?;
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let wanted = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|known| known == tag));
    let (range, status) = match wanted.map_or(Part::Whole, |wanted| Part::parse(wanted, size)) {
        Part::Whole => (0..size, StatusCode::OK),
        Part::Range(range) => {
            let content = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            insert(response.headers_mut(), header::CONTENT_RANGE, &content)?;
            (range, StatusCode::PARTIAL_CONTENT)
        }
        Part::None => {
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

/// The headers that say what a file is, and its tag.
fn describe(row: &Document, size: u64, headers: &mut HeaderMap) -> Result<String, CloudError> {
    let content_type = row.text("mime_type").unwrap_or(content_type::UNKNOWN);
    let content_type =
        HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static(content_type::UNKNOWN));
    let shown = content_type.to_str().is_ok_and(content_type::is_harmless);
    // A reader of PDF does not work in a sandbox, and holds no script of the page that it is in.
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

/// Whether a list of tags has this one.
fn names(tags: &str, tag: &str) -> bool {
    tags.split(',')
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == tag)
}

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(Range<u64>),
    /// A range that the file does not have.
    None,
}

impl Part {
    /// Reads `Range`. What is not understood, and several ranges at once, are answered with the whole file.
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
            Some(_) => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, size, part) in [
            ("bytes=0-3", 10, Part::Range(0..4)),
            ("bytes=4-", 10, Part::Range(4..10)),
            ("bytes=-3", 10, Part::Range(7..10)),
            ("bytes=-30", 10, Part::Range(0..10)),
            ("bytes=8-100", 10, Part::Range(8..10)),
            ("bytes=10-", 10, Part::None),
            ("bytes=-0", 10, Part::None),
            ("bytes=0-", 0, Part::None),
            ("bytes=5-4", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
            ("bytes=x-y", 10, Part::Whole),
            ("bytes=0-18446744073709551615", 10, Part::Range(0..10)),
            ("bytes=99999999999999999999-", 10, Part::Whole),
        ] {
            assert_eq!(Part::parse(text, size), part, "{text} of {size}");
        }
    }

    #[test]
    fn tags() {
        assert!(names("\"a\", W/\"b\"", "\"b\"") && names("*", "\"b\""));
        assert!(!names("\"a\"", "\"b\"") && !names("", "\"b\""));
    }
}
