//! Moving in and moving out: the formats of LeanCloud's exports, a live app that is copied over its API, the form in
//! which objects of two homes are compared, and the proof that nothing was lost.
//!
//! What an object is, it stays: id, times, ACL, pointers, relations, third-party logins, password hashes. Nothing here
//! runs a hook or takes a default.

pub mod canonical_form;
pub mod export;
mod file_names;
pub mod import;
pub mod pull;
pub mod verification;

pub use export::{ExportError, ExportOptions, ExportSummary, export};
pub use import::{ImportError, ImportOptions, ImportProgress, ImportSummary, ReadableExport, import};
