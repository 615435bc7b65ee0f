//! Moving apps in and out: LeanCloud's export formats, the copy of a live app over its API, the canonical form of an
//! object, and the verification that nothing was lost.
//!
//! An object keeps its id, times, ACL, pointers, relations, third-party logins and password hashes. Nothing here runs a
//! hook or applies a default.

pub mod canonical_form;
pub mod export;
mod file_names;
pub mod import;
mod link_pages;
pub mod pull;
pub mod verification;

pub use export::{ExportError, ExportOptions, ExportSummary, export};
pub use import::{ImportError, ImportOptions, ImportProgress, ImportSummary, ReadableExport, import};
