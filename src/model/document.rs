//! One object of a class, in the form in which the REST API shows it.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::model::{ObjectId, Timestamp, Value};

/// An object: its fields by name, in the order in which they were first written. `objectId`, `createdAt`,
/// `updatedAt` and `ACL` are ordinary entries here.
///
/// Dereferences to the map itself; the methods below are for the keys that every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Map<String, Value>);

impl Document {
    /// An object without any field; what a GET of an absent object answers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id, where there is a well-formed one.
    #[must_use]
    pub fn object_id(&self) -> Option<ObjectId> {
        ObjectId::parse(self.get("objectId")?.as_str()?).ok()
    }

    /// When the object was created, where it says so.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.get("createdAt")?.as_str()?).ok()
    }

    /// When the object was last written, where it says so.
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
