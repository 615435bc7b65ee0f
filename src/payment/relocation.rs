//! Relocation of all payment data to another store, while payments go on: carries out what
//! [`moving`](crate::payment::protocol::relocation) prescribes.

mod destination;
mod relocator;
mod transfer;

pub use destination::{NewHome, Over, Placed, Placement};
pub use relocator::{Home, MoveError, Mover, Progress, Report, Stage};
