//! Import of an export: streamed, resumable, repeatable.
//!
//! The files are read in stages: definitions of classes, objects, relations, and once more the objects, to find dangling
//! pointers. One thread reads; the store's writer writes. The store keeps the progress of the import in the commit of
//! each batch: an import that is killed at any moment continues from there. Repeated after its end, it changes nothing.
//!
//! A record that cannot be imported is written to a report with file, line and reason; all others are imported.

mod batch_reader;
mod checkpoint;
mod class_definitions;
mod error;
mod file_reader;
mod importer;
mod input_files;
mod pending_batch;
mod records;
mod report;
mod row_conversion;
mod stage;
mod stage_plan;
mod summary;

pub use error::ImportError;
pub use importer::{ImportOptions, ImportProgress, ReadableExport, import};
pub use summary::{ClassCounts, ImportSummary};
