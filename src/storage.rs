//! Engines behind the ports of [`store`](crate::store): where documents are kept.
//!
//! Every engine decides with the one evaluator of [`model`](crate::model): what an operation does to a document and
//! whether a filter matches is never decided by a database. [`memory`] is that evaluator over a map, the oracle that
//! the others are held against; [`sqlite`] keeps documents on disk. [`files`] keeps the bytes of files.

mod change;
pub mod files;
mod index_value;
mod loaded_object;
pub mod memory;
mod sql;
pub mod sqlite;

pub use files::FolderFiles;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
