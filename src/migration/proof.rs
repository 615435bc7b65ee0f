//! The proof that an app has moved whole: what is here, held against what is there, object by object.
//!
//! Both sides are read in the order of their ids, a page at a time, so that memory stays the same however many objects
//! there are. Each object is hashed in its [canonical form](crate::migration::canonical), and the hashes of a class make
//! the hash of the class. What only one side can know is left out, and named in the proof.
//!
//! The proof reads, and writes nothing, on either side.

mod class;
mod dangling;
mod logins;
mod money;
mod prover;
mod report;
mod view;

pub use class::{ClassProof, Difference, Relation, What};
pub use dangling::Dangling;
pub use logins::{Logins, NoLogin};
pub use money::Money;
pub use prover::Prover;
pub use report::Proof;
