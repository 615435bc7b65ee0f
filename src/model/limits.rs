//! Limits on external input, each with its reason.

/// Bytes of a request body: LeanCloud's limit for storage and functions alike.
pub const BODY_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Approximate bytes of the rows in one list response: LeanCloud leaves out further rows.
pub const LIST_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Bytes of one stored object: MongoDB's document limit.
pub const OBJECT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Objects in one relation operation; more are refused with 128.
pub const RELATION_OBJECTS_MAX: usize = 1000;

/// Levels of nesting in a filter. Bounds the stack of the parser.
pub const FILTER_DEPTH_MAX: usize = 32;

/// Columns of one class.
pub const COLUMNS_MAX: usize = 300;

/// Classes of one app.
pub const CLASSES_MAX: usize = 500;

/// Levels of nesting in a stored value, and parts of a key path: MongoDB's limit for documents.
pub const VALUE_DEPTH_MAX: usize = 100;

/// Levels of a dotted path of `include`. LeanCloud names no limit; a path along a cycle needs one.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// Levels of hooks that call each other. Apps mean a few levels; more is an endless loop.
pub const HOOK_DEPTH_MAX: u32 = 8;

/// Distance behind an array's end at which `array.<index>` may still set an element. The gap is filled with `null`.
pub const ARRAY_PADDING_MAX: usize = 10_000;

/// Bytes of an indexed value: LeanCloud's limit.
pub const INDEXED_BYTES_MAX: usize = 1024;

/// Levels of nested groups in a regular expression. Bounds the stack; the engine's own limit is higher.
pub const REGEX_DEPTH_MAX: usize = 60;

/// Backtracking steps of one regular-expression search, some tens of milliseconds. Longer searches fail with 124.
pub const REGEX_STEPS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 MB, 6 MB, 16 MB, as LeanCloud counts them.
    #[test]
    fn byte_limits_are_leancloud_s() {
        assert_eq!(BODY_BYTES_MAX, 20_971_520);
        assert_eq!(LIST_BYTES_MAX, 6_291_456);
        assert_eq!(OBJECT_BYTES_MAX, 16_777_216);
    }
}
