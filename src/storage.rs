//! Storage engines: implementations of the ports of [`store`](crate::store).
//!
//! Every engine uses the one evaluator of [`model`](crate::model): no database decides what an operation does to a
//! document or whether a filter matches. [`memory`] is that evaluator over a map, the oracle that the others are
//! tested against; [`sqlite`] keeps documents on disk; [`files`] keeps the bytes of files.

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
