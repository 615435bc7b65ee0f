//! Files inside of visible objects: rows take the places of ids, and every row gets the address of its bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::provider::Provider;
use super::rows;
use crate::model::value::Kind;
use crate::model::{Class, ClassName, CloudError, Document, Filter, Keys, ObjectId, Query, Schema, Value};
use crate::server::authorization::{self, Right};
use crate::server::context::Context;
use crate::server::error::read_failed;
use crate::server::include::size_of_value;
use crate::server::visibility::Reader;

/// The columns of a file inside of an object, beside `__type` and those of every object.
const COLUMNS: [&str; 7] = [
    "name",
    "url",
    "key",
    "mime_type",
    "bucket",
    "provider",
    "metaData",
];

/// Distinct files that are read for one response.
const FILES_MAX: usize = 20 * Query::LIMIT_MAX as usize;

/// Size that files may add to a response, in bytes of their estimated JSON: one file can stand in many places.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Expands the files of visible objects: in columns, arrays and maps, and in included objects. A file that is absent, not
/// readable or beyond the size stays as stored, with its id also under `objectId`. Columns that `keys` leave out stay
/// unchanged.
///
/// # Errors
/// Those of a read.
pub(crate) async fn expand_files(
    context: &Context,
    schema: &Schema,
    class: &Class,
    keys: Option<&Keys>,
    documents: &mut [Document],
) -> Result<(), CloudError> {
    if class.name == ClassName::file() {
        for document in &mut *documents {
            add_address(context, document);
        }
    }
    let mut places: Vec<&mut Value> = Vec::new();
    for document in documents {
        for (column, value) in document.iter_mut() {
            if keys.is_none_or(|keys| keys.shows(column)) {
                collect(value, &mut places);
            }
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for id in places.iter().filter_map(|place| id_of(place)) {
        if ids.len() < FILES_MAX && !ids.contains(id) {
            ids.insert(id.to_owned());
        }
    }
    let shown = read(context, schema, ids).await?;
    let mut bytes_left = BYTES_MAX;
    for place in places {
        let Some(id) = id_of(place) else { continue };
        let found = shown.get(id).and_then(|(file, size)| {
            bytes_left = bytes_left.checked_sub(*size)?;
            Some(file.clone())
        });
        *place = found.unwrap_or_else(|| by_id(place, id));
    }
    Ok(())
}

/// Collects the files of a value, at any depth.
fn collect<'v>(value: &'v mut Value, places: &mut Vec<&'v mut Value>) {
    if id_of(value).is_some() {
        places.push(value);
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| collect(field, places)),
        Value::Array(elements) => elements.iter_mut().for_each(|element| collect(element, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The id of the file that a value is. Cheap for other values: dates are not parsed.
fn id_of(value: &Value) -> Option<&str> {
    match value.get("__type")?.as_str()? {
        "File" | "Pointer" => match Kind::of(value) {
            Kind::File(id) => Some(id),
            _ => None,
        },
        _ => None,
    }
}

/// A file without its row. SDKs write the id as `id`, and read it as `objectId`.
fn by_id(stored: &Value, id: &str) -> Value {
    let mut fields = match stored {
        Value::Object(fields) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    fields.shift_remove("className");
    fields.insert("__type".to_owned(), "File".into());
    fields.insert("objectId".to_owned(), id.into());
    Value::Object(fields)
}

/// Reads the rows of these ids in the form for other objects, each with its estimated size in bytes.
async fn read(
    context: &Context,
    schema: &Schema,
    ids: BTreeSet<String>,
) -> Result<BTreeMap<String, (Value, usize)>, CloudError> {
    let mut shown = BTreeMap::new();
    let principal = context.principal().await?;
    let class = schema.classes.get(&ClassName::file());
    let Some(class) = class.filter(|class| authorization::allows(class, Right::Get, principal)) else {
        return Ok(shown);
    };
    let reader = Reader {
        principal,
        acl: false,
    };
    let ids: Vec<Value> = ids
        .into_iter()
        .filter(|id| ObjectId::parse(id).is_ok())
        .map(Value::String)
        .collect();
    let mut bytes_left = BYTES_MAX;
    for ids in ids.chunks(Query::LIMIT_MAX as usize) {
        let query = Query::new(Filter::all().one_of("objectId", ids.to_vec())).limit(Query::LIMIT_MAX);
        let found = context.database().find_as(&class.name, &query, principal).await;
        for row in found.map_err(read_failed)?.results {
            let mut row = reader.visible(class, row);
            add_address(context, &mut row);
            let Some(id) = row.text("objectId").map(ToOwned::to_owned) else {
                continue;
            };
            row.retain(|key, _| {
                COLUMNS.contains(&key.as_str())
                    || ["objectId", "createdAt", "updatedAt"].contains(&key.as_str())
            });
            row.insert("__type".to_owned(), "File".into());
            let row = row.into_value();
            let size = size_of_value(&row);
            bytes_left = bytes_left.saturating_sub(size);
            shown.insert(id, (row, size));
        }
        if bytes_left == 0 {
            break;
        }
    }
    Ok(shown)
}

/// Adds the address and the provider to a row whose bytes are here. The address is not stored, since the server's name may
/// change; rows of earlier versions have no provider.
fn add_address(context: &Context, row: &mut Document) {
    let has = |row: &Document, key: &str| row.text(key).is_some_and(|text| !text.is_empty());
    if let (false, Some(key)) = (has(row, "url"), row.text("key")) {
        let url = rows::url(context, key);
        row.insert("url".to_owned(), url.into());
    }
    if row.text("bucket") == Some(rows::BUCKET) && !has(row, "provider") {
        row.insert("provider".to_owned(), Provider::S3.name().into());
    }
}
