//! A live app, copied over the REST API and followed until it has moved.
//!
//! A *round* reads every class in the order of `updatedAt`, from where the round before has ended less a minute
//! ([`incremental_read`]). So the first round is the copy of everything, and each further one brings what was written since. How
//! far a class has been read is kept in the transaction that loads what was read: a process that is killed goes on from
//! there, and what it reads twice is loaded twice to the same effect.
//!
//! A walk by `updatedAt` and no scan, because a scan can neither be resumed nor ask for a page again: its position is
//! a cursor of the server's that lives for ten minutes. Scans serve where all of a class is to be seen at once: for
//! the sets of ids ([`deletions`]), which tell what was deleted, and for the [proof](crate::migration::verification).
//!
//! What it costs, in requests: one for each thousand objects, whatever their class; one for each object and relation
//! column, since the API shows a relation by one query for each owner; one for each thousand ids, whenever the sets of
//! ids are compared. A round after the first reads what has changed alone, and two requests for each class.
//!
//! What the API never shows (password hashes, session tokens) is kept where an import has brought it.
//!
//! Nothing is written at the source before the [cut-over](cutover).

pub mod class_definitions;
pub mod cutover;
pub mod deletions;
pub mod error;
pub mod file_download;
pub mod incremental_read;
pub mod observer;
pub mod puller;
pub mod rate_limit;
pub mod row_conversion;
pub mod source;
pub mod source_and_destination;
pub mod sync_round;

pub use cutover::{Cutover, CutoverOutcome};
pub use deletions::IdComparison;
pub use error::PullError;
pub use file_download::FileDownload;
pub use observer::{Event, Observer};
pub use puller::{FollowedSource, Puller};
pub use source::{Source, SourceError};
pub use source_and_destination::SourceStore;
pub use sync_round::RoundSummary;
