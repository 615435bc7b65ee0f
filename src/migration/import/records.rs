//! Records of a file, one after the other, in constant memory. An unreadable record is a record too: the reader continues
//! behind it.

mod bson;
mod csv;
mod format_detection;
mod json_array;
mod json_lines;
mod record;
mod unreadable;

pub(super) use format_detection::open;
pub(super) use record::{Position, Record, RecordContent};
