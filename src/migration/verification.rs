//! The proof that an app has moved whole: what is here, held against what is there, object by object.
//!
//! Both sides are read in the order of their ids, a page at a time, so that memory stays the same however many objects
//! there are. Each object is hashed in its [canonical form](crate::migration::canonical_form), and the hashes of a class make
//! the hash of the class. What only one side can know is left out, and named in the proof.
//!
//! The proof reads, and writes nothing, on either side.

mod class_report;
mod comparison_rules;
mod dangling_pointers;
mod logins;
mod money_totals;
mod report;
mod verifier;

pub use class_report::{ClassReport, Difference, DifferenceKind, Relation};
pub use dangling_pointers::DanglingPointers;
pub use logins::{LoginReport, NoLoginReason};
pub use money_totals::MoneyTotals;
pub use report::VerificationReport;
pub use verifier::Verifier;
