//! What several files of tests share.

pub mod program;
