//! A response, before it is written as HTTP or as an element of a batch.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Map;

use crate::http::json_response;
use crate::model::{Document, Timestamp, Value};

/// The response to one request.
#[derive(Debug)]
pub(super) struct ApiResponse {
    status: StatusCode,
    /// `Location`: the path of a created object.
    location: Option<String>,
    /// `Last-Modified`: the time of the last write to the object, or to the listed class.
    last_modified: Option<Timestamp>,
    body: Value,
}

impl ApiResponse {
    /// 200.
    pub(super) fn ok(body: impl Into<Value>) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            last_modified: None,
            body: body.into(),
        }
    }

    /// 200 with an object; `{}` for `None`.
    pub(super) fn object(object: Option<Document>) -> Self {
        // A batch shows it as `null`.
        let body = object.map_or(Value::Null, Document::into_value);
        Self::ok(body)
    }

    /// 201.
    pub(super) fn created(location: String, body: Document) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(location),
            ..Self::ok(body.into_value())
        }
    }

    /// Adds the time of the last write.
    pub(super) fn modified_at(self, last_modified: Option<Timestamp>) -> Self {
        Self {
            last_modified,
            ..self
        }
    }

    /// The body, if it is an object.
    pub(super) fn fields_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.body.as_object_mut()
    }

    /// The body, for `success` in a batch.
    pub(super) fn into_success(self) -> Value {
        self.body
    }

    /// The response as HTTP.
    pub(super) fn into_response(self) -> Response {
        let body = match self.body {
            Value::Null => Value::Object(serde_json::Map::new()),
            body => body,
        };
        let mut response = json_response(self.status, &body);
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|path| HeaderValue::try_from(path).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(time) = self.last_modified.and_then(http_date) {
            headers.insert(header::LAST_MODIFIED, time);
        }
        response
    }
}

/// An HTTP date in LeanCloud's form, with milliseconds.
fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
    let text = time.strftime("%a, %d %b %Y %H:%M:%S%.3f GMT").to_string();
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_modified_has_milliseconds() {
        let time = Timestamp::parse("2019-09-19T04:45:57.890Z").unwrap();
        assert_eq!(http_date(time).unwrap(), "Thu, 19 Sep 2019 04:45:57.890 GMT");
    }
}
