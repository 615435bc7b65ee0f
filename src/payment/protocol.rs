//! The payment protocol, pure: the documents of payments, the machine that moves money, and the rules for recovery,
//! pruning, relocation and the audit.
//!
//! It imports the data model and itself, nothing else: no clock, no randomness, no I/O, no runtime. Times and names are
//! arguments. [`machine::step`] decides what is written; the driver beside this module performs it.

pub mod effect;
pub mod error;
pub mod intent;
pub mod kind;
pub mod ledger;
pub mod leg;
pub mod log;
pub mod machine;
pub mod mark;
pub mod money;
pub mod names;
pub mod order;
pub mod pruning;
pub mod recovery;
pub mod relocation;
pub mod target;
