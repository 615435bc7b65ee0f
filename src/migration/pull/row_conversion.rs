//! Conversion of a row of the API to the stored object: without the fields that a server adds to a response.

use serde_json::json;

use crate::model::value::Kind;
use crate::model::{ClassName, Document, Value};

/// Converts a row to the stored object.
///
/// The API shows a file with all fields of its own object; it is stored by its id. If the content of a `_File` is copied
/// (`has_content`), its URL is dropped: it points to the source, and this server makes its own.
pub(super) fn to_stored(class: &ClassName, mut row: Document, has_content: bool) -> Document {
    if *class == ClassName::file() && has_content && row.text("key").is_some() {
        row.shift_remove("url");
    }
    for value in row.values_mut() {
        reduce_files(value);
    }
    row
}

/// Reduces files to their ids, however deep they are.
fn reduce_files(value: &mut Value) {
    if let Kind::File(id) = Kind::of(value) {
        *value = json!({"__type": "File", "id": id});
        return;
    }
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(reduce_files),
        Value::Object(fields) => fields.values_mut().for_each(reduce_files),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn stored_object_has_no_fields_added_by_the_server() {
        let class = ClassName::parse("Post").unwrap();
        let row = document(json!({
            "objectId": "p1",
            "ACL": {"u1": {"read": true}},
            "picture": {"__type": "File", "id": "f1", "objectId": "f1", "name": "a.png", "url": "http://old/a.png"},
            "pictures": [{"__type": "File", "objectId": "f2", "url": "http://old/b.png"}],
            "fans": {"__type": "Relation", "className": "_User"},
        }));
        let stored = to_stored(&class, row, true);
        assert_eq!(stored["ACL"], json!({"u1": {"read": true}}));
        assert_eq!(stored["picture"], json!({"__type": "File", "id": "f1"}));
        assert_eq!(stored["pictures"], json!([{"__type": "File", "id": "f2"}]));
    }

    #[test]
    fn url_is_kept_unless_the_content_is_copied() {
        let row = || document(json!({"objectId": "f1", "key": "k/a.png", "url": "http://old/k/a.png"}));
        assert!(to_stored(&ClassName::file(), row(), false).contains_key("url"));
        assert!(!to_stored(&ClassName::file(), row(), true).contains_key("url"));
        let elsewhere = document(json!({"objectId": "f2", "url": "http://elsewhere/a.png"}));
        assert!(to_stored(&ClassName::file(), elsewhere, true).contains_key("url"));
    }
}
