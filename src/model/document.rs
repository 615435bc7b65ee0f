//! An object of a class, in its REST form.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::model::{ObjectId, Timestamp, Value};

/// An object: its fields by name, in the order of their first write. `objectId`, `createdAt`, `updatedAt` and `ACL`
/// are ordinary entries.
///
/// Dereferences to the map. The methods below read the keys that every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Map<String, Value>);

impl Document {
    /// An object without fields. A GET of an absent object returns it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id, if it is present and well-formed.
    #[must_use]
    pub fn object_id(&self) -> Option<ObjectId> {
        ObjectId::parse(self.get("objectId")?.as_str()?).ok()
    }

    /// Time of creation, if present.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.get("createdAt")?.as_str()?).ok()
    }

    /// Time of the last write, if present.
    #[must_use]
    pub fn updated_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.get("updatedAt")?.as_str()?).ok()
    }

    /// A field as text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// A field as an integer: a JSON integer, or a double without a fraction within ±(2^53 − 1).
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        crate::model::value::as_integer(self.get(key)?)
    }

    /// The document as a JSON value.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

impl Deref for Document {
    type Target = Map<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Document {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Map<String, Value>> for Document {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl FromIterator<(String, Value)> for Document {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn common_fields_are_read() {
        let fields = json!({
            "objectId": "x",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "2026-01-02T00:00:00.000Z",
            "name": "n",
            "count": 7.0,
        });
        let document: Document = fields.as_object().cloned().unwrap().into();
        let time = |text: &str| Timestamp::parse(text).ok();
        assert_eq!(document.object_id(), ObjectId::parse("x").ok());
        assert_eq!(document.created_at(), time("2026-01-01T00:00:00Z"));
        assert_eq!(document.updated_at(), time("2026-01-02T00:00:00Z"));
        assert_eq!((document.text("name"), document.text("count")), (Some("n"), None));
        assert_eq!(
            (document.integer("count"), document.integer("name")),
            (Some(7), None)
        );
        assert_eq!(document.into_value(), fields);
        let empty = Document::new();
        assert_eq!(
            (empty.object_id(), empty.created_at(), empty.updated_at()),
            (None, None, None)
        );
    }
}
