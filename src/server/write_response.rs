//! The responses to writes, once the database has done them.

use super::context::Context;
use super::error::{no_effect, no_such_class, no_such_object, outcome_unknown};
use super::files;
use super::response::ApiResponse;
use super::visibility::Reader;
use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{Class, ClassName, CloudError, ColumnType, Document, ObjectId, Principal};
use crate::store::{WriteOutcome, Written};

/// The database's result of a write; `None` if its condition did not hold.
///
/// # Errors
/// The database's refusal; 500 if the outcome is unknown.
pub(super) fn applied(outcome: Option<WriteOutcome>) -> Result<Option<Written>, CloudError> {
    match outcome {
        Some(WriteOutcome::Applied(written)) => Ok(Some(written)),
        Some(WriteOutcome::NotMatched) => Ok(None),
        Some(WriteOutcome::Rejected(error)) => Err(error),
        Some(WriteOutcome::Unknown(reason)) => Err(outcome_unknown(&reason)),
        None => Err(outcome_unknown(
            "the database returned fewer outcomes than writes",
        )),
    }
}

/// The error of an update or delete without effect.
pub(super) fn not_matched(class: &ClassName, id: &ObjectId, conditional: bool) -> CloudError {
    if conditional {
        no_effect()
    } else {
        no_such_object(class, id.as_str())
    }
}

/// 201: id and time; the whole object on request; the whole user with a token after a sign-up.
///
/// # Errors
/// 500 if the outcome is unknown; those of a read.
pub(super) async fn created(
    context: &Context,
    class: &Class,
    fetch: bool,
    token: Option<String>,
    written: Written,
) -> Result<ApiResponse, CloudError> {
    let id = written
        .object_id
        .ok_or_else(|| outcome_unknown("a created object has no id"))?;
    let location = format!("/1.1/classes/{}/{id}", class.name);
    if !fetch && token.is_none() {
        let mut body = Document::new();
        body.insert("objectId".to_owned(), id.to_string().into());
        if let Some(time) = written.created_at {
            body.insert("createdAt".to_owned(), time.to_string().into());
        }
        return Ok(ApiResponse::created(location, body));
    }
    // The write itself may have added columns.
    let class = context.class(&class.name).ok_or_else(no_such_class)?;
    let own = Principal::Client {
        user: Some(id),
        roles: Vec::new(),
    };
    let principal = if token.is_some() {
        &own
    } else {
        context.principal().await?
    };
    let reader = Reader {
        principal,
        acl: false,
    };
    let mut visible = [reader.visible(&class, written.fields)];
    files::expand_files(context, &context.schema(), &class, None, &mut visible).await?;
    let [mut body] = visible;
    if let Some(token) = token {
        body.insert(SESSION_TOKEN.to_owned(), token.into());
    }
    Ok(ApiResponse::created(location, body))
}

/// 200: id and time; the fields on request.
///
/// # Errors
/// Those of a read.
pub(super) async fn updated(
    context: &Context,
    class: &Class,
    id: &ObjectId,
    fetched: Option<&[String]>,
    token: Option<String>,
    written: Written,
) -> Result<ApiResponse, CloudError> {
    let mut body = Document::new();
    if let Some(columns) = fetched {
        let class = context.class(&class.name).ok_or_else(no_such_class)?;
        let reader = Reader {
            principal: context.principal().await?,
            // An ACL is visible if the request has set it.
            acl: columns.iter().any(|column| column == "ACL"),
        };
        let mut visible = [reader.visible(&class, written.fields)];
        files::expand_files(context, &context.schema(), &class, None, &mut visible).await?;
        let [visible] = visible;
        let is_relation = |name: &str| {
            let column = class.columns.get(name).map(|column| &column.column_type);
            matches!(column, Some(ColumnType::Relation { .. }))
        };
        let wanted = |name: &String| columns.contains(name) || is_relation(name);
        body = visible.0.into_iter().filter(|(name, _)| wanted(name)).collect();
    }
    if let Some(time) = written.updated_at {
        body.insert("updatedAt".to_owned(), time.to_string().into());
    }
    body.insert("objectId".to_owned(), id.to_string().into());
    if let Some(token) = token {
        body.insert(SESSION_TOKEN.to_owned(), token.into());
    }
    Ok(ApiResponse::ok(body.0))
}
