//! The real program, killed at random moments under load, and at each write of each kind of payment.

mod load;
// A release build has no failpoints.
#[cfg(debug_assertions)]
mod matrix;
