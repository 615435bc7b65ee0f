//! The type of a JSON value, `__type` included.

use serde_json::{Map, Number};

use crate::model::value::{GeoPoint, Value};
use crate::model::{ClassName, Timestamp};

/// A value by type. An object with an unknown `__type` or with unfit fields is a plain object.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "LeanCloud's names of its types")]
pub enum Kind<'a> {
    Null,
    Number(&'a Number),
    String(&'a str),
    Boolean(bool),
    Array(&'a [Value]),
    Object(&'a Map<String, Value>),
    Date(Timestamp),
    /// In base64.
    Bytes(&'a str),
    Pointer {
        class_name: &'a str,
        object_id: &'a str,
    },
    GeoPoint(GeoPoint),
    /// Id of the file. SDKs also write files as pointers to `_File`.
    File(&'a str),
    /// Class of the targets.
    Relation(&'a str),
}

impl<'a> Kind<'a> {
    /// Classifies a value.
    #[must_use]
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Boolean(*boolean),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text),
            Value::Array(elements) => Self::Array(elements),
            Value::Object(fields) => Self::of_object(fields),
        }
    }

    pub(super) fn of_object(fields: &'a Map<String, Value>) -> Self {
        Self::typed(fields).unwrap_or(Self::Object(fields))
    }

    fn typed(fields: &'a Map<String, Value>) -> Option<Self> {
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let double = |key: &str| fields.get(key).and_then(Value::as_f64);
        Some(match text("__type")? {
            "Date" => Self::Date(Timestamp::parse(text("iso")?).ok()?),
            "Bytes" => Self::Bytes(text("base64")?),
            "Pointer" => match (text("className")?, text("objectId")?) {
                (ClassName::FILE, id) => Self::File(id),
                (class_name, object_id) => Self::Pointer {
                    class_name,
                    object_id,
                },
            },
            "GeoPoint" => Self::GeoPoint(GeoPoint {
                latitude: double("latitude")?,
                longitude: double("longitude")?,
            }),
            "File" => Self::File(text("objectId").or_else(|| text("id"))?),
            "Relation" => Self::Relation(text("className")?),
            _ => return None,
        })
    }

    /// True if two values are of one type, so that `$lt` and the like compare them.
    #[must_use]
    pub fn same_bracket(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Object(_), Value::Object(_)) => Kind::of(a).rank() == Kind::of(b).rank(),
            _ => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// Rank of the type in MongoDB's order, refined among the types that MongoDB stores as objects.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) => 10,
            Self::String(_) => 20,
            Self::Object(_) => 30,
            Self::Pointer { .. } => 31,
            Self::GeoPoint(_) => 32,
            Self::File(_) => 33,
            Self::Relation(_) => 34,
            Self::Array(_) => 40,
            Self::Bytes(_) => 50,
            Self::Boolean(_) => 60,
            Self::Date(_) => 70,
        }
    }
}
