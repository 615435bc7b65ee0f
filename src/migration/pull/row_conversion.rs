//! A row of the API as the object that is stored: without what a server only adds when it shows an object.

use serde_json::json;

use crate::model::value::Kind;
use crate::model::{ClassName, Document, Value};

/// The object that a row shows.
///
/// Files are shown with all that their own rows say, and stored by their ids. The address of a file whose bytes come along (`keeps_files`) is that
/// of the old server, and the new one makes its own.
#[must_use]
pub fn stored(class: &ClassName, mut row: Document, keeps_files: bool) -> Document {
    if *class == ClassName::file() && keeps_files && row.text("key").is_some() {
        row.shift_remove("url");
    }
    for value in row.values_mut() {
        reduce_files(value);
    }
    row
}

/// Files by their ids, wherever they are.
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

/// The relation columns that a row shows.
pub fn relations(row: &Document) -> impl Iterator<Item = (&str, ClassName)> {
    row.iter().filter_map(|(key, value)| match Kind::of(value) {
        Kind::Relation(class) => Some((key.as_str(), ClassName::parse(class).ok()?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_a_server_adds_is_taken_off() {
        let class = ClassName::parse("Post").unwrap();
        let row = document(json!({
            "objectId": "p1",
            "ACL": {"u1": {"read": true}},
            "picture": {"__type": "File", "id": "f1", "objectId": "f1", "name": "a.png", "url": "http://old/a.png"},
            "pictures": [{"__type": "File", "objectId": "f2", "url": "http://old/b.png"}],
            "fans": {"__type": "Relation", "className": "_User"},
        }));
        let found: Vec<_> = relations(&row)
            .map(|(key, class)| (key.to_owned(), class))
            .collect();
        assert_eq!(found, [("fans".to_owned(), ClassName::user())]);
        let stored = stored(&class, row, true);
        assert_eq!(stored["ACL"], json!({"u1": {"read": true}}));
        assert_eq!(stored["picture"], json!({"__type": "File", "id": "f1"}));
        assert_eq!(stored["pictures"], json!([{"__type": "File", "id": "f2"}]));
    }

    #[test]
    fn an_address_stays_where_the_bytes_stay() {
        let row = || document(json!({"objectId": "f1", "key": "k/a.png", "url": "http://old/k/a.png"}));
        assert!(stored(&ClassName::file(), row(), false).contains_key("url"));
        assert!(!stored(&ClassName::file(), row(), true).contains_key("url"));
        let elsewhere = document(json!({"objectId": "f2", "url": "http://elsewhere/a.png"}));
        assert!(stored(&ClassName::file(), elsewhere, true).contains_key("url"));
    }
}
