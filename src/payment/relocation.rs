//! Relocation of all payment data to another store while payments go on. [`protocol::relocation`](crate::payment::protocol::relocation)
//! decides what is written; the [`Relocator`] here reads and writes.

mod context;
mod error;
mod filters;
mod import;
mod relocator;
mod report;
mod transfer;

pub use error::RelocationError;
pub use filters::{fenced, in_use};
pub use import::{IfExists, ImportDocument, ImportOutcome, ImportStore};
pub use relocator::Relocator;
pub use report::{RelocationProgress, RelocationReport, RelocationStage, Side};
