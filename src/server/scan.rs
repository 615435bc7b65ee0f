//! `GET /scan/classes/<C>`: all objects of a class in the order of a key, page by page, for the master key.

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

/// Returns one page. The cursor holds the last value of the key and the last id: it never expires, survives a restart, and
/// returns objects with equal values, or without a value, once each.
///
/// # Errors
/// 1 without the master key; 101; 107, also for the cursor of another scan.
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
    // The cursor needs the key, whatever `keys` the caller asks for.
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

/// The position of a scan: the last object of a page.
#[derive(Debug, PartialEq)]
struct Cursor {
    /// The object's value of the key; null without one.
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

    /// The filter for the objects after the cursor. Objects without a value come first in ascending order, and last in
    /// descending order; equal values are ordered by id.
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
            // Every object has its times, so that this is a range of the index.
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
    fn cursor_holds_last_value_of_its_key() {
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
