//! Pointers to objects.

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{ClassName, CloudError, ErrorCode, ObjectId, Value};

/// `{"__type":"Pointer","className","objectId"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Pointer {
    /// Class of the target.
    #[serde(rename = "className")]
    pub class_name: ClassName,
    /// Id of the target, which need not exist.
    #[serde(rename = "objectId")]
    pub object_id: ObjectId,
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

    /// Parses the wire form. Ignores the further fields of an expanded pointer.
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

    pub(super) fn parse_fields(fields: &serde_json::Map<String, Value>) -> Result<Self, CloudError> {
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

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}
