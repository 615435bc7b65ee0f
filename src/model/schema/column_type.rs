//! Types of columns.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::value::Kind;
use crate::model::{ClassName, CloudError, Value};

/// The type of a column. A pointer to `_File` is parsed as a file: SDKs, and so classes of earlier versions, use
/// both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", remote = "Self")]
#[expect(missing_docs, reason = "LeanCloud's names of its types")]
pub enum ColumnType {
    String,
    Number,
    Boolean,
    Date,
    Array,
    Object,
    GeoPoint,
    File,
    Bytes,
    Pointer {
        #[serde(rename = "className")]
        class_name: ClassName,
    },
    Relation {
        #[serde(rename = "className")]
        class_name: ClassName,
    },
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The inherent function derived for `remote`.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Self::deserialize(deserializer)? {
            Self::Pointer { class_name } if class_name.as_str() == ClassName::FILE => Self::File,
            other => other,
        })
    }
}

impl ColumnType {
    /// The type of a value; `None` for `null`, which fits every column.
    ///
    /// # Errors
    /// 103 if a pointer or relation names an invalid class.
    pub fn of(value: &Value) -> Result<Option<Self>, CloudError> {
        Ok(Some(match Kind::of(value) {
            Kind::Null => return Ok(None),
            Kind::Number(_) => Self::Number,
            Kind::String(_) => Self::String,
            Kind::Boolean(_) => Self::Boolean,
            Kind::Array(_) => Self::Array,
            Kind::Object(_) => Self::Object,
            Kind::Date(_) => Self::Date,
            Kind::Bytes(_) => Self::Bytes,
            Kind::GeoPoint(_) => Self::GeoPoint,
            Kind::File(_) => Self::File,
            Kind::Pointer { class_name, .. } => Self::Pointer {
                class_name: ClassName::parse(class_name)?,
            },
            Kind::Relation(class_name) => Self::Relation {
                class_name: ClassName::parse(class_name)?,
            },
        }))
    }

    /// The form in LeanCloud's error messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Pointer { class_name } => format!(r#"{{:type "Pointer", :className "{class_name}"}}"#),
            Self::Relation { class_name } => format!(r#"{{:type "Relation", :className "{class_name}"}}"#),
            Self::String => describe("String"),
            Self::Number => describe("Number"),
            Self::Boolean => describe("Boolean"),
            Self::Date => describe("Date"),
            Self::Array => describe("Array"),
            Self::Object => describe("Object"),
            Self::GeoPoint => describe("GeoPoint"),
            Self::File => describe("File"),
            Self::Bytes => describe("Bytes"),
        }
    }
}

pub(super) fn describe(name: &str) -> String {
    format!(r#"{{:type "{name}"}}"#)
}
