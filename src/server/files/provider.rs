//! The storage provider that an upload is made for.

use crate::model::Document;
use crate::server::context::Context;

/// The first version of the JavaScript SDK that sends to the address in the response, whatever the provider.
const NODE_JS_SDK: (u32, u32) = (3, 5);

/// The storage provider whose form of an upload the client is to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// Takes one PUT.
    S3,
    /// Takes a form, or parts.
    Qiniu,
}

impl Provider {
    /// The provider's name in the SDKs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Qiniu => "qiniu",
        }
    }

    /// Chooses a provider whose form the client can send. A mini-program can send forms only, and its SDK sends them to
    /// Qiniu alone; so does the JavaScript SDK in Node.js with a stream. The C# SDK fails with S3 if the file has no known
    /// type; to Qiniu it sends parts.
    ///
    /// No other client gets Qiniu: the Python SDK and older JavaScript SDKs would send to Qiniu's own servers.
    pub(super) fn of(context: &Context, body: &Document) -> Self {
        let has_type = body.text("mime_type").is_some();
        let sends_streams = context
            .node_js_sdk()
            .is_some_and(|version| version >= NODE_JS_SDK);
        if context.is_mini_program() || sends_streams || (context.is_c_sharp() && !has_type) {
            Self::Qiniu
        } else {
            Self::S3
        }
    }
}
