//! `GET /scan/classes/<C>`: every object of a class in the order of a key, page by page, for the master key.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::context::Context;
use super::error::{master_only, no_such_class};
use super::reply::Reply;
use super::{parameters, query};
use crate::model::{
    ClassName, CloudError, Direction, Document, ErrorCode, Filter, KeyPath, OrderKey, Query, Test, Value,
};

/// One page. The cursor is the last value of the key, so it never expires and survives a restart.
///
/// # Errors
/// 1 without the master key, or for a cursor of something else; 101; 107.
pub(super) async fn page(
    context: &Context,
    class_name: &ClassName,
    parameters: &Document,
) -> Result<Reply, CloudError> {
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
    if let Some(cursor) = parameters::text(parameters, "cursor") {
        let last = read_cursor(cursor, &key)?;
        let beyond = match direction {
            Direction::Ascending => Test::Gt(last),
            Direction::Descending => Test::Lt(last),
        };
        query.filter = Filter::Key(key.clone(), beyond).and(query.filter);
    }
    let found = query::rows(context, &schema, class, query).await?;
    let cursor = found.results.last().and_then(|last| write_cursor(last, &key));
    let results: Vec<Value> = found.results.into_iter().map(Document::into_value).collect();
    Ok(Reply::ok(
        serde_json::json!({"results": results, "cursor": cursor}),
    ))
}

/// Where the next page begins: behind this object.
fn write_cursor(last: &Document, key: &KeyPath) -> Option<String> {
    let value = last.get(key.as_str())?;
    // In a filter a time is a typed value.
    let value = match (key.as_str(), value) {
        ("createdAt" | "updatedAt", Value::String(time)) => {
            serde_json::json!({"__type": "Date", "iso": time})
        }
        _ => value.clone(),
    };
    let text = serde_json::json!([key.as_str(), value]).to_string();
    Some(BASE64_URL_SAFE_NO_PAD.encode(text))
}

fn read_cursor(cursor: &str, key: &KeyPath) -> Result<Value, CloudError> {
    let invalid = || CloudError::new(ErrorCode::INVALID_JSON, "The cursor is not one of this scan.");
    let text = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let (name, value): (String, Value) = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if name != key.as_str() {
        return Err(invalid());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_holds_the_last_value_of_its_key() {
        let last: Document =
            serde_json::from_str(r#"{"n":7,"createdAt":"2026-01-01T00:00:00.000Z"}"#).unwrap();
        for (name, expected) in [
            ("n", serde_json::json!(7)),
            (
                "createdAt",
                serde_json::json!({"__type": "Date", "iso": "2026-01-01T00:00:00.000Z"}),
            ),
        ] {
            let key = KeyPath::new(name);
            let cursor = write_cursor(&last, &key).unwrap();
            assert_eq!(read_cursor(&cursor, &key).unwrap(), expected);
            assert!(read_cursor(&cursor, &KeyPath::new("m")).is_err());
        }
        assert!(read_cursor("!", &KeyPath::new("n")).is_err());
        assert!(write_cursor(&last, &KeyPath::new("absent")).is_none());
    }
}
