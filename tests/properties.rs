//! Properties, checked on many generated cases. `PROPTEST_CASES` sets how many.

#![expect(
    clippy::unwrap_used,
    reason = "a strategy or check that is wrong must stop the test"
)]

#[path = "properties/fuzz.rs"]
mod fuzz;
#[path = "properties/model.rs"]
mod model;
#[cfg(feature = "runtime")]
#[path = "properties/storage.rs"]
mod storage;
#[path = "properties/strategies.rs"]
mod strategies;
