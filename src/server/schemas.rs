//! `/schemas`: reads and changes the definitions of classes, for the master key.
//!
//! `GET /schemas` and `GET /schemas/<C>` are LeanCloud's. Changes, which LeanCloud has in its console only, are ours:
//! `POST` and `PUT` on `/schemas/<C>` take a definition (`columns`, `permissions`, `indexes`, `acl`), and
//! `GET /schemas/<C>/definition` returns it.

use serde_json::{Map, json};

use super::context::Context;
use super::error::{master_only, no_such_class};
use super::response::ApiResponse;
use crate::model::schema::definition::{self, COMMON_COLUMNS, Definition};
use crate::model::{Class, ClassName, CloudError, Document, SchemaChange, Value};

/// `GET /schemas`: the classes that requests can reach, with their columns.
///
/// # Errors
/// 1 without the master key.
pub(super) fn all(context: &Context) -> Result<ApiResponse, CloudError> {
    require_master(context)?;
    let schema = context.schema();
    let classes = schema.classes.values();
    let classes = classes.filter(|class| class.name.is_reachable());
    let shown: Map<String, Value> = classes
        .map(|class| (class.name.to_string(), Value::Object(columns(class))))
        .collect();
    Ok(ApiResponse::ok(shown))
}

/// `GET /schemas/<C>`: the columns of a class.
///
/// # Errors
/// 1 without the master key; 101.
pub(super) fn one(context: &Context, name: &ClassName) -> Result<ApiResponse, CloudError> {
    require_master(context)?;
    let class = context.class(name).ok_or_else(no_such_class)?;
    Ok(ApiResponse::ok(columns(&class)))
}

/// `GET /schemas/<C>/definition`: the whole definition of a class.
///
/// # Errors
/// 1 without the master key; 101.
pub(super) fn definition(context: &Context, name: &ClassName) -> Result<ApiResponse, CloudError> {
    require_master(context)?;
    let class = context.class(name).ok_or_else(no_such_class)?;
    Ok(ApiResponse::ok(definition::show(&class)))
}

/// `POST /schemas/<C>`: creates a class, completely or not at all.
///
/// # Errors
/// 1 without the master key, and for an existing class; 103, 105, 107, 111, 123.
pub(super) async fn create(
    context: &Context,
    name: ClassName,
    body: &Document,
) -> Result<ApiResponse, CloudError> {
    require_master(context)?;
    if context.class(&name).is_some() {
        return Err(CloudError::other(format!(
            "Class '{name}' already exists: PUT changes it."
        )));
    }
    let mut class = Class::initial(name);
    Definition::parse(body, &class)?.apply(&mut class);
    let change = SchemaChange::CreateClass(class.clone());
    context.database().define(change).await?;
    Ok(ApiResponse::created(
        format!("/1.1/schemas/{}", class.name),
        Document(definition::show(&class)),
    ))
}

/// `PUT /schemas/<C>`: makes the changes of the body. A column keeps its type.
///
/// # Errors
/// As [`create`]; 101; 137 if stored objects break a new unique index. A malformed body changes nothing; if one of several
/// changes fails, the earlier ones stay.
pub(super) async fn change(
    context: &Context,
    name: &ClassName,
    body: &Document,
) -> Result<ApiResponse, CloudError> {
    require_master(context)?;
    let class = context.class(name).ok_or_else(no_such_class)?;
    for change in Definition::parse(body, &class)?.into_changes(name) {
        context.database().define(change).await?;
    }
    let class = context.class(name).ok_or_else(no_such_class)?;
    Ok(ApiResponse::ok(definition::show(&class)))
}

fn columns(class: &Class) -> Map<String, Value> {
    let everywhere = COMMON_COLUMNS.map(|(name, kind)| (name.to_owned(), json!({"type": kind})));
    let own = class
        .columns
        .iter()
        .map(|(name, column)| (name.clone(), definition::show_column(column)));
    everywhere.into_iter().chain(own).collect()
}

fn require_master(context: &Context) -> Result<(), CloudError> {
    if context.is_master() {
        Ok(())
    } else {
        Err(master_only())
    }
}
