//! Properties, checked on many generated cases. `PROPTEST_CASES` sets how many.

#[path = "properties/model.rs"]
mod model;
#[path = "properties/strategies.rs"]
mod strategies;
