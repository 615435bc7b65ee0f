//! `$nearSphere` and `$within`.

use serde_json::{Map, json};

use crate::model::{CloudError, GeoPoint, Test, Value};

/// A part of the earth's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// What is at most so far away from a point.
    Circle {
        /// The point.
        centre: GeoPoint,
        /// The distance in radians, 0 to π.
        radians: f64,
    },
    /// From the south-western to the north-eastern corner; across the date line where the west is east of the east.
    Box {
        /// The lower left corner.
        southwest: GeoPoint,
        /// The upper right corner.
        northeast: GeoPoint,
    },
}

impl Test {
    /// The area outside of which no point passes this test; `None` for what is no test of points. A least distance is
    /// not taken into account.
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

/// The operators that stand together in one test.
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

/// The tests that geo operators stand for, checked and in uniform form: the distances with their centre, and a box.
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

/// Whether `value` is a point within the bounds of a test.
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

/// A corner: a point, or a pair of numbers in MongoDB's order, longitude and latitude.
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
