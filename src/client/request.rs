//! A request before it is signed: method, path, parameters, body, and the effect of a repetition.

use bytes::Bytes;
use http::Method;

use crate::client::Idempotent;
use crate::model::limits::BODY_BYTES_MAX;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// Longest URL in bytes that common proxies accept. A longer query is sent through `/batch`; a longer condition of a
/// single write is refused here, with a clearer text than a proxy's.
const URL_BYTES_MAX: usize = 8000;

/// One call of the API.
#[derive(Clone)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// The path with `/1.1`, encoded.
    pub(super) path: String,
    /// The parameters, not yet encoded.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Document>,
    pub(super) idempotent: Idempotent,
    /// True if the request is signed with the master key even if the handle has no master rights.
    pub(super) master: bool,
}

impl ApiRequest {
    pub(super) fn new(method: Method, path: impl Into<String>, idempotent: Idempotent) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            idempotent,
            master: false,
        }
    }

    /// A read.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Idempotent::Yes)
    }

    pub(super) fn with_query(mut self, query: Vec<(&'static str, String)>) -> Self {
        self.query.extend(query);
        self
    }

    pub(super) fn with_body(mut self, body: Document) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn with_master(mut self, master: bool) -> Self {
        self.master = master;
        self
    }

    /// The full URL.
    pub(super) fn url(&self, base_url: &str) -> Result<String, CloudError> {
        let mut url = format!("{base_url}{}", self.path);
        for (index, (key, value)) in self.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            encode_into(&mut url, value);
        }
        if url.len() > URL_BYTES_MAX {
            return Err(CloudError::other(format!(
                "The URL would be {} bytes long, more than the {URL_BYTES_MAX} that servers accept: send it in a batch.",
                url.len()
            )));
        }
        Ok(url)
    }

    /// The body as JSON text.
    pub(super) fn body_text(&self) -> Result<Option<Bytes>, CloudError> {
        let Some(body) = &self.body else {
            return Ok(None);
        };
        let text = serde_json::to_vec(body)
            .map_err(|error| CloudError::new(ErrorCode::INVALID_JSON, format!("Not JSON: {error}.")))?;
        if text.len() > BODY_BYTES_MAX {
            return Err(CloudError::new(
                ErrorCode::PAYLOAD_TOO_LARGE,
                format!(
                    "The body is {} bytes long, the limit is {BODY_BYTES_MAX}.",
                    text.len()
                ),
            ));
        }
        Ok(Some(Bytes::from(text)))
    }
}

/// Percent-encodes like JavaScript's `encodeURIComponent`: a space is `%20`, a plus sign `%2B`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode_into(&mut encoded, text);
    encoded
}

fn encode_into(encoded: &mut String, text: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => encoded.push(char::from(byte)),
            _ => {
                encoded.push('%');
                encoded.push(HEX[usize::from(byte >> 4)]);
                encoded.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
}

/// Makes a document from pairs.
pub(super) fn document<const N: usize>(fields: [(&str, Value); N]) -> Document {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
