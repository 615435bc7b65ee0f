//! Verification that an app has moved completely: both sides are compared object by object.
//!
//! Both sides are read in the order of their ids, a page at a time, so that memory is constant for any number of objects.
//! Each object is hashed in its [canonical form](crate::migration::canonical_form); the hashes of a class give the hash
//! of the class. Fields that only one side can know are omitted, and named in the report.
//!
//! The verification reads, and writes nothing, on both sides.

mod class_comparison;
mod class_report;
mod comparison_rules;
mod dangling_pointers;
mod logins;
mod money_totals;
mod report;
mod verifier;

pub use class_report::{ClassReport, Difference, DifferenceKind, RelationReport};
pub use dangling_pointers::DanglingPointers;
pub use logins::{LoginReport, NoLoginReason};
pub use money_totals::MoneyTotals;
pub use report::VerificationReport;
pub use verifier::Verifier;
