//! A live app, copied over the REST API and followed until it has moved.
//!
//! A *round* reads every class in the order of `updatedAt`, from where the round before has ended less a minute
//! ([`walk`]). So the first round is the copy of everything, and each further one brings what was written since. How
//! far a class has been read is kept in the transaction that loads what was read: a process that is killed goes on from
//! there, and what it reads twice is loaded twice to the same effect.
//!
//! A walk by `updatedAt` and no scan, because a scan can neither be resumed nor ask for a page again: its position is
//! a cursor of the server's that lives for ten minutes. Scans serve where all of a class is to be seen at once: for
//! the sets of ids ([`gone`]), which tell what was deleted, and for the [proof](crate::migration::proof).
//!
//! What it costs, in requests: one for each thousand objects, whatever their class; one for each object and relation
//! column, since the API shows a relation by one query for each owner; one for each thousand ids, whenever the sets of
//! ids are compared. A round after the first reads what has changed alone, and two requests for each class.
//!
//! What the API never shows (password hashes, session tokens) is kept where an import has brought it.
//!
//! Nothing is written at the source before the [cut-over](cut_over).

pub mod classes;
pub mod cut_over;
pub mod error;
pub mod gone;
pub mod homes;
pub mod kept_files;
pub mod observer;
pub mod pace;
pub mod puller;
pub mod round;
pub mod row;
pub mod source;
pub mod walk;

pub use cut_over::{CutOver, Moved};
pub use error::PullError;
pub use gone::Gone;
pub use homes::OldHome;
pub use kept_files::KeptFiles;
pub use observer::{Event, Observer};
pub use puller::{Following, Puller};
pub use round::Round;
pub use source::{Source, SourceError};
