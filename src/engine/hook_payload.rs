//! Bodies of hook calls and of their responses.

use secrecy::SecretString;

use crate::model::{ClassName, CloudError, Document, Value};

/// Keys that are not part of an object's data: older SDKs use them to recognise each other's saves, and the object of a
/// user hook states its type with them. Handlers do not see them.
pub(crate) const MARKERS: [&str; 6] = [
    "_updatedKeys",
    "__before",
    "__after",
    "__sign",
    "__type",
    "className",
];

/// The object passed to a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct HookPayload {
    /// Its class.
    pub class: ClassName,
    /// Its fields.
    pub fields: Document,
    /// Update hooks: keys that the request changes. Empty otherwise.
    pub updated_keys: Vec<String>,
}

impl HookPayload {
    /// The payload without the [`MARKERS`].
    pub(crate) fn new(class: ClassName, mut fields: Document, updated_keys: Vec<String>) -> Self {
        for marker in MARKERS {
            fields.shift_remove(marker);
        }
        Self {
            class,
            fields,
            updated_keys,
        }
    }
}

/// Session token of the user who made the request, as the storage service tells it to the hook.
pub(crate) fn session_token(user: Option<&Document>) -> Option<SecretString> {
    user?.text("sessionToken").map(SecretString::from)
}

/// Parses a hook's response body and returns the object under `result`; an empty object if there is none.
///
/// # Errors
/// 500 (code 1) if the body is not JSON or `result` is not an object.
pub(crate) fn parse_result(body: &[u8]) -> Result<Document, CloudError> {
    let unreadable =
        |reason: String| CloudError::other(format!("The hook's response: {reason}")).with_status(500);
    let mut body: Document = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    match body.shift_remove("result") {
        None | Some(Value::Null) => Ok(Document::new()),
        Some(Value::Object(result)) => Ok(Document(result)),
        Some(_) => Err(unreadable("'result' is not an object.".to_owned())),
    }
}
