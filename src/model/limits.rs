//! Bounds of everything that comes from outside, each with its reason.

/// Bytes of a request body: LeanCloud's limit for storage and functions alike.
pub const BODY_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Bytes of a list's rows in one answer, about: LeanCloud leaves out what is beyond.
pub const LIST_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Bytes of one stored object: MongoDB's document limit.
pub const OBJECT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Objects in one relation operation (128 beyond).
pub const RELATION_OBJECTS_MAX: usize = 1000;

/// Levels of nesting in a filter; deeper ones are refused before they can exhaust the stack.
pub const FILTER_DEPTH_MAX: usize = 32;

/// Columns of one class.
pub const COLUMNS_MAX: usize = 300;

/// Classes of one app.
pub const CLASSES_MAX: usize = 500;

/// Levels of nesting in a stored value: MongoDB's limit for documents.
pub const VALUE_DEPTH_MAX: usize = 100;

/// Levels of a dotted path of `include`. LeanCloud names no bound; a path that follows a cycle must have one.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// Levels of hooks that call each other: what an app means to do is done after a few, and what goes on is a circle.
pub const HOOK_DEPTH_MAX: u32 = 8;

/// How far behind an array's end `array.<index>` may set an element; the gap is filled with `null`.
pub const ARRAY_PADDING_MAX: usize = 10_000;

/// Bytes of a value that an index holds: LeanCloud's limit.
pub const INDEXED_BYTES_MAX: usize = 1024;

/// Levels of nesting of groups in a regular expression. The engine's own bound would come after that of the stack.
pub const REGEX_DEPTH_MAX: usize = 60;

/// Steps of one search with a regular expression, some tens of milliseconds, before it is given up (124).
pub const REGEX_STEPS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 MB, 6 MB, 16 MB, as LeanCloud counts them.
    #[test]
    fn limits_in_bytes() {
        assert_eq!(BODY_BYTES_MAX, 20_971_520);
        assert_eq!(LIST_BYTES_MAX, 6_291_456);
        assert_eq!(OBJECT_BYTES_MAX, 16_777_216);
    }
}
