//! A request to the API, from the wire or from a batch.

use crate::model::{CloudError, Document};

/// One request to an endpoint. Its path is passed beside it.
#[derive(Debug)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// Parameters of the query string, or `params` of a batch's request, whose values need not be text.
    pub(super) parameters: Document,
    pub(super) body: Document,
}

/// The methods of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// The method of this name; `HEAD` is a `GET`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// 405: the path does not take this method.
    pub(super) fn not_allowed(self) -> CloudError {
        let name = match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        };
        CloudError::other(format!("This path does not take {name}.")).with_status(405)
    }
}
