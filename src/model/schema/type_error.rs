//! Errors about the names and types of columns.

use super::column_type::{ColumnType, describe};
use crate::model::{CloudError, ErrorCode, Value};

/// 105: the name is reserved.
pub(super) fn reserved(name: &str) -> CloudError {
    CloudError::new(
        ErrorCode::INVALID_KEY_NAME,
        format!(
            "Invalid key name. '{name}' is reserved, in any letter case. Choose another name for the column."
        ),
    )
}

pub(super) fn incorrect_type(field: &str, value: &Value, expected: &str, found: &str) -> CloudError {
    // Long values are cut to keep the message readable.
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
        text.push('…');
    }
    CloudError::new(
        ErrorCode::INCORRECT_TYPE,
        format!(
            "Invalid value type for field '{field}',value '{text}',expect type is {expected},but it is '{found}'."
        ),
    )
}

/// 111: an operation with the operand `value` meets the stored value `stored` of another type.
pub(in crate::model) fn type_mismatch(field: &str, value: &Value, stored: &Value) -> CloudError {
    let name = |value: &Value| match ColumnType::of(value) {
        Ok(Some(column)) => column.describe(),
        Ok(None) => describe("Null"),
        Err(_) => describe("Object"),
    };
    incorrect_type(field, value, &name(stored), &name(value))
}
