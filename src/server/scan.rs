//! `GET /scan/classes/<C>`: every object of a class in the order of a key, page by page, for the master key.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::context::Context;
use super::error::{master_only, no_such_class};
use super::response::ApiResponse;
use super::subqueries::value_at;
use super::{parameters, query};
use crate::model::{
    ClassName, CloudError, Direction, Document, ErrorCode, Filter, KeyPath, OrderKey, Query, Test, Value,
};

/// One page. The cursor is the last value of the key and the last id, so it never expires and survives a restart, and
/// objects with equal values, or without one, are each shown once.
///
/// # Errors
/// 1 without the master key, or for a cursor of something else; 101; 107.
pub(super) async fn page(
    context: &Context,
    class_name: &ClassName,
    parameters: &Document,
) -> Result<ApiResponse, CloudError> {
    if !context.is_master() {
        return Err(master_only());
    }
    let schema = context.schema();
    let class = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    let scan_key = parameters::text(parameters, "scan_key").unwrap_or("objectId");
    let (key, direction) = match scan_key.strip_prefix('-') {
        Some(key) => (KeyPath::new(key), Direction::Descending),
        None => (KeyPath::new(scan_key), Direction::Ascending),
    };
    let mut query = Query::parse(parameters)?;
    query.skip = 0;
    query.count = false;
    query.order = vec![OrderKey {
        key: key.clone(),
        direction,
    }];
    // The cursor needs the key, whatever the caller wants to see.
    let keys = query.keys.take();
    if let Some(cursor) = parameters::text(parameters, "cursor") {
        query.filter = Cursor::read(cursor, &key)?
            .beyond(&key, direction)
            .and(query.filter);
    }
    let found = query::rows(context, &schema, class, query).await?;
    let cursor = found.results.last().and_then(|last| Cursor::at(last, &key));
    let cursor = cursor.map(|cursor| cursor.write(&key));
    let shown = found.results.into_iter().map(|row| match &keys {
        Some(keys) => keys.project(row),
        None => row,
    });
    let results: Vec<Value> = shown.map(Document::into_value).collect();
    Ok(ApiResponse::ok(
        serde_json::json!({"results": results, "cursor": cursor}),
    ))
}

/// The object that a page ended with.
#[derive(Debug, PartialEq)]
struct Cursor {
    /// Its value of the key; null where it has none.
    value: Value,
    id: Value,
}

impl Cursor {
    fn at(last: &Document, key: &KeyPath) -> Option<Self> {
        let value = match (key.as_str(), value_at(last, key).unwrap_or_default()) {
            // In a filter a time is a typed value.
            ("createdAt" | "updatedAt", Value::String(time)) => {
                serde_json::json!({"__type": "Date", "iso": time})
            }
            (_, value) => value,
        };
        let id = last.get("objectId")?.clone();
        Some(Self { value, id })
    }

    fn write(&self, key: &KeyPath) -> String {
        let text = serde_json::json!([key.as_str(), self.value, self.id]).to_string();
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    fn read(cursor: &str, key: &KeyPath) -> Result<Self, CloudError> {
        let invalid = || CloudError::new(ErrorCode::INVALID_JSON, "The cursor is not one of this scan.");
        let text = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let (name, value, id): (String, Value, Value) =
            serde_json::from_slice(&text).map_err(|_| invalid())?;
        if name != key.as_str() || !id.is_string() {
            return Err(invalid());
        }
        Ok(Self { value, id })
    }

    /// What comes after it: those without a value are the first of an ascending order, and the last of a descending one;
    /// among equal values the id decides.
    fn beyond(self, key: &KeyPath, direction: Direction) -> Filter {
        let test = |test| Filter::Key(key.clone(), test);
        let id = |test| Filter::Key(KeyPath::new("objectId"), test);
        if key.as_str() == "objectId" {
            return id(match direction {
                Direction::Ascending => Test::Gt(self.id),
                Direction::Descending => Test::Lt(self.id),
            });
        }
        let shown = test(Test::Eq(self.value.clone())).and(id(Test::Lte(self.id)));
        let rest = match (direction, self.value) {
            (Direction::Ascending, Value::Null) => Filter::all(),
            (Direction::Descending, Value::Null) => test(Test::Eq(Value::Null)),
            (Direction::Ascending, value) => test(Test::Gte(value)),
            // Every object has its times: then it is a range of the index.
            (Direction::Descending, value) if matches!(key.as_str(), "createdAt" | "updatedAt") => {
                test(Test::Lte(value))
            }
            (Direction::Descending, value) => Filter::Nor(vec![test(Test::Gt(value))]),
        };
        rest.and(Filter::Nor(vec![shown]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_holds_the_last_value_of_its_key() {
        let last: Document = serde_json::from_str(
            r#"{"objectId":"x","n":7,"o":{"n":8},"createdAt":"2026-01-01T00:00:00.000Z"}"#,
        )
        .unwrap();
        for (name, expected) in [
            ("n", serde_json::json!(7)),
            ("o.n", serde_json::json!(8)),
            ("absent", Value::Null),
            (
                "createdAt",
                serde_json::json!({"__type": "Date", "iso": "2026-01-01T00:00:00.000Z"}),
            ),
        ] {
            let key = KeyPath::new(name);
            let cursor = Cursor::at(&last, &key).unwrap();
            assert_eq!((&cursor.value, &cursor.id), (&expected, &serde_json::json!("x")));
            let written = cursor.write(&key);
            assert_eq!(Cursor::read(&written, &key).unwrap(), cursor);
            assert!(Cursor::read(&written, &KeyPath::new("m")).is_err());
        }
        assert!(Cursor::read("!", &KeyPath::new("n")).is_err());
    }
}
