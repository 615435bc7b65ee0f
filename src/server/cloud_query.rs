//! `GET /cloudQuery`: queries in CQL.

use serde_json::json;

use super::context::Context;
use super::error::no_such_class;
use super::response::ApiResponse;
use super::{parameters, query, validation};
use crate::model::cql::SelectStatement;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// Runs a statement. The response has the rows, the name of their class, and their number on request.
///
/// # Errors
/// 300 for a malformed statement; 107 if `cql` is missing or `pvalues` is no array; those of a query.
pub(super) async fn run(context: &Context, parameters: &Document) -> Result<ApiResponse, CloudError> {
    let malformed = |text: &str| CloudError::new(ErrorCode::INVALID_JSON, text);
    let text = parameters::text(parameters, "cql").ok_or_else(|| malformed("'cql' is missing."))?;
    let values = match parameters.get("pvalues") {
        None => Vec::new(),
        Some(values) => read_values(values, 2).ok_or_else(|| malformed("'pvalues' is a JSON array."))?,
    };
    let selection = SelectStatement::parse(text, &values, context.environment().now())?;
    let class_name = validation::class_name(selection.class.as_str())?;
    let schema = context.schema();
    let class = schema.classes.get(&class_name).ok_or_else(no_such_class)?;
    let found = query::rows(context, &schema, class, selection.query).await?;
    let results: Vec<Value> = found.results.into_iter().map(Document::into_value).collect();
    let mut response = json!({"results": results, "className": class_name.as_str()});
    if let (Some(count), Some(response)) = (found.count, response.as_object_mut()) {
        response.insert("count".to_owned(), count.into());
    }
    Ok(ApiResponse::ok(response))
}

/// Reads the values, which may be JSON in a text; one SDK encodes them as JSON twice.
fn read_values(values: &Value, times: u32) -> Option<Vec<Value>> {
    match values {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => Some(values.clone()),
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::String(text) if times > 0 => read_values(&serde_json::from_str(text).ok()?, times - 1),
        _ => None,
    }
}
