//! Normalization of values from requests into the one form in which they are stored and compared.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::{Map, Number};

use crate::model::value::{GeoPoint, Pointer, Value};
use crate::model::{ClassName, CloudError, ErrorCode, Timestamp, limits};

/// Accepts base64 with or without padding, as clients send both.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks a value and every `__type` in it, and normalizes it: dates in UTC to the millisecond, bytes in padded
/// base64, pointers without expanded fields, pointers to `_File` as files, geo points in doubles, integers beyond 64
/// bits as doubles.
///
/// # Errors
/// 106 (pointer), 107 (malformed), 121 (a nested key contains `$` or `.`), 302 (geo point).
pub fn normalize(value: &mut Value) -> Result<(), CloudError> {
    normalize_at(value, 0)
}

fn normalize_at(value: &mut Value, depth: usize) -> Result<(), CloudError> {
    if depth > limits::VALUE_DEPTH_MAX {
        return Err(CloudError::malformed(format!(
            "A value is nested deeper than {} levels.",
            limits::VALUE_DEPTH_MAX
        )));
    }
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => {
            if let (None, Some(_), Some(double)) = (number.as_i64(), number.as_u64(), number.as_f64())
                && let Some(double) = Number::from_f64(double)
            {
                *number = double;
            }
            Ok(())
        }
        Value::Array(elements) => elements
            .iter_mut()
            .try_for_each(|element| normalize_at(element, depth + 1)),
        Value::Object(fields) => {
            if fields.contains_key("__type") {
                if let Some(uniform) = normalize_typed(fields, depth)? {
                    *value = uniform;
                }
                return Ok(());
            }
            normalize_fields(fields, depth)
        }
    }
}

fn normalize_fields(fields: &mut Map<String, Value>, depth: usize) -> Result<(), CloudError> {
    for (key, field) in fields.iter_mut() {
        check_nested_key(key)?;
        normalize_at(field, depth + 1)?;
    }
    Ok(())
}

/// The normalized form of an object with a `__type`; `None` if it was normalized in place.
fn normalize_typed(fields: &mut Map<String, Value>, depth: usize) -> Result<Option<Value>, CloudError> {
    let Some(Value::String(name)) = fields.get("__type") else {
        return Err(CloudError::malformed("'__type' must be text.".to_owned()));
    };
    let text = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| CloudError::malformed(format!("A {name} needs '{key}' as text.")))
    };
    Ok(Some(match name.as_str() {
        "Date" => {
            let iso = Timestamp::parse(text("iso")?)?.to_string();
            serde_json::json!({"__type": "Date", "iso": iso})
        }
        "Bytes" => {
            let base64: String = text("base64")?.split_ascii_whitespace().collect();
            let bytes = LENIENT
                .decode(base64)
                .map_err(|error| CloudError::malformed(format!("Invalid base64 in Bytes: {error}.")))?;
            serde_json::json!({"__type": "Bytes", "base64": STANDARD.encode(bytes)})
        }
        "Pointer" => match Pointer::parse_fields(fields)? {
            file if file.class_name == ClassName::file() => {
                serde_json::json!({"__type": "File", "id": file.object_id.as_str()})
            }
            pointer => pointer.to_value(),
        },
        "GeoPoint" => GeoPoint::parse_fields(fields)?.to_value(),
        "Relation" => serde_json::json!({"__type": "Relation", "className": text("className")?}),
        "File" => {
            text("objectId").or_else(|_| text("id"))?;
            normalize_fields(fields, depth)?;
            return Ok(None);
        }
        "Object" => {
            normalize_fields(fields, depth)?;
            return Ok(None);
        }
        unknown => return Err(CloudError::malformed(format!("Unknown __type '{unknown}'."))),
    }))
}

/// Checks a key inside an object.
///
/// # Errors
/// [`ErrorCode::INVALID_NESTED_KEY`] (121) if it contains `$`, `.` or a NUL.
pub fn check_nested_key(key: &str) -> Result<(), CloudError> {
    if key.contains(['$', '.', '\0']) {
        return Err(CloudError::new(
            ErrorCode::INVALID_NESTED_KEY,
            format!("Invalid nested key '{key}': keys inside objects hold neither '$' nor '.'."),
        ));
    }
    Ok(())
}
