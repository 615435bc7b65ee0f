//! Files: rows of `_File`, and their bytes behind the port [`FileStore`](crate::store::files::FileStore).
//!
//! An upload is three requests, as LeanCloud's SDKs make them. `/fileTokens` makes the row and returns an address for the
//! bytes. The next request sends the bytes there: one PUT as to S3; a form (mini-programs) or parts (C#) as to Qiniu.
//! `/fileCallback` reports the result. Everybody who knows the address of a file may read it; it holds 32 random
//! characters.

pub(super) mod content_type;
mod create_by_name;
mod download;
mod expansion;
mod form;
pub(super) mod keys;
mod part_upload;
mod pending_uploads;
mod provider;
pub(super) mod rows;
mod upload;
mod upload_body;
mod upload_session;
mod upload_token;

pub(super) use create_by_name::create_by_name;
pub(super) use download::download;
pub(super) use expansion::expand_files;
pub(super) use pending_uploads::PendingUploads;
pub(super) use rows::remove_bytes;
pub(super) use upload::upload;
pub(super) use upload_session::{begin_upload, close_upload};
