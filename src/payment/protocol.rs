//! The payment protocol, pure: it imports the data model only, and what it needs of time and names is an argument.

pub mod effect;
pub mod error;
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
