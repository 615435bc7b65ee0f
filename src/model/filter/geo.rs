//! `$nearSphere` and `$within`.

use serde_json::{Map, json};

use crate::model::{CloudError, GeoPoint, Test, Value};

/// An area of the earth's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// All points within a distance of a centre.
    Circle {
        /// The centre.
        centre: GeoPoint,
        /// The distance in radians, 0 to π.
        radians: f64,
    },
    /// A `$box`. It may cross the date line.
    Box {
        /// The south-western corner.
        southwest: GeoPoint,
        /// The north-eastern corner.
        northeast: GeoPoint,
    },
}

impl Test {
    /// An area that holds every point that passes the test; `None` for tests of other values. Ignores minimum
    /// distances.
    #[must_use]
    pub fn area(&self) -> Option<Area> {
        let Self::Geo(bounds) = self else { return None };
        if let Some(region) = bounds.get("$within") {
            let Region { southwest, northeast } = Region::parse(region).ok()?;
            return Some(Area::Box { southwest, northeast });
        }
        let centre = GeoPoint::parse(bounds.get("$nearSphere")?).ok()?;
        let bounds = bounds.as_object()?.iter();
        let radians = bounds
            .filter(|(name, _)| name.starts_with("$max"))
            .filter_map(|(name, distance)| radians(name, distance).ok())
            .fold(std::f64::consts::PI, f64::min);
        Some(Area::Circle { centre, radians })
    }
}

/// The operators that form one test together.
pub(super) const OPERATORS: [&str; 10] = [
    "$nearSphere",
    "$maxDistance",
    "$maxDistanceInMiles",
    "$maxDistanceInKilometers",
    "$maxDistanceInRadians",
    "$minDistance",
    "$minDistanceInMiles",
    "$minDistanceInKilometers",
    "$minDistanceInRadians",
    "$within",
];

/// Parses geo operators into normalized tests: the distances with their centre, and a box.
pub(super) fn parse(operators: &Map<String, Value>) -> Result<Vec<Value>, CloudError> {
    let mut tests = Vec::new();
    let mut near = Map::new();
    for name in OPERATORS {
        let Some(operand) = operators.get(name) else {
            continue;
        };
        let operand = match name {
            "$within" => Region::parse(operand)?.to_value(),
            "$nearSphere" => GeoPoint::parse(operand)?.to_value(),
            _ if operand.as_f64().is_some_and(|distance| distance >= 0.0) => operand.clone(),
            _ => {
                return Err(CloudError::malformed(format!(
                    "{name} needs a distance of at least 0."
                )));
            }
        };
        if name == "$within" {
            tests.push(json!({ name: operand }));
        } else {
            near.insert(name.to_owned(), operand);
        }
    }
    if !near.is_empty() {
        if !near.contains_key("$nearSphere") {
            return Err(CloudError::malformed(
                "A distance needs $nearSphere beside it.".to_owned(),
            ));
        }
        tests.insert(0, Value::Object(near));
    }
    Ok(tests)
}

/// True if `value` is a point within the bounds of a test.
pub(super) fn within(bounds: &Value, value: &Value) -> Result<bool, CloudError> {
    let Ok(point) = GeoPoint::parse(value) else {
        return Ok(false);
    };
    let bounds = bounds
        .as_object()
        .ok_or_else(|| CloudError::malformed("A geo test must be an object.".to_owned()))?;
    for (name, operand) in bounds {
        let inside = match name.as_str() {
            "$within" => Region::parse(operand)?.holds(point),
            "$nearSphere" => true,
            _ => {
                let centre = bounds.get("$nearSphere").ok_or_else(|| {
                    CloudError::malformed("A distance needs $nearSphere beside it.".to_owned())
                })?;
                let distance = GeoPoint::parse(centre)?.radians_to(point);
                let bound = radians(name, operand)?;
                if name.starts_with("$max") {
                    distance <= bound
                } else {
                    distance >= bound
                }
            }
        };
        if !inside {
            return Ok(false);
        }
    }
    Ok(true)
}

fn radians(operator: &str, distance: &Value) -> Result<f64, CloudError> {
    let distance = distance
        .as_f64()
        .ok_or_else(|| CloudError::malformed(format!("{operator} needs a number.")))?;
    Ok(if operator.ends_with("InMiles") {
        distance / GeoPoint::EARTH_MILES
    } else if operator.ends_with("InKilometers") {
        distance / GeoPoint::EARTH_KILOMETERS
    } else {
        distance
    })
}

/// Parses a corner: a point, or `[longitude, latitude]` in MongoDB's order.
fn corner(value: &Value) -> Result<GeoPoint, CloudError> {
    match value.as_array().map(Vec::as_slice) {
        Some([longitude, latitude]) => {
            GeoPoint::parse(&json!({"__type": "GeoPoint", "longitude": longitude, "latitude": latitude}))
        }
        _ => GeoPoint::parse(value),
    }
}

/// A box from its south-western to its north-eastern corner; it may cross the date line.
struct Region {
    southwest: GeoPoint,
    northeast: GeoPoint,
}

impl Region {
    fn parse(operand: &Value) -> Result<Self, CloudError> {
        match operand.get("$box").and_then(Value::as_array).map(Vec::as_slice) {
            Some([southwest, northeast]) if operand.as_object().is_some_and(|operand| operand.len() == 1) => {
                Ok(Self {
                    southwest: corner(southwest)?,
                    northeast: corner(northeast)?,
                })
            }
            _ => Err(CloudError::malformed(
                r#"$within needs {"$box": [southwest, northeast]}."#.to_owned(),
            )),
        }
    }

    fn to_value(&self) -> Value {
        json!({"$box": [self.southwest.to_value(), self.northeast.to_value()]})
    }

    fn holds(&self, point: GeoPoint) -> bool {
        let (west, east) = (self.southwest.longitude, self.northeast.longitude);
        let across = if west <= east {
            (west..=east).contains(&point.longitude)
        } else {
            point.longitude >= west || point.longitude <= east
        };
        across && (self.southwest.latitude..=self.northeast.latitude).contains(&point.latitude)
    }
}
