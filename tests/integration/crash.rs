//! The real program, killed: at random moments under load, and at every single write of every kind of payment.

mod load;
// A release build cannot be told to stop at a write.
#[cfg(debug_assertions)]
mod matrix;
