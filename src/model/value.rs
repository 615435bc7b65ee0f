//! Values and their typed forms (`__type`).

use serde::{Deserialize, Serialize};

use crate::model::{ClassName, ObjectId};

/// A value in its JSON form. Typed values are objects with a `__type`.
pub type Value = serde_json::Value;

/// The largest integer that a double, and so every client, holds exactly: 2^53 − 1.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// The value as an integer: a JSON integer, or a double without a fraction, within ±[`INTEGER_MAX`].
#[must_use]
pub fn as_integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    let integer = match number.as_i64() {
        Some(integer) => integer,
        None => {
            let double = number.as_f64()?;
            if double.fract() != 0.0 || double.abs() > 9_007_199_254_740_991.0 {
                return None;
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "integral and within 2^53, checked above"
            )]
            let integer = double as i64;
            integer
        }
    };
    (integer.unsigned_abs() <= INTEGER_MAX.unsigned_abs()).then_some(integer)
}

/// `{"__type":"Pointer","className","objectId"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pointer {
    /// The class of the object pointed to.
    #[serde(rename = "className")]
    pub class_name: ClassName,
    /// The id of the object pointed to; whether it exists is not checked.
    #[serde(rename = "objectId")]
    pub object_id: ObjectId,
}

/// `{"__type":"GeoPoint","latitude","longitude"}`, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoPoint {
    /// −90 to 90.
    pub latitude: f64,
    /// −180 to 180.
    pub longitude: f64,
}
