//! Values and their typed forms (`__type`).

mod compare;
mod kind;
mod normal;
pub mod wire;

pub use compare::{compare, compare_numbers, equal};
pub use kind::Kind;
pub use normal::{check_nested_key, normalize};

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{ClassName, CloudError, ErrorCode, ObjectId};

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Pointer {
    /// The class of the object pointed to.
    #[serde(rename = "className")]
    pub class_name: ClassName,
    /// The id of the object pointed to; whether it exists is not checked.
    #[serde(rename = "objectId")]
    pub object_id: ObjectId,
}

/// `{"__type":"GeoPoint","latitude","longitude"}`, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct GeoPoint {
    /// −90 to 90.
    pub latitude: f64,
    /// −180 to 180.
    pub longitude: f64,
}

impl Pointer {
    /// The wire form, with `__type`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::json!({
            "__type": "Pointer",
            "className": self.class_name.as_str(),
            "objectId": self.object_id.as_str(),
        })
    }

    /// Reads the wire form; what an expanded pointer holds besides is ignored.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_POINTER`] (106).
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        value
            .as_object()
            .map_or_else(|| Err(Self::invalid()), Self::parse_fields)
    }

    fn invalid() -> CloudError {
        CloudError::new(
            ErrorCode::INVALID_POINTER,
            r#"Malformed pointer: {"__type":"Pointer","className":…,"objectId":…} is expected."#,
        )
    }

    fn parse_fields(fields: &serde_json::Map<String, Value>) -> Result<Self, CloudError> {
        let invalid = Self::invalid;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).ok_or_else(invalid);
        if text("__type")? != "Pointer" {
            return Err(invalid());
        }
        Ok(Self {
            class_name: ClassName::parse(text("className")?).map_err(|_| invalid())?,
            object_id: ObjectId::parse(text("objectId")?).map_err(|_| invalid())?,
        })
    }
}

impl GeoPoint {
    /// The earth's radius that LeanCloud's clients reckon with, in kilometres.
    pub const EARTH_KILOMETERS: f64 = 6371.0;
    /// The same in miles.
    pub const EARTH_MILES: f64 = 3958.8;

    /// The wire form, with `__type`; always doubles.
    #[must_use]
    pub fn to_value(self) -> Value {
        serde_json::json!({
            "__type": "GeoPoint",
            "latitude": self.latitude,
            "longitude": self.longitude,
        })
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_GEO_POINT`] (302) where a number is missing or out of range.
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        value
            .as_object()
            .map_or_else(|| Err(Self::invalid()), Self::parse_fields)
    }

    fn invalid() -> CloudError {
        CloudError::new(ErrorCode::INVALID_GEO_POINT, "Invalid GeoPoint values.")
    }

    fn parse_fields(fields: &serde_json::Map<String, Value>) -> Result<Self, CloudError> {
        let invalid = Self::invalid;
        let degrees = |key: &str, max: f64| {
            let number = fields.get(key).and_then(Value::as_f64).ok_or_else(invalid)?;
            if number.abs() <= max {
                Ok(number)
            } else {
                Err(invalid())
            }
        };
        if fields.get("__type").and_then(Value::as_str) != Some("GeoPoint") {
            return Err(invalid());
        }
        Ok(Self {
            latitude: degrees("latitude", 90.0)?,
            longitude: degrees("longitude", 180.0)?,
        })
    }

    /// The great-circle distance in radians.
    #[must_use]
    pub fn radians_to(self, other: Self) -> f64 {
        let latitude = (other.latitude - self.latitude).to_radians() / 2.0;
        let longitude = (other.longitude - self.longitude).to_radians() / 2.0;
        let cosines = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let chord = latitude.sin().powi(2) + cosines * longitude.sin().powi(2);
        2.0 * chord.sqrt().min(1.0).asin()
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Serialize for GeoPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
