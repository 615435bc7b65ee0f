//! Helpers that several files of tests share.

pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod skip;
