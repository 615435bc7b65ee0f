//! Files inside of what is shown: their rows take the place of their ids, and every row says where its bytes are.

use std::collections::{BTreeMap, BTreeSet};

use super::rows;
use crate::model::value::Kind;
use crate::model::{Class, CloudError, Document, Filter, KeyPath, ObjectId, Query, Schema, Value};
use crate::server::authorize::{self, Right};
use crate::server::context::Context;
use crate::server::error::read_failed;
use crate::server::present::View;

/// What a file inside of an object is shown with, beside `__type` and what is on every object.
const SHOWN: [&str; 6] = ["name", "url", "key", "mime_type", "bucket", "metaData"];

/// Completes the files of objects that are about to be shown: those in columns, in columns of included objects, and in
/// arrays that are included. What is absent, or not readable, stays as it is stored.
///
/// # Errors
/// What the database answers.
pub(crate) async fn complete(
    context: &Context,
    schema: &Schema,
    class: &Class,
    include: &[KeyPath],
    documents: &mut [Document],
) -> Result<(), CloudError> {
    if class.name == rows::class() {
        for document in &mut *documents {
            add_url(context, document);
        }
    }
    let mut places: Vec<&mut Value> = Vec::new();
    for document in documents {
        collect(&mut document.0, include, &mut places);
    }
    if places.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<String> = places.iter().filter_map(|place| id_of(place)).collect();
    let shown = read(context, schema, ids).await?;
    for place in places {
        let found = id_of(place).and_then(|id| shown.get(&id));
        if let Some(file) = found {
            *place = file.clone();
        }
    }
    Ok(())
}

/// The files in the columns of an object, and in those of objects that are included in it.
fn collect<'v>(
    fields: &'v mut serde_json::Map<String, Value>,
    include: &[KeyPath],
    places: &mut Vec<&'v mut Value>,
) {
    for (key, value) in fields.iter_mut() {
        if id_of(value).is_some() {
            places.push(value);
            continue;
        }
        let is_included = include.iter().any(|path| path.column().trim() == key);
        if !is_included {
            continue;
        }
        let inner: Vec<KeyPath> = include.iter().filter_map(|path| below(path, key)).collect();
        match value {
            Value::Object(fields) => collect(fields, &inner, places),
            Value::Array(elements) => {
                for element in elements {
                    if id_of(element).is_some() {
                        places.push(element);
                    } else if let Value::Object(fields) = element {
                        collect(fields, &inner, places);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The rest of a path that begins with `key`.
fn below(path: &KeyPath, key: &str) -> Option<KeyPath> {
    let (head, rest) = path.as_str().split_once('.')?;
    (head.trim() == key).then(|| KeyPath::new(rest))
}

fn id_of(value: &Value) -> Option<String> {
    match Kind::of(value) {
        Kind::File(id) => Some(id.to_owned()),
        _ => None,
    }
}

/// The rows of these ids, as they are shown inside of other objects.
async fn read(
    context: &Context,
    schema: &Schema,
    ids: BTreeSet<String>,
) -> Result<BTreeMap<String, Value>, CloudError> {
    let mut shown = BTreeMap::new();
    let principal = context.principal().await?;
    let class = schema.classes.get(&rows::class());
    let Some(class) = class.filter(|class| authorize::allows(class, Right::Get, principal)) else {
        return Ok(shown);
    };
    let view = View {
        principal,
        acl: false,
    };
    let ids: Vec<Value> = ids
        .into_iter()
        .filter(|id| ObjectId::parse(id).is_ok())
        .map(Value::String)
        .collect();
    for ids in ids.chunks(Query::LIMIT_MAX as usize) {
        let query = Query::new(Filter::all().one_of("objectId", ids.to_vec())).limit(Query::LIMIT_MAX);
        let found = context.database().find_as(&class.name, &query, principal).await;
        for row in found.map_err(read_failed)?.results {
            let mut row = view.show(class, row);
            add_url(context, &mut row);
            let Some(id) = row.text("objectId").map(ToOwned::to_owned) else {
                continue;
            };
            row.retain(|key, _| {
                SHOWN.contains(&key.as_str())
                    || ["objectId", "createdAt", "updatedAt"].contains(&key.as_str())
            });
            row.insert("__type".to_owned(), "File".into());
            shown.insert(id, row.into_value());
        }
    }
    Ok(shown)
}

/// Where the bytes are, for a row whose bytes are here. It is not stored, as the server's name may change.
fn add_url(context: &Context, row: &mut Document) {
    let has_url = row.text("url").is_some_and(|url| !url.is_empty());
    if let (false, Some(key)) = (has_url, row.text("key")) {
        let url = rows::url(context, key);
        row.insert("url".to_owned(), url.into());
    }
}
