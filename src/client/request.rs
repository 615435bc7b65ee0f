//! A request before it is signed: what is asked for, and what repeating it would do.

use bytes::Bytes;
use http::Method;

use crate::client::Idempotent;
use crate::model::limits::BODY_BYTES_MAX;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// Bytes of a URL at most: what the usual proxies take. A longer query goes through `/batch`; a longer condition of a
/// single write is refused here, before a proxy does it in words that nobody can read.
const URL_BYTES_MAX: usize = 8000;

/// One call of the API.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    /// With `/1.1`, encoded.
    pub(super) path: String,
    /// Not yet encoded.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Document>,
    pub(super) idempotent: Idempotent,
    /// Signed with the master key, whatever the handle says.
    pub(super) master: bool,
}

impl Request {
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

    /// The whole URL.
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
                "The URL would be {} bytes long, more than the {URL_BYTES_MAX} that servers take: send it in a batch.",
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
            .map_err(|error| CloudError::new(ErrorCode::INVALID_JSON, format!("No JSON: {error}.")))?;
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

/// Percent-encodes like JavaScript's `encodeURIComponent`: a blank is `%20`, a plus sign `%2B`.
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

/// A document from pairs.
pub(super) fn document<const N: usize>(fields: [(&str, Value); N]) -> Document {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
