//! Queries and single reads, from their parameters to the rows that are shown.

use serde_json::Map;

use super::authorize::{self, Right};
use super::context::Context;
use super::error::{no_such_class, no_such_user, read_failed};
use super::include;
use super::parameters;
use super::present::View;
use super::reply::Reply;
use super::resolve::Resolver;
use crate::model::{
    Class, ClassName, CloudError, ColumnType, Document, Filter, ObjectId, Query, Schema, Value,
};

/// `GET /classes/<C>`: the rows that match, and how many there are where that is asked for.
///
/// # Errors
/// 101 for an absent class; 107; 119; 403.
pub(super) async fn find(
    context: &Context,
    class_name: &ClassName,
    parameters: &Document,
) -> Result<Reply, CloudError> {
    let schema = context.schema();
    let mut class: &Class = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    let mut answer = Map::new();
    if let Some(key) = parameters::text(parameters, "redirectClassNameForKey") {
        class = relation_target(&schema, class, key)?;
        answer.insert("className".to_owned(), class.name.as_str().into());
    }
    let query = Query::parse(parameters)?;
    let found = rows(context, &schema, class, query).await?;
    let results = found.results.into_iter().map(Document::into_value).collect();
    answer.insert("results".to_owned(), Value::Array(results));
    if let Some(count) = found.count {
        answer.insert("count".to_owned(), count.into());
    }
    Ok(Reply::ok(answer))
}

/// Runs a query for the caller and prepares its rows.
///
/// # Errors
/// As [`find`].
pub(super) async fn rows(
    context: &Context,
    schema: &Schema,
    class: &Class,
    query: Query,
) -> Result<crate::store::Found, CloudError> {
    let (keys, include) = (query.keys.clone(), query.include.clone());
    let view = View {
        principal: context.principal().await?,
        acl: query.return_acl,
    };
    let mut found = Resolver::new(context, schema).run(class, query).await?;
    let mut rows: Vec<Document> = found
        .results
        .into_iter()
        .map(|row| view.show(class, row))
        .collect();
    include::expand(context, schema, view, &include, &mut rows).await?;
    if let Some(keys) = keys {
        rows = rows.into_iter().map(|row| keys.project(row)).collect();
    }
    found.results = rows;
    Ok(found)
}

/// `GET /classes/<C>/<id>`: the object, or `{}`.
///
/// # Errors
/// 101 for an absent class; 211 for an absent user; 403.
pub(super) async fn get(
    context: &Context,
    class_name: &ClassName,
    id: &str,
    parameters: &Document,
) -> Result<Reply, CloudError> {
    let schema = context.schema();
    let class = schema.classes.get(class_name).ok_or_else(no_such_class)?;
    let principal = context.principal().await?;
    authorize::require(class, Right::Get, principal)?;
    let query = Query::parse(parameters)?;
    // What cannot be an id is the id of nothing.
    let document = match ObjectId::parse(id) {
        Ok(id) => context
            .database()
            .get_as(class_name, &id, principal)
            .await
            .map_err(read_failed)?,
        Err(_) => None,
    };
    let Some(document) = document else {
        if class_name.as_str() == "_User" {
            return Err(no_such_user());
        }
        return Ok(Reply::object(None));
    };
    let modified = document.updated_at();
    let view = View {
        principal,
        acl: query.return_acl,
    };
    let mut shown = [view.show(class, document)];
    include::expand(context, &schema, view, &query.include, &mut shown).await?;
    let [shown] = shown;
    let shown = match query.keys {
        Some(keys) => keys.project(shown),
        None => shown,
    };
    Ok(Reply::object(Some(shown)).modified_at(modified))
}

/// The condition of a write, where there is one, ready to be evaluated.
///
/// # Errors
/// 107; 119; what its subqueries answer.
pub(super) async fn guard(
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
    authorize::check_filter(class, &filter, context.principal().await?)?;
    Resolver::new(context, schema)
        .filter(class, filter)
        .await
        .map(Some)
}

/// The class that a relation column leads to.
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
