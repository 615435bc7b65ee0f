//! Files: rows of `_File`, and their bytes behind the port [`FileStore`](crate::store::files::FileStore).
//!
//! An upload is three requests, as LeanCloud's SDKs make them: `/fileTokens` makes the row and answers where the bytes
//! go (as if to S3: one PUT; as if to Qiniu, mini-programs POST a form, and C# sends parts), that request brings them,
//! `/fileCallback` says how it went. The bytes are served to everybody who knows their address, which holds 32 random
//! characters.

mod content_type;
mod create_by_name;
mod download;
mod expansion;
mod form;
mod part_upload;
mod pending_uploads;
mod rows;
mod upload;
mod upload_token;

pub(super) use create_by_name::create_by_name;
pub(super) use download::download;
pub(super) use expansion::expand_files;
pub(super) use pending_uploads::PendingUploads;
pub(super) use rows::{check_new, close_upload, create_token, key_of, remove_bytes};
pub(super) use upload::upload;
