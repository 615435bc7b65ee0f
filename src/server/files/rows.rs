//! The rows of `_File`, and the bytes that belong to them.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::{ClassName, CloudError, Filter, ObjectId};
use crate::server::context::Context;
use crate::server::error::outcome_unknown;
use crate::store::files::{FileKey, FileStore};
use crate::store::{Write, WriteOutcome};

/// The column `bucket` of the files that are kept here.
pub(in crate::server) const BUCKET: &str = "paylog";

/// The characters that are escaped in the address of a file; the slashes of a key stay.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// Deletes a row and its bytes. Without the row the bytes stay, since they may belong to another row by now.
///
/// # Errors
/// Those of a write.
pub(super) async fn take_back(context: &Context, id: &ObjectId, key: &FileKey) -> Result<(), CloudError> {
    let delete = Write::delete(&ClassName::file(), id, Filter::all());
    context.state().pending_uploads.forget(id);
    match context.database().write(delete).await {
        WriteOutcome::Applied(_) => {
            remove_bytes(context, key).await;
            Ok(())
        }
        WriteOutcome::NotMatched => Ok(()),
        WriteOutcome::Rejected(error) => Err(error),
        WriteOutcome::Unknown(reason) => Err(outcome_unknown(&reason)),
    }
}

/// Removes the bytes of a deleted row. A failure is logged: bytes without a row only cost space.
pub(crate) async fn remove_bytes(context: &Context, key: &FileKey) {
    let Some(files) = &context.state().config.files else {
        return;
    };
    if let Err(error) = files.remove(key).await {
        tracing::warn!(%error, file.key = %key, "removing the bytes of a deleted file failed");
    }
}

/// The address of a file that is kept here.
pub(super) fn url(context: &Context, key: &str) -> String {
    format!(
        "{}/files/{}",
        context.base_url(),
        utf8_percent_encode(key, ESCAPED)
    )
}

/// The store of the bytes.
///
/// # Errors
/// Code 1 if the server keeps no files.
pub(super) fn store(context: &Context) -> Result<&Arc<dyn FileStore>, CloudError> {
    let files = context.state().config.files.as_ref();
    files.ok_or_else(|| {
        CloudError::other("This server stores no files: it was started without a folder for them.")
    })
}
