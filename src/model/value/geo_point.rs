//! Points on the earth.

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{CloudError, ErrorCode, Value};

/// `{"__type":"GeoPoint","latitude","longitude"}`, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct GeoPoint {
    /// −90 to 90.
    pub latitude: f64,
    /// −180 to 180.
    pub longitude: f64,
}

impl GeoPoint {
    /// Radius of the earth in LeanCloud's clients, in kilometres.
    pub const EARTH_KILOMETERS: f64 = 6371.0;
    /// Radius of the earth in miles.
    pub const EARTH_MILES: f64 = 3958.8;

    /// The wire form, with `__type`. Coordinates are always doubles.
    #[must_use]
    pub fn to_value(self) -> Value {
        serde_json::json!({
            "__type": "GeoPoint",
            "latitude": self.latitude,
            "longitude": self.longitude,
        })
    }

    /// Parses the wire form.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_GEO_POINT`] (302) if a number is missing or out of range.
    pub fn parse(value: &Value) -> Result<Self, CloudError> {
        value
            .as_object()
            .map_or_else(|| Err(Self::invalid()), Self::parse_fields)
    }

    fn invalid() -> CloudError {
        CloudError::new(ErrorCode::INVALID_GEO_POINT, "Invalid GeoPoint values.")
    }

    pub(super) fn parse_fields(fields: &serde_json::Map<String, Value>) -> Result<Self, CloudError> {
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

impl Serialize for GeoPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}
