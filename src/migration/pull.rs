//! Copy of a live app over the REST API, followed until the app has moved.
//!
//! A *round* reads every class in the order of `updatedAt`, from the end of the round before less a minute
//! ([`IncrementalRead`]). So the first round copies everything, and each further round brings what was written since.
//! The position in a class is kept in the same commit as the rows: a process that is killed continues from there, and
//! rows that are read twice are loaded twice to the same effect.
//!
//! Rounds do not use scans, because a scan can neither be resumed nor repeat a page: its position is a cursor on the
//! server that lives for ten minutes. Scans serve where a whole class is read at once: for the [comparison of
//! ids](Puller::compare_ids), which finds deletions, and for the [verification](crate::migration::verification).
//!
//! Cost in requests: one for each thousand objects of any class; one for each object and relation column, since the API
//! shows a relation by one query for each owner; one for each thousand ids, whenever ids are compared. A round after the
//! first reads only changes, with two requests for each class.
//!
//! Fields that the API never shows (password hashes, session tokens) are kept if an import has brought them.
//!
//! Nothing is written at the source before the [cutover].

mod class_definitions;
pub mod cutover;
mod deletions;
mod error;
mod file_download;
mod followed_source;
pub(super) mod id_range;
mod incremental_read;
mod observer;
pub(super) mod ordered_scan;
mod puller;
mod rate_limit;
mod row_conversion;
mod source;
mod source_and_destination;
mod sync_round;

pub use class_definitions::SourceClasses;
pub use cutover::{Cutover, CutoverOutcome};
pub use deletions::IdComparison;
pub use error::{PullError, SourceError};
pub use file_download::FileDownload;
pub use followed_source::FollowedSource;
pub use incremental_read::{IncrementalRead, OVERLAP_MILLIS, PageRequest};
pub use observer::{Event, NoObserver, Observer};
pub use ordered_scan::OrderedScan;
pub use puller::Puller;
pub use rate_limit::RateLimit;
pub use source::Source;
pub use source_and_destination::{DestinationStore, SourceStore};
pub use sync_round::{RoundSummary, RowFilter};
