//! Queries and single reads, from their parameters to the visible rows.

use serde_json::Map;

use super::authorization::{self, Right};
use super::context::Context;
use super::error::{forbidden_reading, no_such_class, no_such_user, read_failed};
use super::parameters;
use super::response::ApiResponse;
use super::subqueries::QueryRunner;
use super::visibility::Reader;
use super::{files, include};
use crate::model::{
    Class, ClassName, CloudError, ColumnType, Document, Filter, ObjectId, Query, Schema, Value, limits,
};
use crate::store::Found;

/// `GET /classes/<C>`: the matching rows, and their number on request.
///
/// # Errors
/// 101 for an absent class; 107; 119; 403.
pub(super) async fn find(
    context: &Context,
    class_name: &ClassName,
    parameters: &Document,
) -> Result<ApiResponse, CloudError> {
    let schema = context.schema();
    let mut class: &Class = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    let mut answer = Map::new();
    if let Some(key) = parameters::text(parameters, "redirectClassNameForKey") {
        class = relation_target(&schema, class, key)?;
        answer.insert("className".to_owned(), class.name.as_str().into());
    }
    let query = Query::parse(parameters)?;
    // The time comes first: a client that keeps the response must not take it for newer than it is.
    let modified = context
        .database()
        .last_modified(&class.name)
        .and_then(|modified| modified.at);
    let found = rows(context, &schema, class, query).await?;
    Ok(listed(answer, found).modified_at(modified))
}

/// As [`find`], whatever the permissions of the class say.
///
/// # Errors
/// 107; 119.
pub(super) async fn find_permitted(
    context: &Context,
    schema: &Schema,
    class: &Class,
    query: Query,
) -> Result<ApiResponse, CloudError> {
    let wanted = query.clone();
    let found = QueryRunner::new(context, schema)
        .run_permitted(class, query)
        .await?;
    let found = make_visible(context, schema, class, wanted, found).await?;
    Ok(listed(Map::new(), found))
}

/// The response with `results`, and with `count` if the query asked for it.
fn listed(mut answer: Map<String, Value>, found: Found) -> ApiResponse {
    let results = found.results.into_iter().map(Document::into_value).collect();
    answer.insert("results".to_owned(), Value::Array(results));
    if let Some(count) = found.count {
        answer.insert("count".to_owned(), count.into());
    }
    ApiResponse::ok(answer)
}

/// Runs a query for the caller, and makes its rows visible.
///
/// # Errors
/// As [`find`].
pub(super) async fn rows(
    context: &Context,
    schema: &Schema,
    class: &Class,
    query: Query,
) -> Result<Found, CloudError> {
    let wanted = Query {
        filter: Filter::all(),
        ..query.clone()
    };
    let found = QueryRunner::new(context, schema).run(class, query).await?;
    make_visible(context, schema, class, wanted, found).await
}

/// Makes the found rows visible: hidden columns, `include`, files, `keys`.
async fn make_visible(
    context: &Context,
    schema: &Schema,
    class: &Class,
    wanted: Query,
    mut found: Found,
) -> Result<Found, CloudError> {
    let reader = Reader {
        principal: context.principal().await?,
        acl: wanted.return_acl,
    };
    let mut rows: Vec<Document> = found
        .results
        .into_iter()
        .map(|row| reader.visible(class, row))
        .collect();
    include::expand(context, schema, reader, &wanted.include, &mut rows).await?;
    files::expand_files(context, schema, class, wanted.keys.as_ref(), &mut rows).await?;
    if let Some(keys) = wanted.keys {
        rows = rows.into_iter().map(|row| keys.project(row)).collect();
    }
    found.results = cut_to_size(rows);
    Ok(found)
}

/// Cuts the rows to the size of a response; at least one stays.
fn cut_to_size(mut rows: Vec<Document>) -> Vec<Document> {
    let mut left = limits::LIST_BYTES_MAX;
    let fits = |row: &Document| {
        let bytes = row
            .iter()
            .map(|(key, value)| key.len() + 4 + include::size_of_value(value));
        left = left.checked_sub(bytes.sum())?;
        Some(())
    };
    let count = rows.iter().map_while(fits).count();
    rows.truncate(count.max(1));
    rows
}

/// `GET /classes/<C>/<id>`: the object, or `{}`.
///
/// # Errors
/// 101 for an absent class; 211 for an absent user; 403 by the class's permissions or the object's ACL.
pub(super) async fn get(
    context: &Context,
    class_name: &ClassName,
    id: &str,
    parameters: &Document,
) -> Result<ApiResponse, CloudError> {
    let schema = context.schema();
    let class = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    let principal = context.principal().await?;
    authorization::require(class, Right::Get, principal)?;
    let query = Query::parse(parameters)?;
    // No object has an illegal id.
    let document = match ObjectId::parse(id) {
        Ok(id) => context
            .database()
            .get(class_name, &id)
            .await
            .map_err(read_failed)?,
        Err(_) => None,
    };
    let Some(document) = document else {
        if class_name.as_str() == "_User" {
            return Err(no_such_user());
        }
        return Ok(ApiResponse::object(None));
    };
    if !principal.may_read(&document) {
        return Err(forbidden_reading());
    }
    let modified = document.updated_at();
    let reader = Reader {
        principal,
        acl: query.return_acl,
    };
    let mut visible = [reader.visible(class, document)];
    include::expand(context, &schema, reader, &query.include, &mut visible).await?;
    files::expand_files(context, &schema, class, query.keys.as_ref(), &mut visible).await?;
    let [visible] = visible;
    let visible = match query.keys {
        Some(keys) => keys.project(visible),
        None => visible,
    };
    Ok(ApiResponse::object(Some(visible)).modified_at(modified))
}

/// Reads the condition of a write, if there is one, and replaces its subqueries by their results.
///
/// # Errors
/// 107; 119; those of its subqueries.
pub(super) async fn condition(
    context: &Context,
    schema: &Schema,
    class: &Class,
    parameters: &Document,
) -> Result<Option<Filter>, CloudError> {
    let wanted = match parameters.get("where") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() || text == "null" => return Ok(None),
        Some(wanted) => wanted.clone(),
    };
    let alone = Document::from_iter([("where".to_owned(), wanted)]);
    let filter = Query::parse(&alone)?.filter;
    authorization::check_filter(class, &filter, context.principal().await?)?;
    QueryRunner::new(context, schema)
        .filter(class, filter)
        .await
        .map(Some)
}

/// The target class of a relation column.
fn relation_target<'a>(schema: &'a Schema, class: &Class, key: &str) -> Result<&'a Class, CloudError> {
    let column = class.columns.get(key).map(|column| &column.column_type);
    let Some(ColumnType::Relation { class_name }) = column else {
        return Err(CloudError::other(format!(
            "'{key}' is no relation of class '{}'.",
            class.name
        )));
    };
    let target = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    Ok(target)
}
