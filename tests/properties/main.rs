//! Properties, checked on many generated cases. `PROPTEST_CASES` sets their number.

#![expect(
    clippy::unwrap_used,
    reason = "a strategy or check that is wrong must stop the test"
)]

mod fuzz;
mod model;
#[cfg(feature = "runtime")]
mod storage;
mod strategies;
