//! Moving in and moving out: the formats of LeanCloud's exports, and the form in which objects of two homes are
//! compared.
//!
//! What an object is, it stays: id, times, ACL, pointers, relations, third-party logins, password hashes. Nothing here
//! runs a hook or takes a default.

pub mod canonical;
pub mod export;
pub mod import;
mod names;
mod records;
mod rows;
mod source;

pub use export::{ExportError, ExportOptions, Exported, export};
pub use import::{ImportError, ImportOptions, ImportProgress, ImportSummary, import};
