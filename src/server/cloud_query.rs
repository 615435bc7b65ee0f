//! `GET /cloudQuery`: queries in CQL.

use serde_json::json;

use super::context::Context;
use super::error::no_such_class;
use super::response::ApiResponse;
use super::{parameters, query, validation};
use crate::model::cql::SelectStatement;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// The rows that a statement finds, the name of their class, and how many there are where that is asked for.
///
/// # Errors
/// 300 where the statement is malformed; 107 where `cql` is missing or `pvalues` is no array; those of a query.
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
    let mut answer = json!({"results": results, "className": class_name.as_str()});
    if let (Some(count), Some(answer)) = (found.count, answer.as_object_mut()) {
        answer.insert("count".to_owned(), count.into());
    }
    Ok(ApiResponse::ok(answer))
}

/// The values, which may be JSON in a text; one of the SDKs writes them as JSON twice.
fn read_values(values: &Value, times: u32) -> Option<Vec<Value>> {
    match values {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => Some(values.clone()),
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::String(text) if times > 0 => read_values(&serde_json::from_str(text).ok()?, times - 1),
        _ => None,
    }
}
