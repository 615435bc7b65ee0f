//! Typed values as fields of serde structs, in their wire form with `__type`.
//!
//! [`Pointer`](crate::model::Pointer), [`GeoPoint`](crate::model::GeoPoint) and, for reading, [`Timestamp`] are such
//! types already.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use crate::model::{Document, Timestamp, Value};

/// A date field: `{"__type":"Date","iso":…}`. Also accepts a bare text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Date(pub Timestamp);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({"__type": "Date", "iso": self.0}).serialize(serializer)
    }
}

/// A bytes field: `{"__type":"Bytes","base64":…}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({"__type": "Bytes", "base64": STANDARD.encode(&self.0)}).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = typed(deserializer, "Bytes")?;
        let text = fields.text("base64").unwrap_or_default();
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("the base64 of Bytes: {error}")))
    }
}

/// A file field: `{"__type":"File","objectId","name","url",…}`. Dereferences to its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct File(Document);

impl File {
    /// The URL.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.text("url")
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.text("name")
    }
}

impl std::ops::Deref for File {
    type Target = Document;
    fn deref(&self) -> &Document {
        &self.0
    }
}

impl From<Document> for File {
    fn from(mut fields: Document) -> Self {
        fields.shift_remove("__type");
        Self(fields)
    }
}

impl Serialize for File {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = self.0.clone();
        fields.insert("__type".to_owned(), "File".into());
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        typed(deserializer, "File").map(Self)
    }
}

/// The fields of a typed value of `kind`, without `__type`.
fn typed<'de, D: Deserializer<'de>>(deserializer: D, kind: &str) -> Result<Document, D::Error> {
    let mut fields = Document::deserialize(deserializer)?;
    match fields.shift_remove("__type") {
        Some(Value::String(text)) if text == kind => Ok(fields),
        _ => Err(D::Error::custom(format!(
            r#"an object with "__type": "{kind}" is expected"#
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_values_round_trip() {
        let time = json!({"__type": "Date", "iso": "2015-05-14T09:21:18.273Z"});
        let date: Date = serde_json::from_value(time.clone()).unwrap();
        assert_eq!(json!(date), time);
        assert_eq!(
            date,
            serde_json::from_value(json!("2015-05-14T09:21:18.273Z")).unwrap()
        );
        assert!(serde_json::from_value::<Date>(json!({"iso": "2015-05-14T09:21:18.273Z"})).is_err());

        let bytes = json!({"__type": "Bytes", "base64": "aGVsbG8="});
        let read: Bytes = serde_json::from_value(bytes.clone()).unwrap();
        assert_eq!((&*read.0, json!(read)), (&b"hello"[..], bytes));

        let file = json!({"name": "a.txt", "url": "http://x/a.txt", "__type": "File"});
        let read: File = serde_json::from_value(file.clone()).unwrap();
        assert_eq!(
            (read.name(), read.url(), json!(read)),
            (Some("a.txt"), Some("http://x/a.txt"), file)
        );
        assert!(serde_json::from_value::<File>(json!({"name": "a.txt"})).is_err());

        for value in [
            json!({"__type": "Pointer", "className": "Post", "objectId": "558e20cbe4b060308e3eb36c"}),
            json!({"__type": "GeoPoint", "latitude": 1.5, "longitude": 2.5}),
        ] {
            let back = match value["__type"].as_str() {
                Some("Pointer") => {
                    json!(serde_json::from_value::<crate::model::Pointer>(value.clone()).unwrap())
                }
                _ => json!(serde_json::from_value::<crate::model::GeoPoint>(value.clone()).unwrap()),
            };
            assert_eq!(back, value);
        }
    }

    #[test]
    fn file_dereferences_to_fields() {
        let fields = Document::from_iter([
            ("__type".to_owned(), json!("File")),
            ("name".to_owned(), json!("a.txt")),
            ("size".to_owned(), json!(7)),
        ]);
        let file = File::from(fields);
        assert_eq!((file.name(), file.integer("size")), (Some("a.txt"), Some(7)));
        assert!(!file.contains_key("__type"));
        assert_eq!(json!(file), json!({"name": "a.txt", "size": 7, "__type": "File"}));
        let other = json!({"__type": "Bytes", "name": "a.txt"});
        assert!(serde_json::from_value::<File>(other).is_err());
    }
}
